// Images of scratch disks: a sparse ext4 template for each size, made once, and copies of it.
// No journal, so that synchronous writes stay few. Mounts nothing for sandboxes (scratch-disk.ts does).
import { mkdirSync, rmdirSync } from 'node:fs'
import { open, rename, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { RuntimeError } from '../errors.ts'
import { attachLoop } from './loop.ts'
import { mountExt4, unmountApart } from './mounts.ts'
import { exists } from './paths.ts'
import { type CommandResult, run } from './spawn.ts'

/** Makes the image `file` of `sizeBytes`, from a template in `folder`. Throws RuntimeError DISK_FULL. */
export async function makeScratchImage(folder: string, file: string, sizeBytes: number): Promise<void> {
  const template = await scratchTemplate(folder, sizeBytes)
  // cp keeps the holes: a copy writes only the few blocks of ext4's own tables.
  expectSuccess('cp', await run('cp', ['--sparse=always', '--', template, file]))
}

/** Path of an empty file system of that size in `folder`, made at first use. Nobody may write to it. */
export async function scratchTemplate(folder: string, sizeBytes: number): Promise<string> {
  const template = join(folder, `template-${sizeBytes}.img`)
  if (!(await exists(template))) await makeTemplate(folder, template, sizeBytes)
  return template
}

async function makeTemplate(folder: string, template: string, sizeBytes: number): Promise<void> {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const draft = `${template}.${process.pid}.${Math.random().toString(36).slice(2)}.tmp`
  try {
    const handle = await open(draft, 'wx', 0o600)
    await handle.truncate(sizeBytes)
    await handle.close()
    const features = ['-m0', '-O', '^has_journal,^resize_inode', '-E', 'root_owner=0:0,lazy_itable_init=1,nodiscard']
    expectSuccess('mkfs.ext4', await run('mkfs.ext4', ['-q', '-F', ...features, draft]))
    await removeLostAndFound(draft)
    await rename(draft, template)
  } finally {
    await rm(draft, { force: true })
  }
}

/** The disk is a function's own: it starts empty. */
export async function removeLostAndFound(image: string): Promise<void> {
  const target = `${image}.mnt`
  mkdirSync(target, { mode: 0o700 })
  try {
    const loop = attachLoop(image)
    try {
      await mountExt4(loop.path, target)
      try {
        await rmdir(join(target, 'lost+found'))
      } finally {
        await unmountApart(target)
      }
    } finally {
      loop.release()
    }
  } finally {
    rmdirSync(target)
  }
}

/** Throws with the command's own words unless it ended well; RuntimeError DISK_FULL when that was the reason. */
export function expectSuccess(command: string, result: CommandResult): void {
  if (result.code === 0) return
  if (result.stderr.includes('No space left'))
    throw new RuntimeError('DISK_FULL', `no space left: ${result.stderr.trim()}`)
  const how = result.signal === null ? `exit ${result.code}` : `signal ${result.signal}`
  throw new Error(`${command}: ${how}: ${result.stderr.trim()}`)
}
