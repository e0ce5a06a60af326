// Once a minute: learns which functions were called and decides, by policy/, which silent ones keep a sandbox, give it up, or
// have one made ahead of the call expected. Speaks for functions without a `keepAlive` of their own, once their calls are known.
import type { Clock } from '../../runtime/api.ts'
import { GapHistory, type GapSnapshot } from './policy/gap-history.ts'
import { DEFAULT_PRICE, isWorthHolding } from './policy/retention.ts'
import type { Pool } from './pool.ts'
import type { FunctionPool, VersionPool } from './version-pool.ts'

const MINUTE_MS = 60_000
/** Gaps between minutes with calls after which a function's calls count as known. */
export const GAPS_TO_KNOW = 3
/** Functions remembered, whether the pool knows them now or not; the longest silent are forgotten first. */
export const MOST_HISTORIES = 10_000

export class Retention {
  readonly #clock: Clock
  /** Wall-clock ms at the monotonic instant 0, read once: minutes never step. */
  readonly #originMs: number
  readonly #histories = new Map<string, GapHistory>()
  #changes = 0
  #decidedMinute = Number.NEGATIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
    this.#originMs = clock.now() - clock.monotonicMs()
  }

  /** True when the version's last sandbox stays or goes by what is known of its function's calls. */
  decidesOn(version: VersionPool): boolean {
    if (
      version.retired ||
      version.superseded ||
      version.config.keepAliveMs !== null ||
      currentOf(version.fn) !== version
    )
      return false
    return (this.#histories.get(version.fn.key)?.gaps ?? 0) >= GAPS_TO_KNOW
  }

  /** Looks at all functions when a minute is over. Returns when to look again (monotonic ms); Infinity: there are none. */
  look(pool: Pool, nowMs: number): number {
    if (pool.functions.size === 0) return Number.POSITIVE_INFINITY
    const minute = this.#minuteAt(nowMs) - 1
    if (minute > this.#decidedMinute) {
      this.#decidedMinute = minute
      for (const fn of pool.functions.values()) {
        this.#learn(fn, minute)
        this.#decide(pool, fn, minute)
      }
      this.#forget()
    }
    return (minute + 2) * MINUTE_MS - this.#originMs
  }

  /** Counts what was learned: another number means that there is something new to write down. */
  get changes(): number {
    return this.#changes
  }

  /** All that is known, to be written down, function by function. */
  *entries(): Generator<readonly [key: string, GapSnapshot]> {
    for (const [key, history] of this.#histories) yield [key, history.snapshot()]
  }

  /** Takes over what was written down; what is damaged is left out. Returns how many functions it knows. */
  restore(written: unknown): number {
    if (typeof written !== 'object' || written === null) return 0
    for (const [key, one] of Object.entries(written)) {
      const history = GapHistory.restore(one)
      // A clock that was set back since would hide every call from it.
      if (history === null || history.lastMinute > this.#minuteAt(this.#clock.monotonicMs())) continue
      this.#histories.set(key, history)
    }
    this.#forget()
    return this.#histories.size
  }

  #minuteAt(monotonicMs: number): number {
    return Math.floor((this.#originMs + monotonicMs) / MINUTE_MS)
  }

  #learn(fn: FunctionPool, minute: number): void {
    const { lastMs } = fn.arrivals
    const history = this.#histories.get(fn.key) ?? new GapHistory()
    const before = history.lastMinute
    if (!Number.isNaN(lastMs)) history.called(this.#minuteAt(lastMs))
    if (fn.running + fn.waiting > 0) history.called(minute)
    if (Object.is(history.lastMinute, before)) return
    this.#changes++
    this.#histories.set(fn.key, history)
  }

  #decide(pool: Pool, fn: FunctionPool, minute: number): void {
    const version = currentOf(fn)
    const history = this.#histories.get(fn.key)
    if (version === null || history === undefined || history.lastMinute >= minute || !this.decidesOn(version)) return
    const held = version.slots.size > 0
    // What is made ahead is there a whole minute before the one with the call: a timer fires in its first second.
    const worthIn = (silent: number) => isWorthHolding({ hazard: history.hazard(silent), held, cost: 1 }, DEFAULT_PRICE)
    const worth = worthIn(minute + 1) || (held && worthIn(minute))
    if (worth && !held) makeAhead(pool, version)
    if (worth || !held) return
    const resting = version.available.filter((slot) => slot.resting).sort((a, b) => a.idleSinceMs - b.idleSinceMs)
    const surplus = Math.max(0, version.slots.size - version.minWarm)
    for (const slot of resting.slice(0, surplus)) void pool.supply.discard(slot)
  }

  #forget(): void {
    if (this.#histories.size <= MOST_HISTORIES) return
    const bySilence = [...this.#histories].sort(([, a], [, b]) => a.lastMinute - b.lastMinute)
    for (const [key] of bySilence.slice(0, this.#histories.size - MOST_HISTORIES)) this.#histories.delete(key)
  }
}

/** Nobody waits for it: it takes no room from others, and no launch from a call that waits. */
function makeAhead(pool: Pool, version: VersionPool): void {
  const missing = pool.supply.room.missing(pool.supply.room.sizeOf(version.config.limits.memory), true)
  if (missing.bytes > 0 || missing.count > 0 || pool.waiting > 0 || version.launchFailures > 0) return
  pool.replace(version)
}

/** The version called or verified last. */
function currentOf(fn: FunctionPool): VersionPool | null {
  let current: VersionPool | null = null
  for (const version of fn.versions) {
    if (!version.retired && !version.superseded && (current === null || version.lastUsedMs >= current.lastUsedMs))
      current = version
  }
  return current
}
