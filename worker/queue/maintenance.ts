// What keeps the lane whole over time: locks of running jobs, jobs that nobody runs, news that nobody brought, old files.
import type { Clock, Logger } from '../../runtime/api.ts'
import type { Attempt } from './attempt.ts'
import type { Dispatcher } from './dispatcher.ts'
import { sweepFolder } from './files.ts'
import { type InvocationStore, KEPT_MS } from './invocation-store.ts'
import type { FetchedJob, JobQueues } from './job-queues.ts'
import { isOpen } from './records.ts'

export interface MaintenanceOptions {
  readonly store: InvocationStore
  readonly jobs: JobQueues
  readonly dispatcher: Dispatcher<FetchedJob>
  readonly active: ReadonlyMap<string, Attempt>
  readonly clock: Clock
  readonly logger: Logger
  readonly soleOwner: boolean
  available(): boolean
  readonly bodiesDir: string
  readonly resultsDir: string
}

const RENEW_MS = 5_000
const SWEEP_MS = 10_000
const TIDY_MS = 10 * 60_000
/** A lock lasts 15 s: after this much without renewal the call must not run on beside its second attempt. */
const LOST_MS = 10_000
const FILE_AGE_MS = 15 * 60_000
const INDEX_KEPT_MS = 15 * 24 * 3_600_000

export class Maintenance {
  readonly #options: MaintenanceOptions
  readonly #cancel = new Map<number, () => void>()
  #suspects: ReadonlySet<string> = new Set()
  #stopped = true

  constructor(options: MaintenanceOptions) {
    this.#options = options
  }

  start(): void {
    this.#stopped = false
    this.#every(RENEW_MS, () => this.#renew())
    this.#every(SWEEP_MS, () => this.sweep())
    this.#every(TIDY_MS, () => this.#tidy())
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
      dispatcher.wake(queueKey)
    }
    return moved
  }

  #every(ms: number, work: () => Promise<void>): void {
    const again = (): void => {
      this.#cancel.set(
        ms,
        this.#options.clock.after(ms, () => {
          if (this.#stopped) return
          const done = this.#options.available() ? work() : Promise.resolve()
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
    try {
      const kept = await jobs.renew(attempts.map((attempt) => attempt.fetched))
      attempts.forEach((attempt, index) => {
        if (kept[index]) attempt.renewedAtMs = nowMs
        else if (!soleOwner) attempt.abandon()
      })
    } finally {
      for (const attempt of attempts) {
        if (!soleOwner && clock.monotonicMs() - attempt.renewedAtMs > LOST_MS) attempt.abandon()
      }
    }
  }

  /** Asks every queue, in case news got lost; before, what nobody runs goes back to it. */
  async sweep(): Promise<void> {
    const { store, jobs, dispatcher, soleOwner } = this.#options
    const suspects = new Set<string>()
    for (const queueKey of await store.queueKeys()) {
      if (soleOwner) await this.#returnOrphans(queueKey, suspects)
      else await jobs.requeueStalled(queueKey)
      dispatcher.wake(queueKey)
    }
    this.#suspects = suspects
  }

  /** A fetch whose answer got lost leaves a job active that nobody runs. While no answer is awaited, every active job that is
   *  not ours is one; else it may be on its way, and must be seen so again at the next sweep. */
  async #returnOrphans(queueKey: string, suspects: Set<string>): Promise<void> {
    const { jobs, dispatcher, active, logger } = this.#options
    const fetching = dispatcher.isFetching(queueKey)
    // ORDER: what ran when we asked may have ended when the answer comes.
    const before = new Set(active.keys())
    const ids = await jobs.activeIds(queueKey)
    const nobodys = ids.filter((id) => !before.has(id) && !active.has(id))
    const orphans = fetching ? nobodys.filter((id) => this.#suspects.has(id)) : nobodys
    for (const id of nobodys) suspects.add(id)
    const moved = await jobs.requeue(queueKey, orphans)
    if (moved > 0) logger.warn({ queue: queueKey, calls: moved }, 'calls that nobody ran are queued again')
  }

  async #tidy(): Promise<void> {
    const { store, clock, bodiesDir, resultsDir, logger } = this.#options
    const nowMs = clock.now()
    const namespaces = new Set((await store.queueKeys()).map((key) => key.slice(0, key.indexOf('/'))))
    for (const namespace of namespaces) await store.trimIndex(namespace, nowMs - INDEX_KEPT_MS)
    const bodies = await sweepFolder(bodiesDir, nowMs - FILE_AGE_MS, async (id) => {
      const record = await store.record(id)
      return (record !== null && isOpen(record.state)) || (await store.isDead(id))
    })
    const results = await sweepFolder(resultsDir, nowMs - Math.min(FILE_AGE_MS, KEPT_MS), async (name) => {
      const head = await store.result(name.slice(0, name.lastIndexOf('-')))
      return head?.file === name
    })
    if (bodies + results > 0) logger.debug({ bodies, results }, 'removed files of calls that are over')
  }
}
