// Removes what a platform that was killed left in its cgroups: kills every task below the parent, waits, removes the directories.
// Touches nothing outside the parent it is given.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock, Logger } from '../api.ts'
import { directoriesBelow, killPids, pidsIn, removeDirectories, waitUntil } from './kill.ts'
import type { CgroupTree } from './tree.ts'

const EMPTY_TIMEOUT_MS = 5000
const REMOVE_TIMEOUT_MS = 2000

/** Kills and removes all below `/<parent>`; the parents stay. Resolves to the number of processes killed.
 *  Throws RuntimeError CREATE_FAILED when something stays. */
export async function sweepParent(tree: CgroupTree, parent: string, clock: Clock, logger: Logger): Promise<number> {
  const killed = new Set<number>()
  const parents = tree.hierarchies.map((root) => join(root, parent))
  const everywhere = (): string[] => parents.flatMap(directoriesBelow)
  const children = (): string[] => everywhere().filter((path) => !parents.includes(path))
  const killRound = (): boolean => {
    const pids = new Set(everywhere().flatMap(pidsIn))
    pids.delete(process.pid)
    for (const directory of children()) tryWrite(join(directory, 'cgroup.kill'), '1')
    killPids(pids)
    for (const pid of pids) killed.add(pid)
    return pids.size === 0
  }
  killRound()
  for (const directory of children()) release(directory)
  const empty = await waitUntil(killRound, EMPTY_TIMEOUT_MS, clock)
  if (!empty) logger.warn({ parent }, 'cgroups of an earlier platform are not empty yet')
  await removeDirectories(children(), REMOVE_TIMEOUT_MS, clock)
  return killed.size
}

/** ORDER: after the signal, so that a frozen orphan does not run on: thaws, and lifts the rates that hold tasks back. */
function release(directory: string): void {
  tryWrite(join(directory, 'cgroup.freeze'), '0')
  tryWrite(join(directory, 'freezer.state'), 'THAWED')
  for (const rate of ['read_bps', 'write_bps', 'read_iops', 'write_iops']) {
    const path = join(directory, `blkio.throttle.${rate}_device`)
    for (const disk of disksIn(path)) tryWrite(path, `${disk} 0`)
  }
  const path = join(directory, 'io.max')
  for (const disk of disksIn(path)) tryWrite(path, `${disk} rbps=max wbps=max riops=max wiops=max`)
}

function disksIn(path: string): string[] {
  try {
    return readFileSync(path, 'latin1')
      .split('\n')
      .filter(Boolean)
      .map((line) => line.slice(0, line.indexOf(' ')))
  } catch {
    return []
  }
}

/** A file that is missing belongs to another hierarchy, or its cgroup is gone already. */
function tryWrite(path: string, value: string): void {
  try {
    writeFileSync(path, value, { flag: 'r+' })
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code !== 'ENOENT' && code !== 'ENODEV' && code !== 'EOPNOTSUPP') throw error
  }
}
