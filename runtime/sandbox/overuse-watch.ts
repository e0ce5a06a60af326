// Looks four times a second at what running sandboxes hold of the kernel that no cgroup counts, and kills those that hold too
// much. A sandbox that neither runs nor has run since the last look costs nothing; file locks are read off the event loop.
import { readFileSync } from 'node:fs'
import type { Clock, Fault, Logger } from '../api.ts'
import { countSockets, type LockTable, openLockTable } from '../host/kernel-counts.ts'
import { LockHolders } from './lock-holders.ts'
import { type Budget, findExcess, tellExcess } from './overuse.ts'

/** What the watch needs of a sandbox. */
export interface WatchedSandbox {
  readonly id: string
  readonly pid: number
  /** All processes inside. */
  pids(): readonly number[]
  /** False: its sockets are the host's own. */
  readonly ownNetwork: boolean
  /** True when it runs, or has since this was asked last. */
  tookTurn(): boolean
  kill(fault: Fault): void
}

export interface OveruseWatchOptions {
  readonly sandboxes: () => Iterable<WatchedSandbox>
  readonly clock: Clock
  readonly logger: Logger
  /** Open connections of the whole machine that have no process any more (net.ipv4.tcp_max_orphans); half are the sandboxes'. */
  readonly orphans: number
  readonly locks?: LockTable | null
  readonly countSockets?: (pid: number) => number
  readonly lockHolders?: LockHolders
}

const EVERY_MS = 250
/** Sandboxes whose sockets are counted in one turn of the event loop, some 30 µs each; the next turn goes on. */
const AT_A_TIME = 32

/** 192 bytes each. SQLite needs three or four for an open database. */
export const LOCK_BUDGET: Budget = { resource: 'file locks', perSandbox: 1024, total: 16_384 }
/** Some 4 KiB each while they are not accepted. */
export const SOCKET_BUDGET: Budget = { resource: 'TCP sockets', perSandbox: 4096, total: 65_536 }

export class OveruseWatch {
  readonly #options: OveruseWatchOptions
  readonly #sockets: Budget
  readonly #count: (pid: number) => number
  /** Last known of each sandbox: a frozen one still holds what it held. */
  readonly #socketsOf = new Map<WatchedSandbox, number>()
  readonly #lockHolders: LockHolders
  #locks: LockTable | null
  #reading: Promise<void> | null = null
  #cancel: () => void
  #closed = false

  constructor(options: OveruseWatchOptions) {
    this.#options = options
    this.#locks = options.locks ?? null
    this.#lockHolders = options.lockHolders ?? new LockHolders()
    this.#count = options.countSockets ?? countSockets
    this.#sockets = { ...SOCKET_BUDGET, total: Math.min(SOCKET_BUDGET.total, Math.floor(options.orphans / 2)) }
    this.#cancel = options.clock.after(EVERY_MS, this.#look)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancel()
    await this.#reading
    await this.#locks?.close()
  }

  readonly #look = (): void => {
    if (this.#closed) return
    const all = [...this.#options.sandboxes()]
    const awake = all.filter((sandbox) => sandbox.tookTurn())
    if (awake.length > 0 && this.#locks !== null) this.#reading ??= this.#lookAtLocks(this.#locks, all)
    this.#lookAtSockets(all, awake)
    this.#cancel = this.#options.clock.after(EVERY_MS, this.#look)
  }

  #lookAtSockets(all: readonly WatchedSandbox[], awake: readonly WatchedSandbox[]): void {
    if (this.#closed) return
    for (const sandbox of awake.slice(0, AT_A_TIME))
      if (sandbox.ownNetwork) this.#socketsOf.set(sandbox, this.#count(sandbox.pid))
    if (awake.length > AT_A_TIME) {
      setImmediate(() => this.#lookAtSockets(all, awake.slice(AT_A_TIME)))
      return
    }
    const alive = new Set(all)
    for (const sandbox of this.#socketsOf.keys()) if (!alive.has(sandbox)) this.#socketsOf.delete(sandbox)
    for (const sandbox of this.#judge(this.#socketsOf, this.#sockets)) this.#socketsOf.delete(sandbox)
  }

  async #lookAtLocks(table: LockTable, sandboxes: readonly WatchedSandbox[]): Promise<void> {
    const counts = await table.count(LOCK_BUDGET.total)
    const few = counts.total <= LOCK_BUDGET.perSandbox
    const held = few ? new Map<WatchedSandbox, number>() : await this.#lockHolders.share(counts.byPid, sandboxes)
    this.#reading = null
    if (this.#closed || few) return
    // Where there are more than were counted, who has the most of the newest goes.
    this.#judge(held, counts.complete ? LOCK_BUDGET : { ...LOCK_BUDGET, total: LOCK_BUDGET.total / 2 })
  }

  #judge(held: ReadonlyMap<WatchedSandbox, number>, budget: Budget): WatchedSandbox[] {
    const excess = findExcess(held, budget)
    for (const { holder, held: count, bound } of excess) {
      const message = tellExcess({ held: count, bound }, budget)
      this.#options.logger.warn({ sandbox: holder.id, resource: budget.resource, held: count, bound }, message)
      holder.kill({ code: 'OUT_OF_MEMORY', message, data: { resource: budget.resource, held: count, bound } })
    }
    return excess.map(({ holder }) => holder)
  }
}

/** Opens what it reads and begins to watch. */
export async function watchOveruse(
  options: Omit<OveruseWatchOptions, 'locks' | 'orphans' | 'countSockets'>,
): Promise<OveruseWatch> {
  return new OveruseWatch({ ...options, locks: await openLockTable(), orphans: mostOrphans() })
}

const ORPHANS = '/proc/sys/net/ipv4/tcp_max_orphans'

function mostOrphans(): number {
  try {
    return Number(readFileSync(ORPHANS, 'latin1'))
  } catch {
    // In a network namespace other than the host's first the file is missing.
    return 2 * SOCKET_BUDGET.total
  }
}
