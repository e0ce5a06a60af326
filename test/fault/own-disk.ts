// A small disk that can be filled and whose power can be cut: what was written and not yet synced is gone, as after a real cut on a disk that keeps what it
// said it kept. The file system is shut down (as xfstests' godown does), never the machine.
import { closeSync, openSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { run } from '../../runtime/host/spawn.ts'
import { ioctlBuffer } from '../../runtime/host/syscalls.ts'
import { type Disk, mountDisk } from '../support/disk.ts'
import { until } from '../support/until.ts'

/** EXT4_IOC_SHUTDOWN (linux/ext4.h), and EXT4_GOING_FLAGS_NOLOGFLUSH: not even the journal is written. */
const SHUTDOWN = 0x8004587d
const NOLOGFLUSH = 2

/** A disk whose unmounting is seen in every mount namespace, also those that other platforms on this machine make meanwhile:
 *  they would hold it otherwise. `folder` becomes a mount of its own; `leaveFolder` undoes that. */
export async function mountSeenByAll(folder: string, megabytes: number): Promise<Disk> {
  for (const args of [
    ['--bind', folder, folder],
    ['--make-shared', folder],
  ]) {
    const failed = await succeeds('mount', args)
    if (failed !== null) throw new Error(failed)
  }
  return await mountDisk(folder, megabytes)
}

export async function leaveFolder(folder: string): Promise<void> {
  await succeeds('umount', [folder])
}

/** From now on every read and write of the disk fails. */
export function cutPower(disk: Disk): void {
  const fd = openSync(disk.path, 'r')
  try {
    const flags = Buffer.alloc(4)
    flags.writeUInt32LE(NOLOGFLUSH)
    ioctlBuffer(fd, SHUTDOWN, flags, disk.path)
  } finally {
    closeSync(fd)
  }
}

/** Mounts it again when nobody uses it any more; the file system replays its journal. */
export async function restorePower(disk: Disk, ms: number): Promise<void> {
  await until('the disk is unused', async () => (await succeeds('umount', [disk.path])) ?? true, ms)
  // A dying process may hold the old, dead file system in a mount namespace of its own: its loop device would be used again.
  const image = join(disk.folder, 'disk.img')
  const holders = async (): Promise<string> => (await run('losetup', ['--associated', image])).stdout.trim()
  await until('its loop device is gone', async () => (await holders()) || true, ms)
  const failed = await succeeds('mount', ['-o', 'loop', image, disk.path])
  if (failed !== null) throw new Error(failed)
}

/** Fills the disk mounted at `path` to its last byte for `ms`; what others free meanwhile is taken, too. */
export async function keepFull(path: string, ms: number): Promise<void> {
  const [large, rest] = [join(path, 'filler'), join(path, 'filler-rest')]
  const { bavail, bsize } = statfsSync(path)
  try {
    await run('fallocate', ['--length', String(Math.max(bsize, bavail * bsize - 4 * 1024 ** 2)), large])
    const deadline = performance.now() + ms
    while (performance.now() < deadline) {
      fill(rest)
      await sleep(100)
    }
  } finally {
    rmSync(large, { force: true })
    rmSync(rest, { force: true })
  }
}

function fill(path: string): void {
  for (const bytes of [1024 ** 2, 64 * 1024, 4096]) {
    const block = Buffer.alloc(bytes)
    try {
      for (let written = 0; written < 16 * 1024 ** 2; written += bytes) writeFileSync(path, block, { flag: 'a' })
    } catch {
      // no room for so much at once
    }
  }
}

/** null: it did. */
async function succeeds(command: string, args: readonly string[]): Promise<string | null> {
  const { code, stderr } = await run(command, args)
  return code === 0 ? null : `${command} ${args.join(' ')}: exit ${code} ${stderr}`
}
