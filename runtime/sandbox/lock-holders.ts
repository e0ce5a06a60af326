// Which sandbox the locks of files belong to. A lock names the process that took it, and that one may be gone while another has the
// open file with the lock (flock(2), fork(2)): then who has it is looked for among all sandboxes' open files.
import { readFileSync } from 'node:fs'
import { lockTakers } from '../host/kernel-counts.ts'

/** What is asked of a sandbox. */
export interface LockHolder {
  readonly id: string
  /** All processes inside. */
  pids(): readonly number[]
}

/** Locks of processes that are gone: up to this many, their holders are not looked for. */
export const FEW_LOCKS = 256
/** Open files of one sandbox that are looked at in one search, some 0.1 ms each off the event loop. The next one looks at others. */
const FILES_AT_A_TIME = 1024

export interface LockHoldersOptions {
  readonly sandboxOf?: (pid: number) => string | null | 'gone'
  readonly takers?: (pid: number, most: number) => Promise<ReadonlySet<number>>
}

export class LockHolders {
  readonly #sandboxOf: NonNullable<LockHoldersOptions['sandboxOf']>
  readonly #takers: NonNullable<LockHoldersOptions['takers']>
  /** Sandbox of a process that is gone. */
  readonly #found = new Map<number, string>()

  constructor(options: LockHoldersOptions = {}) {
    this.#sandboxOf = options.sandboxOf ?? sandboxOf
    this.#takers = options.takers ?? lockTakers
  }

  /** Counts by process as counts by sandbox. Processes of the host's are left out. Never rejects. */
  async share<T extends LockHolder>(
    byPid: ReadonlyMap<number, number>,
    holders: readonly T[],
  ): Promise<Map<T, number>> {
    const ids = new Map([...byPid.keys()].map((pid) => [pid, this.#sandboxOf(pid)]))
    for (const pid of this.#found.keys()) if (ids.get(pid) !== 'gone') this.#found.delete(pid)
    const lost = new Map([...byPid].filter(([pid]) => ids.get(pid) === 'gone' && !this.#found.has(pid)))
    if (sum(lost.values()) > FEW_LOCKS) await this.#search(lost, holders)
    const byId = new Map(holders.map((holder) => [holder.id, holder]))
    const held = new Map<T, number>()
    for (const [pid, count] of byPid) {
      const holder = byId.get(this.#found.get(pid) ?? ids.get(pid) ?? '')
      if (holder !== undefined) held.set(holder, (held.get(holder) ?? 0) + count)
    }
    return held
  }

  async #search(lost: ReadonlyMap<number, number>, holders: readonly LockHolder[]): Promise<void> {
    for (const holder of holders) {
      const pids = holder.pids()
      for (const pid of pids) {
        const takers = await this.#takers(pid, Math.ceil(FILES_AT_A_TIME / pids.length))
        for (const taker of takers) if (lost.has(taker)) this.#found.set(taker, holder.id)
      }
    }
  }
}

function sum(numbers: Iterable<number>): number {
  let total = 0
  for (const number of numbers) total += number
  return total
}

/** By its cgroup, `…/thaw-<platform>/<sandbox>`; null for a process of the host's. */
function sandboxOf(pid: number): string | null | 'gone' {
  try {
    return /\/thaw-[^/\n]+\/([^/\n]+)/.exec(readFileSync(`/proc/${pid}/cgroup`, 'latin1'))?.[1] ?? null
  } catch {
    return 'gone'
  }
}
