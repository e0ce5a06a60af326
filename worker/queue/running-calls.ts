// The queue's calls that this process runs now, by id: fetched for the dispatcher, run, and at the end waited for or handed back.
// Which queue is asked is the dispatcher's, what an attempt does attempt.ts's.
import type { FunctionVersion } from '../api.ts'
import { Attempt, type AttemptContext } from './attempt.ts'
import type { FetchedJob, JobQueues, UnreadableJob } from './job-queues.ts'

const HAND_BACK_MS = 3_000

export class RunningCalls {
  readonly #jobs: JobQueues
  readonly #context: AttemptContext
  readonly #fetched: (queueKey: string, version: FunctionVersion) => void
  readonly #attempts = new Map<string, Attempt>()
  #tokens = 0
  #idle: (() => void) | null = null

  /** `fetched` is called for each call before it counts as running; it throws when the call cannot be read. */
  constructor(jobs: JobQueues, context: AttemptContext, fetched: (queueKey: string, version: FunctionVersion) => void) {
    this.#jobs = jobs
    this.#context = context
    this.#fetched = fetched
  }

  get byId(): ReadonlyMap<string, Attempt> {
    return this.#attempts
  }

  /** One job of the queue; else when its next one is due. */
  async fetch(queueKey: string): Promise<{ readonly job: FetchedJob | null; readonly nextAtMs: number | null }> {
    const { clock } = this.#context
    const token = `${process.pid}-${++this.#tokens}-${clock.now().toString(36)}`
    const { fetched, nextAtMs } = await this.#jobs.fetch(queueKey, token, clock.now())
    if (fetched === null) return { job: null, nextAtMs }
    const attempt = 'newer' in fetched ? fetched : this.#known(fetched)
    if (!('newer' in attempt)) return { job: attempt.fetched, nextAtMs: null }
    // Out of the way, and on to the next.
    await this.#context.unreadable(attempt)
    return { job: null, nextAtMs: clock.now() }
  }

  #known(fetched: FetchedJob): Attempt | UnreadableJob {
    const { queueKey, token, envelope } = fetched
    try {
      // ORDER: a call that is known has its lock renewed for as long as it is, so nothing may fail behind it.
      this.#fetched(queueKey, envelope.version)
      const attempt = new Attempt(fetched, this.#context)
      // Known from here on: a cancel that comes now finds it.
      this.#attempts.set(envelope.id, attempt)
      return attempt
    } catch {
      return { queueKey, id: envelope.id, token, newer: null }
    }
  }

  /** Never rejects. Resolves to how long the call waited in the worker, ms; null: it did not run. */
  async run(fetched: FetchedJob): Promise<number | null> {
    const { id } = fetched.envelope
    const attempt = this.#attempts.get(id)
    if (attempt === undefined) return null
    const waitedMs = await attempt.run()
    if (this.#attempts.get(id) === attempt) this.#attempts.delete(id)
    if (this.#attempts.size === 0) this.#idle?.()
    return waitedMs
  }

  /** Waits up to `ms` for calls to end; the rest goes back to the queue. Nothing may be fetched any more. */
  async drain(ms: number): Promise<void> {
    const { clock } = this.#context
    if (this.#attempts.size > 0 && ms > 0) {
      await new Promise<void>((resolve) => {
        const cancel = clock.after(ms, resolve)
        this.#idle = () => {
          cancel()
          resolve()
        }
      })
    }
    const rest = [...this.#attempts.values()].map((attempt) => attempt.handBack())
    await Promise.race([Promise.all(rest), new Promise<void>((resolve) => clock.after(HAND_BACK_MS, resolve))])
  }

  /** Ends them here without a word to Redis. */
  abandon(): void {
    for (const attempt of this.#attempts.values()) attempt.abandon()
  }
}
