// Removes what a killed platform of the same id left: OCI runtimes still at work, mounts, loop disks, folders.
// Cgroups are the cgroup host's. The caller holds the state lock and has ended the old guard.
import { readdirSync, readFileSync } from 'node:fs'
import { rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from '../api.ts'
import { detachLoop, loopsUnder } from './loop.ts'
import { mountsUnder, unmount } from './mounts.ts'

export interface SweepOptions {
  readonly ociRoot: string
  readonly sandboxesDir: string
  /** Mount points of volumes: unmounted, and removed without whatever is in them. */
  readonly mountsDir: string
  readonly scratchDir: string
  readonly logger: Logger
}

/** Kills OCI runtimes of ours that are still creating something. Comes before the sweep of the cgroups. */
export function killCreators(ociRoot: string): number {
  let killed = 0
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue
    if (!argumentsOf(name).includes(`--root=${ociRoot}`)) continue
    try {
      process.kill(Number(name), 'SIGKILL')
      killed++
    } catch {
      // ended by itself
    }
  }
  return killed
}

function argumentsOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch {
    return []
  }
}

/** Unmounts, detaches and deletes. The processes must be dead. */
export async function sweepFiles(options: SweepOptions): Promise<void> {
  const mounts = [...mountsUnder(options.mountsDir), ...mountsUnder(options.sandboxesDir)]
  for (const target of mounts) unmount(target)
  const loops = loopsUnder(options.scratchDir)
  for (const device of loops) detachLoop(device)
  for (const folder of [options.ociRoot, options.sandboxesDir, options.scratchDir]) {
    await rm(folder, { recursive: true, force: true })
  }
  await removeMountPoints(options.mountsDir)
  if (mounts.length + loops.length > 0) {
    options.logger.info({ mounts: mounts.length, loops: loops.length }, 'removed what an earlier platform left')
  }
}

/** `<sandbox>/<number>`: empty folders, two deep. */
async function removeMountPoints(mountsDir: string): Promise<void> {
  for (const sandbox of namesIn(mountsDir)) {
    for (const name of namesIn(join(mountsDir, sandbox))) await rmdir(join(mountsDir, sandbox, name)).catch(() => {})
    await rmdir(join(mountsDir, sandbox)).catch(() => {})
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return [] // not there
  }
}
