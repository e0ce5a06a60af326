// I/O weights through real sandboxes: scratch disks with a weight are parts of one disk under bfq, and share it by weight.
import { execFileSync } from 'node:child_process'
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Sandbox } from '../../runtime/api.ts'
import { type Disk, mountDisk } from '../support/disk.ts'
import { call, EVALUATOR, evaluate, startTestRuntime, type TestRuntime } from '../support/kernel-runtime.ts'
import { MIB, metered, useSandboxes } from '../support/kernel-sandboxes.ts'
import { timeScale } from '../support/time-scale.ts'

const sandboxes = useSandboxes()
const image = () => join(sandboxes.platform.stateDir, 'scratch', 'weighted.img')

/** Sixteen random reads past the cache in flight for `ms`; answers with the bytes read. The first call makes the file. */
const reader = (path: string) => `async (request) => {
  process.env.UV_THREADPOOL_SIZE = '16' // libuv's pool must hold them all at once; it reads its size when it is first used
  const fs = require('node:fs')
  const { O_CREAT, O_RDWR, O_DIRECT } = fs.constants
  const BLOCK = 262144, BLOCKS = 160
  const aligned = () => Buffer.from(new WebAssembly.Memory({ initial: 4 }).buffer)
  const fd = fs.openSync('${path}', O_CREAT | O_RDWR | O_DIRECT)
  const block = aligned().fill(1)
  if (fs.fstatSync(fd).size === 0) for (let n = 0; n < BLOCKS; n++) fs.writeSync(fd, block, 0, BLOCK, n * BLOCK)
  const end = performance.now() + Number(await request.text())
  let bytes = 0
  const turn = (buffer) => new Promise((resolve, reject) => {
    const next = () => {
      if (performance.now() >= end) return resolve()
      fs.read(fd, buffer, 0, BLOCK, Math.floor(Math.random() * BLOCKS) * BLOCK, (error, n) => {
        if (error) return reject(error)
        bytes += n
        next()
      })
    }
    next()
  })
  await Promise.all(Array.from({ length: 16 }, () => turn(aligned())))
  fs.closeSync(fd)
  return Response.json(bytes)
}`

/** Bytes that `heavy` reads for each of `light`, both at once: the best of three, for a machine busy elsewhere keeps neither
 *  queue full, and then there is nothing to share. */
async function bestRatio(light: Sandbox, heavy: Sandbox): Promise<number> {
  const read = async (sandbox: Sandbox, ms: number) => Number((await call(sandbox, '/', Buffer.from(String(ms)))).text)
  await Promise.all([read(light, 0), read(heavy, 0)])
  let best = 0
  for (let n = 0; n < 3 && best < 2; n++) {
    const [less, more] = await Promise.all([read(light, 2500), read(heavy, 2500)])
    best = Math.max(best, more / less)
  }
  return best
}

describe('blkioWeight', () => {
  afterAll(() => {
    // The platform of this file is closed after this hook; that it leaves nothing is checked there.
    expect(existsSync(image())).toBe(true)
  })

  test('of 100 and 800 at queue depth 16: the heavier gets at least twice as much', async () => {
    const limits = { scratch: 64 * MIB, memory: 128 * MIB }
    const [light, heavy] = await Promise.all([
      sandboxes.start(reader('/scratch/file'), { ...limits, blkioWeight: 100 }),
      sandboxes.start(reader('/scratch/file'), { ...limits, blkioWeight: 800 }),
    ])
    expect(await bestRatio(light, heavy)).toBeGreaterThan(2)
  })

  test('disks with a weight end at their size, hold rates and counters, and are empty for the next sandbox', async () => {
    const limits = { scratch: 16 * MIB, blkioWeight: 300 }
    const first = await sandboxes.start(EVALUATOR, { ...limits, deviceWriteBps: [{ device: null, rate: 4 * MIB }] })
    const { value, metering } = await metered(first, () =>
      evaluate(
        first,
        `(() => { const from = performance.now(); fs.writeFileSync('/scratch/a', Buffer.alloc(8 * 1048576, 5)); return performance.now() - from })()`,
      ),
    )
    expect(metering.ioWriteBytes).toBeGreaterThanOrEqual(8 * MIB)
    expect(value).toBeGreaterThan(2000 * 0.85)
    expect(await evaluate(first, `fs.writeFileSync('/scratch/b', Buffer.alloc(16 * 1048576))`)).toBe('ENOSPC')
    const used = statSync(image()).blocks * 512
    expect(used).toBeGreaterThan(8 * MIB)
    await first.destroy()
    // What it wrote is no longer there, neither for the host's disk nor for whoever gets the same part next.
    expect(statSync(image()).blocks * 512).toBeLessThan(used - 7 * MIB)
    const next = await sandboxes.start(EVALUATOR, limits)
    expect(await evaluate(next, `fs.readdirSync('/scratch')`)).toEqual([])
    const loop = readdirSync('/sys/block').find((disk) => backingOf(disk) === image())!
    expect(readdirSync(`/sys/block/${loop}`).filter((name) => name.startsWith(`${loop}p`))).toHaveLength(1)
    expect(readFileSync(`/sys/block/${loop}/queue/scheduler`, 'utf8')).toContain('[bfq]')
  })

  test('a disk without a weight stays one of its own', async () => {
    const sandbox = await sandboxes.start(EVALUATOR, { scratch: 8 * MIB })
    expect(existsSync(join(sandboxes.platform.stateDir, 'scratch', `sandbox-${sandbox.id}.img`))).toBe(true)
    await sandbox.destroy()
    expect(existsSync(join(sandboxes.platform.stateDir, 'scratch', `sandbox-${sandbox.id}.img`))).toBe(false)
  })
})

describe('blkioWeightDevice', () => {
  let disk: Disk
  let host: TestRuntime
  beforeAll(async () => {
    disk = await mountDisk(mkdtempSync(join(tmpdir(), 'thaw-weights-')), 160)
    host = await startTestRuntime({ volumeRoots: [disk.path] })
  })
  afterAll(async () => {
    await host.close()
    await disk.unmount()
    rmSync(disk.folder, { recursive: true, force: true })
  })

  test('of 100 and 800 on a disk of the host under bfq: the heavier gets at least twice as much', async () => {
    const loop = readdirSync('/sys/block').find((name) => backingOf(name) === join(disk.folder, 'disk.img'))!
    execFileSync('losetup', ['--direct-io=on', `/dev/${loop}`])
    writeFileSync(`/sys/block/${loop}/queue/scheduler`, 'bfq')
    const start = (name: string, weight: number) => {
      const source = join(disk.path, name)
      mkdirSync(source)
      chownSync(source, 1000, 1000)
      return host.start(
        reader('/mnt/file'),
        { blkioWeightDevice: [{ device: `/dev/${loop}`, weight }] },
        { volumes: [{ kind: 'bind', source, path: '/mnt', readOnly: false }] },
      )
    }
    const [light, heavy] = await Promise.all([start('light', 100), start('heavy', 800)])
    // In the emulated guest the readers wait for the CPU more than for the disk.
    expect(await bestRatio(light, heavy)).toBeGreaterThan(timeScale > 1 ? 1.2 : 2)
    await Promise.all([light.destroy(), heavy.destroy()])
  })
})

function backingOf(disk: string): string {
  const path = `/sys/block/${disk}/loop/backing_file`
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : ''
}
