// Killing what lives in cgroup directories, waiting until they are empty, and removing them. Used for one sandbox and for sweeps.
import { readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../api.ts'
import { RuntimeError } from '../errors.ts'

/** Pids in this directory itself; none when it is gone. */
export function pidsIn(directory: string): number[] {
  try {
    return readFileSync(join(directory, 'cgroup.procs'), 'latin1').split('\n').filter(Boolean).map(Number)
  } catch {
    return []
  }
}

/** This directory and all below, deepest first; none when it is gone. */
export function directoriesBelow(directory: string): string[] {
  let names: string[]
  try {
    names = readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name)
  } catch {
    return []
  }
  return [...names.flatMap((name) => directoriesBelow(join(directory, name))), directory]
}

/** SIGKILL to each pid; those already gone are fine, and the platform itself is never one of them. */
export function killPids(pids: Iterable<number>): void {
  for (const pid of pids) {
    if (pid <= 1 || pid === process.pid) continue
    try {
      process.kill(pid, 'SIGKILL')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
}

/** Rounds of reading and killing, against tasks that fork meanwhile. */
const KILL_ROUNDS = 4

/** SIGKILL to all in these directories of one cgroup, frozen or not, by names only: for a thread that has no open control files.
 *  Never throws. */
export function killDirectories(directories: readonly string[]): void {
  for (const directory of directories) tryWrite(join(directory, 'cgroup.kill'), '1')
  for (let round = 0; round < KILL_ROUNDS; round++) {
    try {
      killPids(new Set(directories.flatMap(pidsIn)))
    } catch {
      // one that may not be killed keeps none of the others
    }
    // v1 holds the signals of frozen tasks back.
    for (const directory of directories) {
      tryWrite(join(directory, 'freezer.state'), 'THAWED')
      tryWrite(join(directory, 'cgroup.freeze'), '0')
    }
  }
}

/** Where there is no such file none is made: a directory of cgroupfs takes none. */
function tryWrite(path: string, text: string): void {
  try {
    writeFileSync(path, text, { flag: 'r+' })
  } catch {
    // not there, or gone
  }
}

/** Polls `condition` at growing intervals (1 to 16 ms); resolves to false when `timeoutMs` passed first. */
export async function waitUntil(condition: () => boolean, timeoutMs: number, clock: Clock): Promise<boolean> {
  const start = clock.monotonicMs()
  for (let pauseMs = 1; !condition(); pauseMs = Math.min(16, pauseMs * 2)) {
    if (clock.monotonicMs() - start >= timeoutMs) return false
    await new Promise<void>((resolve) => void clock.after(pauseMs, resolve))
  }
  return true
}

/** Removes the directories, deepest first, retrying while the kernel still lets go of tasks (EBUSY). Gone is fine.
 *  Throws RuntimeError CREATE_FAILED naming what stays when `timeoutMs` passed. */
export async function removeDirectories(
  directories: readonly string[],
  timeoutMs: number,
  clock: Clock,
): Promise<void> {
  let left = [...directories]
  const removed = await waitUntil(
    () => {
      left = left.filter((directory) => !removeDirectory(directory))
      return left.length === 0
    },
    timeoutMs,
    clock,
  )
  if (!removed) throw new RuntimeError('CREATE_FAILED', `cgroups still busy after ${timeoutMs} ms: ${left.join(', ')}`)
}

/** True when the directory is gone afterwards. */
export function removeDirectory(directory: string): boolean {
  try {
    rmdirSync(directory)
    return true
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT') return true
    if (code === 'EBUSY' || code === 'ENOTEMPTY') return false
    throw error
  }
}
