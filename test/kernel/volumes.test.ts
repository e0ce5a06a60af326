// Volumes on the real kernel: who may read and write what, whose the files are, where they end, and that nothing is left over.
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { VolumeMount } from '../../runtime/api.ts'
import { EVALUATOR, evaluate, startTestRuntime, type TestRuntime } from '../support/kernel-runtime.ts'

const MIB = 1024 ** 2
const work = mkdtempSync(join(tmpdir(), 'thaw-volumes-'))
const root = join(work, 'shared')
let host: TestRuntime

beforeAll(async () => {
  mkdirSync(join(root, 'inner'), { recursive: true })
  for (const folder of [root, join(root, 'inner')]) {
    chmodSync(folder, 0o755)
    chownSync(folder, 1000, 1000)
  }
  writeFileSync(join(root, 'inner', 'note'), 'from the host')
  mkdirSync(join(work, 'elsewhere'))
  symlinkSync(join(work, 'elsewhere'), join(root, 'way-out'))
  host = await startTestRuntime({ volumeRoots: [root] })
  await host.runtime.volumes.create('default/papers', 16 * MIB)
})
afterAll(async () => {
  await host?.close()
  rmSync(work, { recursive: true, force: true })
})

const named = (readOnly: boolean): VolumeMount => ({
  kind: 'named',
  id: 'default/papers',
  path: '/data/papers',
  readOnly,
})
const bind = (readOnly: boolean, source = join(root, 'inner')): VolumeMount => ({
  kind: 'bind',
  source,
  path: '/mnt',
  readOnly,
})
const start = (...volumes: VolumeMount[]) => host.start(EVALUATOR, {}, { volumes })

describe('a named volume', () => {
  test('is shared by sandboxes with different host users, and read-only is real', async () => {
    const [writer, reader] = await Promise.all([start(named(false)), start(named(true))])
    expect(
      await evaluate(writer, `fs.writeFileSync('/data/papers/a', 'hello'), fs.statSync('/data/papers/a').uid`),
    ).toBe(1000)
    expect(await evaluate(reader, `fs.readFileSync('/data/papers/a', 'utf8')`)).toBe('hello')
    expect(await evaluate(reader, `fs.statSync('/data/papers/a').uid`)).toBe(1000)
    expect(await evaluate(reader, `fs.writeFileSync('/data/papers/b', '')`)).toBe('EROFS')
    expect(await evaluate(reader, `fs.unlinkSync('/data/papers/a')`)).toBe('EROFS')
    expect(await evaluate(writer, `fs.readdirSync('/data/papers')`)).toEqual(['a'])
    await expect(host.runtime.volumes.remove('default/papers')).rejects.toMatchObject({ code: 'VOLUME_IN_USE' })
    await Promise.all([writer.destroy(), reader.destroy()])
  })

  test('keeps its content from one sandbox to the next and ends at its size', async () => {
    const sandbox = await start(named(false))
    expect(await evaluate(sandbox, `fs.readFileSync('/data/papers/a', 'utf8')`)).toBe('hello')
    const fill = `{ const fd = fs.openSync('/data/papers/big', 'w'); for (let i = 0; i < 40; i++) fs.writeSync(fd, Buffer.alloc(1 << 20)) }`
    expect(await evaluate(sandbox, fill)).toBe('ENOSPC')
    expect(statSync(join(host.stateDir, 'volumes/default/papers.img')).size).toBe(16 * MIB)
    await sandbox.destroy()
  })

  test('can be made once, in one size, and is gone with its file', async () => {
    const { volumes } = host.runtime
    expect(await volumes.create('default/papers', 16 * MIB)).toMatchObject({ created: false })
    await expect(volumes.create('default/papers', 32 * MIB)).rejects.toMatchObject({ code: 'VOLUME_EXISTS' })
    await expect(volumes.create('default/small', MIB)).rejects.toMatchObject({ code: 'VOLUME_INVALID' })
    await expect(volumes.create('../x', 16 * MIB)).rejects.toMatchObject({ code: 'VOLUME_INVALID' })
    await expect(volumes.create('default/vast', 2 ** 42)).rejects.toMatchObject({ code: 'DISK_FULL' })
    await volumes.remove('default/papers')
    expect(await volumes.list()).toEqual([])
    expect(existsSync(join(host.stateDir, 'volumes/default/papers.img'))).toBe(false)
    await expect(start(named(true))).rejects.toThrow('there is no volume papers')
    await expect(volumes.remove('default/papers')).rejects.toMatchObject({ code: 'VOLUME_NOT_FOUND' })
  })
})

describe('a bound folder', () => {
  test('is read-only, and writable only where that is said; what is written belongs to user 1000 of the host', async () => {
    const reader = await start(bind(true))
    expect(await evaluate(reader, `fs.readFileSync('/mnt/note', 'utf8')`)).toBe('from the host')
    expect(await evaluate(reader, `fs.writeFileSync('/mnt/x', '')`)).toBe('EROFS')
    const writer = await start(bind(false))
    expect(await evaluate(writer, `fs.writeFileSync('/mnt/x', 'y')`)).toBe(null)
    expect(await evaluate(writer, `fs.writeFileSync('/mnt/note', 'y')`)).toBe('EACCES')
    expect(readFileSync(join(root, 'inner/x'), 'utf8')).toBe('y')
    expect(statSync(join(root, 'inner/x')).uid).toBe(1000)
    await Promise.all([reader.destroy(), writer.destroy()])
  })

  test.each([
    ['outside the roots', '/etc', 'is not below a root'],
    ['over a symbolic link', join(root, 'way-out'), 'symbolic link'],
    ['that is not there', join(root, 'none'), 'no such folder'],
    ['that is a file', join(root, 'inner/note'), 'not a folder'],
    ['by dot segments', `${root}/../elsewhere`, 'leads out'],
  ])('%s is refused', async (_what, source, reason) => {
    await expect(host.runtime.volumes.checkBind(source, true)).rejects.toThrow(reason)
    await expect(start(bind(true, source))).rejects.toThrow(reason)
  })

  test('that may be written is checked with its owners translated', async () => {
    await host.runtime.volumes.checkBind(join(root, 'inner'), false)
  })
})

test('a tmpfs volume is writable, bounded and the sandbox’s own', async () => {
  const sandbox = await start({ kind: 'tmpfs', path: '/cache', sizeBytes: 2 * MIB })
  expect(await evaluate(sandbox, `fs.writeFileSync('/cache/a', Buffer.alloc(1 << 20))`)).toBe(null)
  expect(await evaluate(sandbox, `fs.writeFileSync('/cache/b', Buffer.alloc(2 << 20))`)).toBe('ENOSPC')
  await sandbox.destroy()
})

test('a volume lies in a writable root as well', async () => {
  const spec = { volumes: [bind(true)], writableRootBytes: 8 * MIB }
  const sandbox = await host.start(EVALUATOR, {}, spec)
  expect(await evaluate(sandbox, `fs.readdirSync('/mnt').includes('note')`)).toBe(true)
  expect(await evaluate(sandbox, `fs.writeFileSync('/opt/x', '')`)).toBe(null)
  await sandbox.destroy()
})

test('nothing of the volumes is left mounted', () => {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
  expect(mounts).not.toContain(`/run/thaw/${host.platformId}/mounts/`)
})
