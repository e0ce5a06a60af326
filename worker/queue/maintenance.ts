// What keeps the lane whole over time: locks of running jobs, jobs that nobody runs, news that nobody brought, old files.
import type { Clock, Logger } from '../../runtime/api.ts'
import type { Attempt } from './attempt.ts'
import type { Dispatcher } from './dispatcher.ts'
import { sweepFolder } from './files.ts'
import type { InvocationStore } from './invocation-store.ts'
import type { FetchedJob, JobQueues } from './job-queues.ts'
import { isOpen } from './records.ts'
import type { UseStore } from './use-store.ts'

export interface MaintenanceOptions {
  readonly store: InvocationStore
  readonly use: UseStore
  readonly jobs: JobQueues
  readonly dispatcher: Dispatcher<FetchedJob>
  readonly active: ReadonlyMap<string, Attempt>
  readonly clock: Clock
  readonly logger: Logger
  readonly soleOwner: boolean
  available(): boolean
  readonly bodiesDir: string
  readonly resultsDir: string
  readonly pulledDir: string
  /** How long records and results of calls that are over stay. */
  readonly keptMs: number
}

const SWEEP_MS = 10_000
const TIDY_MS = 10 * 60_000
/** Longer than an answer of Redis is waited for (5 s), shorter than it takes to the next sweep. */
const SUSPECT_MS = 8_000
/** Of a lock's time: renewed and checked so often; and after so much without renewal the call must not run on beside its
 *  second attempt. */
const RENEWED = 1 / 3
const LOST = 2 / 3
const FILE_AGE_MS = 15 * 60_000

export class Maintenance {
  readonly #options: MaintenanceOptions
  readonly #cancel = new Map<string, () => void>()
  /** Active jobs of nobody's while an answer was awaited: since when, `Clock.monotonicMs`. */
  #suspects: ReadonlyMap<string, number> = new Map()
  #sweeping: Promise<unknown> = Promise.resolve()
  #stopped = true

  constructor(options: MaintenanceOptions) {
    this.#options = options
  }

  /** `runs`: this process runs calls; without, it looks after its files alone. */
  start(runs: boolean): void {
    this.#stopped = false
    this.#every('tidy', TIDY_MS, () => this.tidy())
    if (!runs) return
    const renewMs = this.#options.jobs.lockMs * RENEWED
    this.#every('renew', renewMs, () => this.#renew())
    this.#every('fence', renewMs, async () => this.#fence(), 'always')
    if (!this.#options.soleOwner) this.#every('stalls', renewMs, () => this.#requeueStalled())
    this.#every('sweep', SWEEP_MS, () => this.sweep())
  }

  stop(): void {
    this.#stopped = true
    for (const cancel of this.#cancel.values()) cancel()
  }

  /** Wakes every known queue; of a sole owner, all active jobs that it does not run itself wait again. Resolves to how many. */
  async recover(): Promise<number> {
    const { store, jobs, dispatcher, active, soleOwner } = this.#options
    let moved = 0
    for (const queueKey of await store.queueKeys()) {
      if (soleOwner) {
        const ids = await jobs.activeIds(queueKey)
        const left = ids.filter((id) => !active.has(id))
        moved += await jobs.requeue(queueKey, left)
      }
      // The date may have been set back while no platform ran.
      await this.#bringForward(queueKey)
      dispatcher.wake(queueKey)
    }
    return moved
  }

  /** `always`: also while Redis is away. */
  #every(name: string, ms: number, work: () => Promise<void>, when: 'available' | 'always' = 'available'): void {
    const again = (): void => {
      this.#cancel.set(
        name,
        this.#options.clock.after(ms, () => {
          if (this.#stopped) return
          const done = when === 'always' || this.#options.available() ? work() : Promise.resolve()
          done
            .catch((error: Error) => this.#options.logger.debug({ reason: error.message }, 'queue maintenance failed'))
            .finally(() => {
              if (!this.#stopped) again()
            })
        }),
      )
    }
    again()
  }

  async #renew(): Promise<void> {
    const { jobs, active, clock, soleOwner } = this.#options
    const attempts = [...active.values()]
    const nowMs = clock.monotonicMs()
    const kept = await jobs.renew(attempts.map((attempt) => attempt.fetched))
    attempts.forEach((attempt, index) => {
      if (kept[index]) attempt.renewedAtMs = nowMs
      else if (!soleOwner) attempt.abandon()
    })
  }

