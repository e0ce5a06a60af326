// Walks over all calls now and then and puts right what record and job disagree about, if it stays so for half a minute: everything
// else is on its way. Of several processes on one Redis one walks; each repair checks again first, so two would do no harm.
import { randomUUID } from 'node:crypto'
import type { Clock, Logger } from '../../runtime/api.ts'
import type { Envelope } from './envelope.ts'
import type { JobQueues, UnreadableJob } from './job-queues.ts'
import { type Mending, mendingOf } from './reconcile-policy.ts'
import type { Pair, ReconcileStore } from './reconcile-store.ts'
import { settleUnreadable } from './unreadable-jobs.ts'

export interface ReconcilerOptions {
  readonly store: ReconcileStore
  readonly jobs: Pick<JobQueues, 'envelope' | 'defer'>
  readonly clock: Clock
  readonly logger: Logger
  /** Calls that this process runs: they are left alone. */
  readonly active: { has(id: string): boolean }
  available(): boolean
  /** The queue has something to run. */
  queued(queueKey: string): void
  /** A call was ended. */
  ended(id: string): void
  readonly times: Partial<ReconcileTimes>
}
export interface ReconcileTimes {
  /** From the end of a walk to the next, ms. */
  readonly everyMs: number
  /** Between two pages of a walk. */
  readonly pageMs: number
  /** What has not changed for so long is put right. */
  readonly unchangedMs: number
}
/** What was put right since the start, by kind; `due`: queues with calls that would not have been asked. */
export type Mended = Readonly<Record<Mending | 'due', number>>

const TIMES: ReconcileTimes = { everyMs: 120_000, pageMs: 20, unchangedMs: 30_000 }
/** More wait for the next walk. */
const SUSPECTS_MAX = 10_000
const LEASE_MS = 60_000
/** Put right in one write to the disk. */
const AT_ONCE = 50

interface Suspect {
  readonly pair: Pair
  readonly sinceMs: number
}

/** Owns one timer from `start` to `stop`. */
export class Reconciler {
  readonly #options: ReconcilerOptions
  readonly #times: ReconcileTimes
  readonly #who = randomUUID()
  readonly #mended = { requeue: 0, end: 0, drop: 0, record: 0, due: 0 }
  #suspects = new Map<string, Suspect>()
  #cancel: () => void = () => {}
  #stopped = true

  constructor(options: ReconcilerOptions) {
    this.#options = options
    this.#times = { ...TIMES, ...options.times }
  }

  get mended(): Mended {
    return this.#mended
  }

  /** The first walk begins at once. */
  start(): void {
    if (!this.#stopped) return
    this.#stopped = false
    void this.#go()
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  /** Ends a call that was handed out and cannot be run here. Rejects when Redis is away. */
  unreadable(job: UnreadableJob): Promise<void> {
    return settleUnreadable(job, this.#options)
  }

  async #go(): Promise<void> {
    while (!this.#stopped) {
      const waitMs = await this.#round().catch((error: Error) => {
        this.#options.logger.debug({ reason: error.message }, 'calls could not be reconciled')
        return this.#times.unchangedMs
      })
      await this.#sleep(waitMs)
    }
  }

  /** One walk, and what it found after it had time to change. Resolves to how long to wait for the next. */
  async #round(): Promise<number> {
    const { store, available } = this.#options
    const { everyMs, unchangedMs } = this.#times
    if (!available() || !(await store.lease(this.#who, LEASE_MS))) return everyMs
    await this.#walk()
    if (this.#suspects.size === 0) return everyMs
    await this.#sleep(unchangedMs)
    if (!this.#stopped) await this.#settle()
    return Math.max(0, everyMs - unchangedMs)
  }

  async #walk(): Promise<void> {
    const { store } = this.#options
    let cursor = '0'
    do {
      const page = await store.page(cursor)
      this.#countQueues(page.missingQueues)
      for (const pair of page.pairs) this.#suspect(pair)
      cursor = page.cursor
      await this.#sleep(this.#times.pageMs)
      if (!(await store.lease(this.#who, LEASE_MS))) return
    } while (cursor !== '0' && !this.#stopped)
  }

  #suspect(pair: Pair): void {
    const { active, clock } = this.#options
    const key = keyOf(pair)
    if (active.has(pair.id) || this.#suspects.has(key) || this.#suspects.size >= SUSPECTS_MAX) return
    this.#suspects.set(key, { pair, sinceMs: clock.monotonicMs() })
  }

  /** Those that are still as they were are put right; those that were seen too short a while ago wait. */
  async #settle(): Promise<void> {
    const { store, clock, active } = this.#options
    const before = this.#suspects
    this.#suspects = new Map()
    const asked = [...before.values()].map(({ pair }) => [pair.queueKey, pair.id] as const)
    const { pairs } = await store.look(asked)
    const counts = { requeue: 0, end: 0, drop: 0, record: 0 }
    const ripe = pairs.filter((pair) => {
      const suspect = before.get(keyOf(pair))
      if (suspect === undefined || !isSame(suspect.pair, pair) || active.has(pair.id)) return false
      const isRipe = clock.monotonicMs() - suspect.sinceMs >= this.#times.unchangedMs
      if (!isRipe) this.#suspects.set(keyOf(pair), suspect)
      return isRipe
    })
    try {
      for (let from = 0; from < ripe.length && !this.#stopped; from += AT_ONCE) {
        const done = await Promise.all(ripe.slice(from, from + AT_ONCE).map((pair) => this.#mend(pair)))
        for (const mending of done) if (mending !== null) counts[mending]++
      }
    } finally {
      this.#tell(counts)
    }
  }

  async #mend(pair: Pair): Promise<Mending | null> {
    const { store, clock, queued, ended } = this.#options
    const mending = mendingOf(pair.record, pair.job)
    if (mending === null) return null
    const envelope = mending === 'requeue' || mending === 'record' ? await this.#envelope(pair) : null
    if (!(await store.mend(pair, mending, envelope, clock.now()))) return null
    this.#mended[mending]++
    if (mending === 'requeue' || mending === 'record') queued(pair.queueKey)
    if (mending === 'end') ended(pair.id)
    return mending
  }

  /** null: it cannot be read; its next fetch ends the call. */
  async #envelope({ queueKey, id }: Pair): Promise<Envelope | null> {
    return await this.#options.jobs.envelope(queueKey, id).catch(() => null)
  }

  #countQueues(missing: number): void {
    if (missing === 0) return
    this.#mended.due += missing
    this.#options.logger.warn({ queues: missing }, 'queues that hold calls were missing in the due index')
  }

  #tell(counts: Readonly<Record<Mending, number>>): void {
    const { requeue, end, drop, record } = counts
    if (requeue + end + drop + record === 0) return
    const fields = { queuedAgain: requeue, ended: end, jobsRemoved: drop, recordsWritten: record }
    this.#options.logger.warn(fields, 'calls whose record and job disagreed were put right')
  }

  async #sleep(ms: number): Promise<void> {
    if (this.#stopped) return
    await new Promise<void>((resolve) => {
      const cancel = this.#options.clock.after(ms, resolve)
      this.#cancel = () => {
        cancel()
        resolve()
      }
    })
  }
}

function keyOf({ queueKey, id }: Pair): string {
  return `${queueKey} ${id}`
}

function isSame(one: Pair, other: Pair): boolean {
  return one.text === other.text && one.job === other.job
}
