// What the host keeps from sandboxes: a total for all of them together (on their parent cgroup), and a cgroup of the platform's
// own with a larger share of the CPU and, on v2, memory that reclaim leaves alone. Limits of one sandbox are elsewhere.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock, Logger } from '../api.ts'
import { setTimeSlice } from '../host/time-slice.ts'
import { weightOfShares } from './cpu.ts'
import { pidsIn, removeDirectories } from './kill.ts'
import type { CgroupTree } from './tree.ts'

/** Highest for all sandboxes together. */
export interface SandboxTotals {
  readonly memoryBytes: number
  readonly pids: number
}

/** What the platform's own processes keep. */
export interface PlatformReserve {
  /** Against 1024 of all sandboxes together. */
  readonly cpuShares: number
  /** Not reclaimed from the platform (cgroup v2; on v1 the sandboxes' total does it). */
  readonly memoryBytes: number
}

/** Sets the totals of the parent cgroup of all sandboxes. Throws the system error: without them the host is not safe. */
export function limitSandboxes(tree: CgroupTree, parent: string, totals: SandboxTotals): void {
  const memory = tree.place('memory')
  if (memory !== null) {
    const file = memory.version === 1 ? 'memory.limit_in_bytes' : 'memory.max'
    writeFileSync(join(memory.root, parent, file), String(totals.memoryBytes))
  }
  const pids = tree.place('pids')
  if (pids !== null) writeFileSync(join(pids.root, parent, 'pids.max'), String(totals.pids))
}

const LEAVE_TIMEOUT_MS = 2000
/** At a stretch, when others want its core; the kernel's own is 1.4 ms on two cores. */
const SLICE_US = 200

/** Puts this process (and what it starts from now on) into `/<name>`, in the hierarchies of the CPU and, on v2, memory.
 *  A host that does not allow it is logged and left as it is. `leave` takes everything back to where this process came from. */
export function enterReserve(
  tree: CgroupTree,
  name: string,
  reserve: PlatformReserve,
  host: { readonly clock: Clock; readonly logger: Logger; readonly ownCgroups?: string },
): { leave(): Promise<void> } {
  const cpu = tree.place('cpu')
  if (cpu === null) return { leave: async () => {} }
  const directory = join(cpu.root, name)
  const origin = originOf(cpu.root, cpu.version, host.ownCgroups ?? readFileSync('/proc/self/cgroup', 'utf8'))
  const leave = async (): Promise<void> => {
    setTimeSlice(process.pid, 0, { inherited: true })
    for (const pid of pidsIn(directory)) moveTo(origin, pid)
    await removeDirectories([directory], LEAVE_TIMEOUT_MS, host.clock)
  }
  try {
    mkdirSync(directory, { recursive: true })
    if (cpu.version === 1) writeFileSync(join(directory, 'cpu.shares'), String(reserve.cpuShares))
    else {
      writeFileSync(join(directory, 'cpu.weight'), String(weightOfShares(reserve.cpuShares)))
      const kept = join(directory, 'memory.min')
      if (existsSync(kept)) writeFileSync(kept, String(reserve.memoryBytes))
    }
    writeFileSync(join(directory, 'cgroup.procs'), String(process.pid))
    // Every call wakes this thread twice: each time it takes the core from one that computes, not at the next tick. What it
    // starts (runc, Redis) must not, and sandboxes come from there.
    setTimeSlice(process.pid, SLICE_US, { inherited: false })
  } catch (error) {
    host.logger.warn({ error: (error as Error).message }, 'the platform has no CPU share of its own')
  }
  return { leave }
}

/** The directory this process was in; the hierarchy's root when that is gone or unknown. */
function originOf(root: string, version: 1 | 2, ownCgroups: string): string {
  const line = ownCgroups.split('\n').find((entry) => {
    const [, controllers] = entry.split(':')
    return version === 2 ? controllers === '' : controllers?.split(',').includes('cpu')
  })
  const path = line?.split(':').slice(2).join(':') ?? '/'
  return existsSync(join(root, path, 'cgroup.procs')) ? join(root, path) : root
}

/** A process that ended meanwhile is fine. */
function moveTo(directory: string, pid: number): void {
  try {
    writeFileSync(join(directory, 'cgroup.procs'), String(pid))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
