import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  claimKernelId,
  type DirectoryMark,
  isSame,
  type KernelName,
  kernelId,
  markOf,
} from '../../../../runtime/host/kernel-id.ts'
import { ownerOf } from '../../../../runtime/host/owner-lock.ts'
import { stateId } from '../../../../runtime/host/state-id.ts'

let folder: string
let runRoot: string
const held: KernelName[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'thaw-kernel-id-'))
  runRoot = join(folder, 'run')
})
afterEach(() => {
  for (const name of held.splice(0)) name.release()
  rmSync(folder, { recursive: true, force: true })
})

async function claim(stateDir: string): Promise<KernelName> {
  const name = await claimKernelId(stateDir, runRoot)
  held.push(name)
  return name
}
/** A directory that was used, and is not any more. */
async function used(name: string): Promise<string> {
  const stateDir = join(folder, name)
  mkdirSync(stateDir)
  await stateId(stateDir)
  ;(await claimKernelId(stateDir, runRoot)).release()
  return stateDir
}
function copy(from: string, name: string): string {
  const to = join(folder, name)
  cpSync(from, to, { recursive: true, preserveTimestamps: true })
  return to
}

describe('the name of a state directory among kernel objects', () => {
  test('is its lasting id, and stays', async () => {
    const stateDir = await used('one')
    const { id } = await claim(stateDir)
    expect(id).toBe(await stateId(stateDir))
    expect(await kernelId(stateDir)).toBe(id)
    expect(ownerOf(id, runRoot)).toEqual({ pid: process.pid, directory: stateDir })
  })

  test('stays when the directory is moved, or reached by a link', async () => {
    const stateDir = await used('one')
    const id = await kernelId(stateDir)
    const moved = join(folder, 'moved')
    renameSync(stateDir, moved)
    symlinkSync(moved, stateDir)
    expect((await claim(stateDir)).id).toBe(id)
  })

  test('is another for a copy, and the lasting id is not; the first one keeps its own', async () => {
    const first = await used('first')
    const second = copy(first, 'second')
    const [one, two] = [await claim(first), await claim(second).catch((error) => error)]
    expect(two).toMatchObject({ code: 'STATE_COPIED' })
    one.release()
    const other = await claim(second)
    expect(other.id).not.toBe(one.id)
    expect(await stateId(second)).toBe(await stateId(first))
    // Now both may run.
    expect((await claim(first)).id).toBe(one.id)
    other.release()
    expect((await claim(second)).id).toBe(other.id)
  })

  test('is not given to a copy while the first one runs, which is said with what, where and the way out', async () => {
    const first = await used('first')
    await claim(first)
    const second = copy(first, 'second')
    await expect(claimKernelId(second, runRoot)).rejects.toThrow(
      `state directory ${second} is a copy of ${first}, which process ${process.pid} uses now; stop that platform first`,
    )
    expect(readFileSync(join(second, 'kernel-id'), 'utf8')).toBe(readFileSync(join(first, 'kernel-id'), 'utf8'))
    // The way out that is named.
    for (const file of ['id', 'kernel-id']) rmSync(join(second, file))
    expect((await claim(second)).id).not.toBe(await kernelId(first))
  })

  test('of a copy of a copy is another again', async () => {
    const first = await used('first')
    const second = copy(first, 'second')
    const { id } = await claim(second)
    held.pop()!.release()
    const third = copy(second, 'third')
    expect(new Set([await kernelId(first), id, (await claim(third)).id]).size).toBe(3)
  })

  test('is another for what was restored to the same path, and refused while the removed one still runs', async () => {
    const stateDir = await used('one')
    const backup = copy(stateDir, 'backup')
    const running = await claim(stateDir)
    rmSync(stateDir, { recursive: true })
    cpSync(backup, stateDir, { recursive: true })
    await expect(claimKernelId(stateDir, runRoot)).rejects.toMatchObject({ code: 'STATE_COPIED' })
    running.release()
    expect((await claim(stateDir)).id).not.toBe(running.id)
  })

  test('is found again after a file that says nothing of use', async () => {
    const stateDir = await used('one')
    const id = await stateId(stateDir)
    for (const text of ['', '{', 'null', '{"id":"../../etc"}', '[]', `{"id":"${id}"}`]) {
      writeFileSync(join(stateDir, 'kernel-id'), text)
      expect(await kernelId(stateDir)).toBe(id)
    }
    expect((await claim(stateDir)).id).toBe(id)
  })

  test('leaves nothing when it is given back', async () => {
    await used('one')
    expect(existsSync(runRoot)).toBe(false)
  })
})

test.each<[string, Partial<DirectoryMark>, boolean]>([
  ['the same', {}, true],
  ['on a disk that got another number at the next boot', { device: '9', boot: 'b' }, true],
  ['of another inode', { inode: '9' }, false],
  ['of another birth', { bornNs: '9' }, false],
  ['on a clone of the disk', { device: '9' }, false],
])('a directory %s is the same one: %s', (_what, changes, same) => {
  const mark = { inode: '1', bornNs: '2', device: '3', boot: 'a' }
  expect(isSame(mark, { ...mark, ...changes })).toBe(same)
})

test('two directories made after each other have different marks', () => {
  const [one, two] = ['a', 'b'].map((name) => {
    mkdirSync(join(folder, name))
    return markOf(join(folder, name))
  })
  expect(isSame(one!, two!)).toBe(false)
})
