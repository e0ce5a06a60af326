// A small disk of its own for tests that fill one: a loop file with ext4. Never the machine's own disk.
import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { spawn } from '../../runtime/host/spawn.ts'
import { text } from './streams.ts'

export interface Disk {
  /** Folder given to `mountDisk`; holds the loop file and the mount point. */
  readonly folder: string
  /** Where the disk is mounted. */
  readonly path: string
  unmount(): Promise<void>
}

/** Makes and mounts an ext4 disk of `megabytes` under `folder`. Needs root. */
export async function mountDisk(folder: string, megabytes: number): Promise<Disk> {
  const file = join(folder, 'disk.img')
  const path = join(folder, 'disk')
  const fd = openSync(file, 'w')
  ftruncateSync(fd, megabytes * 1024 * 1024)
  closeSync(fd)
  mkdirSync(path)
  await run('mkfs.ext4', ['-q', '-m0', file])
  await run('mount', ['-o', 'loop', file, path])
  return {
    folder,
    path,
    unmount: async () => {
      await run('umount', [path])
      rmSync(file, { force: true })
    },
  }
}

async function run(command: string, args: string[]): Promise<void> {
  const child = spawn(command, args)
  const [exit, stderr] = await Promise.all([child.exited, text(child.stderr)])
  if (exit.code !== 0) throw new Error(`${command} ${args.join(' ')}: exit ${exit.code} ${stderr}`)
}