  /** Whoever could not renew a lock for too long ends the call: another worker may begin it. A sole owner has no other. */
  #fence(): void {
    const { active, clock, jobs, soleOwner, logger } = this.#options
    if (soleOwner) return
    for (const [id, attempt] of active) {
      if (clock.monotonicMs() - attempt.renewedAtMs <= jobs.lockMs * LOST) continue
      logger.warn({ id }, 'a call is ended here: its lock could not be renewed')
      attempt.abandon()
    }
  }

  async #requeueStalled(): Promise<void> {
    const { store, jobs, dispatcher } = this.#options
    for (const queueKey of await store.queueKeys()) {
      if (await jobs.requeueStalled(queueKey)) dispatcher.wake(queueKey)
    }
  }

  /** Asks every queue, in case news got lost; before, what nobody runs goes back to it. One at a time: what one has let run the
   *  next would take away again. */
  sweep(): Promise<void> {
    const swept = this.#sweeping.then(() => this.#sweep())
    this.#sweeping = swept.catch(() => {})
    return swept
  }

  async #sweep(): Promise<void> {
    const { store, jobs, dispatcher, soleOwner } = this.#options
    const suspects = new Map<string, number>()
    const wentBack = jobs.clockWentBack()
    for (const queueKey of await store.queueKeys()) {
      if (wentBack) await this.#bringForward(queueKey)
      if (soleOwner) await this.#returnOrphans(queueKey, suspects)
      dispatcher.wake(queueKey)
    }
    this.#suspects = suspects
    await store.settleDue(this.#options.clock.now())
  }

  async #bringForward(queueKey: string): Promise<void> {
    const moved = await this.#options.jobs.bringForward(queueKey)
    if (moved > 0)
      this.#options.logger.warn(
        { queue: queueKey, calls: moved },
        'the clock went back: delayed calls wait no longer than meant',
      )
  }

  /** A fetch whose answer got lost leaves a job active that nobody runs. While no answer is awaited, every active job that is
   *  not ours is one; else it may be on its way, and must be seen so for longer than any answer is waited for. */
  async #returnOrphans(queueKey: string, suspects: Map<string, number>): Promise<void> {
    const { jobs, dispatcher, active, logger, clock } = this.#options
    const fetching = dispatcher.isFetching(queueKey)
    // ORDER: what ran when we asked may have ended when the answer comes.
    const before = new Set(active.keys())
    const ids = await jobs.activeIds(queueKey)
    const nowMs = clock.monotonicMs()
    const orphans: string[] = []
    for (const id of ids) {
      if (before.has(id) || active.has(id)) continue
      const sinceMs = this.#suspects.get(id) ?? nowMs
      if (!fetching || nowMs - sinceMs >= SUSPECT_MS) orphans.push(id)
      else suspects.set(id, sinceMs)
    }
    const moved = await jobs.requeue(queueKey, orphans)
    if (moved > 0) logger.warn({ queue: queueKey, calls: moved }, 'calls that nobody ran are queued again')
  }

  /** Forgets what belongs to calls that are over and whose time to be asked for is, too. */
  async tidy(): Promise<void> {
    const { store, use, clock, bodiesDir, resultsDir, pulledDir, active, logger, keptMs } = this.#options
    const nowMs = clock.now()
    for (const namespace of await store.namespaces()) {
      await store.trimIndex(namespace, nowMs - keptMs)
      if (await use.recount(namespace)) logger.warn({ namespace }, 'what is queued and kept was counted wrong')
    }
    const bodies = await sweepFolder(bodiesDir, nowMs - FILE_AGE_MS, async (id) => {
      const record = await store.record(id)
      return (record !== null && isOpen(record.state)) || (await store.isDead(id))
    })
    const results = await sweepFolder(resultsDir, nowMs - FILE_AGE_MS, async (name) => {
      const head = await store.result(name.slice(0, name.lastIndexOf('-')))
      return head?.file === name
    })
    await sweepFolder(pulledDir, nowMs - FILE_AGE_MS, async (id) => active.has(id))
    if (bodies + results > 0) logger.debug({ bodies, results }, 'removed files of calls that are over')
  }
}
