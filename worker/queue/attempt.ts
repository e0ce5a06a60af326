// One attempt of one job: begin, run, decide, write down, tell the queue. Writes are repeated until Redis took them; a job whose
// lock went to somebody else is left alone.
import type { Clock, Logger } from '../../runtime/api.ts'
import type { Invocation, InvocationFailure, InvocationRecord, InvocationRequest, Worker } from '../api.ts'
import type { RedisStore } from '../store/connect.ts'
import { type FileParts, fetchBody, handOver, type RunBody, removeBody, removeResult } from './call-files.ts'
import type { Envelope } from './envelope.ts'
import {
  AWAITED_KEPT_MS,
  DEAD_KEPT_MS,
  type InvocationStore,
  type JobHold,
  type JobMove,
  type ResultHead,
  type Settled,
  type Settlement,
} from './invocation-store.ts'
import type { FetchedJob, JobQueues, UnreadableJob } from './job-queues.ts'
import { decideOutcome, type FinalState, type Outcome } from './outcome.ts'
import { failedAttempt, finalRecord, isOpen, requeuedRecord, runningRecord } from './records.ts'
import { ResponseCollector } from './response-collector.ts'
import { RETRY_DEFAULTS, retryAfterMs } from './retry-policy.ts'

export interface AttemptContext extends FileParts {
  readonly worker: Worker
  readonly redis: RedisStore
  readonly store: InvocationStore
  readonly jobs: JobQueues
  readonly clock: Clock
  readonly logger: Logger
  /** Of one response, by namespace. */
  resultMaxBytes(namespace: string): number
  /** In [0, 1). */
  chance(): number
  /** Repeats until Redis took it; null when the lane closed meanwhile. */
  persist<T>(write: () => Promise<T>): Promise<T | null>
  /** A job that was handed out and cannot be run: it waits for a process that can, or its call ends. */
  unreadable(job: UnreadableJob): Promise<void>
  /** The call is over, this its record, which is written. */
  ended(record: InvocationRecord): void
  /** The job is back in its queue and due then; `pauseMs`: leave the queue alone for so long. */
  requeued(queueKey: string, atMs: number, pauseMs: number): void
}

export class Attempt {
  readonly fetched: FetchedJob
  readonly #context: AttemptContext
  readonly #number: number
  #invocation: Invocation | null = null
  #cancelled = false
  /** The job was given away: what the function still does counts no more. */
  #abandoned = false
  /** Its fate is being written: too late to give it away. */
  #settling = false
  #waitedMs: number | null = null
  readonly #running: InvocationRecord
  /** When its lock was last known to be ours, `Clock.monotonicMs`. */
  renewedAtMs: number

  constructor(fetched: FetchedJob, context: AttemptContext) {
    this.fetched = fetched
    this.#context = context
    this.#number = fetched.attemptsMade + 1 + (fetched.envelope.earlierAttempts ?? 0)
    this.renewedAtMs = context.clock.monotonicMs()
    this.#running = runningRecord(fetched.envelope, this.#number, context.clock.now())
  }

  /** Signal, then kill after 2 s (worker.invoke does both). */
  cancel(): void {
    this.#cancelled = true
    this.#invocation?.abort('cancelled')
  }

  /** The lock is lost, or the platform stops: end the run, publish nothing. */
  abandon(): void {
    this.#abandoned = true
    this.#invocation?.abort('cancelled')
  }

  /** The caller who waited for it left: its signal, but nobody's half-done work is killed. */
  leave(): void {
    this.#invocation?.abort('client')
  }

  /** Gives the job back to its queue, uncounted, and ends the run. */
  async handBack(): Promise<void> {
    if (this.#abandoned || this.#settling) return
    const hasRun = this.#invocation !== null
    this.abandon()
    if (hasRun && isOnce(this.fetched.envelope)) await this.#end('failed', null, STOPPING, null)
    else await this.#putBack(null, null)
  }

  /** Never rejects. Resolves to how long it waited in the worker, ms; null: it did not run. */
  async run(): Promise<number | null> {
    try {
      await this.#run()
    } catch (error) {
      const { envelope } = this.fetched
      this.#context.logger.error(
        { id: envelope.id, reason: (error as Error).message },
        'an attempt could not be finished',
      )
    }
    return this.#waitedMs
  }

  async #run(): Promise<void> {
    const context = this.#context
    const { envelope } = this.fetched
    if (this.fetched.poisoned) return await this.#end('failed', null, WORKER_DIED, null)
    if (this.fetched.stalls > 0 && isOnce(envelope)) return await this.#end('failed', null, WORKER_LOST, null)
    if (context.clock.now() > envelope.expiresAtMs) return await this.#end('expired', null, null, null)
    const begun = await context.persist(async () => ({
      over: await context.store.begin(this.#running, this.#hold, keepMs(envelope, context)),
    }))
    if (begun === null || begun.over === 'taken' || this.#abandoned) return
    if (begun.over !== null && !isOpen(begun.over.state)) return await this.#drop()
    if (this.#cancelled) return await this.#end('cancelled', null, CANCELLED, null)

    const body = await fetchBody(envelope, context)
    if ('failure' in body) return await this.#withoutBody(body.failure, body.again)
    try {
      if (this.#abandoned) return
      await this.#invoke(body)
    } finally {
      await body.discard()
    }
  }

  async #invoke(body: RunBody): Promise<void> {
    const context = this.#context
    const collector = new ResponseCollector(context.resultsDir, context.resultMaxBytes(this.#running.namespace))
    this.#invocation = context.worker.invoke(this.#request(body), collector)
    collector.attach(this.#invocation)
    if (this.#cancelled || this.#abandoned) this.#invocation.abort('cancelled')
    const attempted = await this.#invocation.done
    this.#waitedMs = attempted.start === null ? null : attempted.queueMs
    if (this.#abandoned) return await collector.discard()
    await this.#conclude(attempted, collector)
  }

  async #withoutBody(failure: InvocationFailure, again: boolean): Promise<void> {
    if (this.#abandoned) return
    if (again && !this.#cancelled) await this.#putBack(BODY_AWAY_MS, failure)
    else if (this.#cancelled) await this.#end('cancelled', null, CANCELLED, null)
    else await this.#end('failed', null, failure, null)
  }

  async #conclude(attempted: InvocationRecord, collector: ResponseCollector): Promise<void> {
    const { envelope } = this.fetched
    const result = await collector.result(`${envelope.id}-${this.#number}`)
    const failure = collector.failure
    const nowMs = this.#context.clock.now()
    const outcome: Outcome = decideOutcome({
      status: collector.status,
      failure: failure ?? (collector.status === null ? attempted.error : null),
      awaited: envelope.awaited === true,
      cancelled: this.#cancelled,
      attempt: this.fetched.attemptsMade + 1,
      maxAttempts: envelope.maxAttempts,
      policy: envelope.version.config.retry ?? RETRY_DEFAULTS,
      retryAfterMs: collector.status === null ? null : retryAfterMs(collector.headers, nowMs),
      nowMs,
      expiresAtMs: envelope.expiresAtMs,
      chance: this.#context.chance(),
    })
    if (outcome.kind === 'final') return await this.#finish(outcome.state, attempted, failure, result)
    if (result?.file) await removeResult(result, this.#context)
    if (outcome.kind === 'retry') await this.#retry(attempted, failure, outcome.delayMs)
    else await this.#putBack(outcome.delayMs, failure)
  }

  /** With a response, which may have to be handed over first. */
  async #finish(
    state: FinalState,
    attempted: InvocationRecord,
    failure: InvocationFailure | null,
    result: ResultHead | null,
  ): Promise<void> {
    const { envelope } = this.fetched
    // A call that somebody waits for ends as the worker says, whatever its status: nobody tries it again.
    const ended = envelope.awaited && !isOpen(attempted.state) ? (attempted.state as FinalState) : state
    const kept = await handOver(result, envelope, this.#context, () => this.#abandoned)
    if (this.#abandoned) return
    await this.#end(ended, attempted, failure, kept)
  }

  async #end(
    state: FinalState,
    attempted: InvocationRecord | null,
    error: InvocationFailure | null,
    result: ResultHead | null,
  ): Promise<void> {
    const context = this.#context
    const { envelope } = this.fetched
    const started =
      attempted === null ? { ...this.#running, attempt: this.#number - 1, startedAt: null } : this.#running
    const record = finalRecord(started, attempted, state, error, context.clock.now())
    const { awaited } = envelope
    const isDead = !awaited && (state === 'failed' || state === 'timed-out')
    const keptMs = awaited ? AWAITED_KEPT_MS : context.store.keptMs
    const settled = await this.#settle(
      {
        record,
        result,
        keptMs: isDead ? Math.max(DEAD_KEPT_MS, keptMs) : keptMs,
        failed: isDead ? failedAttempt(record, this.#number) : null,
        dead: isDead ? { envelope, state, attempt: record.attempt, diedAtMs: context.clock.now() } : null,
        notify: envelope.notify === undefined ? null : { record, notify: envelope.notify },
      },
      { how: 'finish' },
    )
    if (settled !== 'written') return
    // A dead letter keeps its body: it may be redriven.
    if (!isDead) await removeBody(envelope, context)
    context.ended(record)
  }

  async #retry(attempted: InvocationRecord, failure: InvocationFailure | null, delayMs: number): Promise<void> {
    const context = this.#context
    const { envelope, queueKey } = this.fetched
    const nowMs = context.clock.now()
    const record = requeuedRecord(envelope, this.#number, failure, attempted.startedAt ?? this.#running.startedAt)
    const failed = failedAttempt(finalRecord(this.#running, attempted, 'failed', failure, nowMs), this.#number)
    const settled = await this.#settle(
      { record, result: null, keptMs: keepMs(envelope, context), failed, dead: null, notify: null },
      { how: 'retry', atMs: nowMs + delayMs, delayMs: Math.max(1, delayMs) },
    )
    if (settled === 'written') context.requeued(queueKey, nowMs + delayMs, 0)
    else if (settled === 'jobless') await this.#end('failed', attempted, JOB_LOST, null)
  }

  /** `delayMs` null: at once, to the front. */
  async #putBack(delayMs: number | null, failure: InvocationFailure | null): Promise<void> {
    const context = this.#context
    const { envelope, queueKey } = this.fetched
    const record = requeuedRecord(envelope, this.#number - 1, failure, null)
    const atMs = delayMs === null ? null : context.clock.now() + delayMs
    const settled = await this.#settle(
      { record, result: null, keptMs: keepMs(envelope, context), failed: null, dead: null, notify: null },
      atMs === null ? { how: 'front' } : { how: 'delay', atMs, delayMs: delayMs ?? 0 },
    )
    if (settled === 'written') context.requeued(queueKey, atMs ?? 0, delayMs ?? 0)
    else if (settled === 'jobless') await this.#end('failed', null, JOB_LOST, null)
  }

  /** The call was over before: only its job had stayed. */
  async #drop(): Promise<void> {
    const { persist, store } = this.#context
    await persist(() => store.finish(this.fetched.envelope.id, this.#hold))
  }

  get #hold(): JobHold {
    const { queueKey, token } = this.fetched
    return { queueKey, token }
  }

  /** Tried until Redis took it. When an answer got lost, the end is written again and counts once. */
  async #settle(settlement: Omit<Settlement, 'hold' | 'move'>, move: JobMove): Promise<Settled | null> {
    const { store, jobs, persist } = this.#context
    this.#settling = true
    if (move.how !== 'finish' && move.how !== 'front') jobs.noteClock()
    return await persist(() => store.settle({ ...settlement, hold: this.#hold, move }))
  }

  #request({ body }: RunBody): InvocationRequest {
    const { id, version, method, target, headers, limits, timeoutMs, traceparent } = this.fetched.envelope
    return {
      id,
      version,
      attempt: this.#number,
      method,
      target,
      headers,
      body,
      limits,
      timeoutMs,
      wantsMetering: false,
      traceparent,
      // The wait in the durable queue is not the worker's: its own queue begins now.
      acceptedAtMs: this.#context.clock.now(),
    }
  }
}

/** A body that cannot be had now is asked for again after so long. */
const BODY_AWAY_MS = 1_000
/** Methods a client may repeat by itself (RFC 9110, section 9.2.2). */
const REPEATABLE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE'])

/** Somebody waits for it, and it must not run twice. */
function isOnce({ awaited, method }: Envelope): boolean {
  return awaited === true && !REPEATABLE.has(method)
}

const STOPPING: InvocationFailure = { code: 'DRAINING', component: 'worker', message: 'the worker is stopping' }
const WORKER_LOST: InvocationFailure = {
  code: 'WORKER_LOST',
  component: 'worker',
  message: 'the worker that ran this call died, and a call like this is not run twice',
}
const CANCELLED: InvocationFailure = { code: 'CANCELLED', component: 'queue', message: 'the call was cancelled' }
const JOB_LOST: InvocationFailure = {
  code: 'JOB_LOST',
  component: 'queue',
  message: 'the queue lost the job of this call while it ran, so it cannot run again by itself; redrive it',
}
const WORKER_DIED: InvocationFailure = {
  code: 'SANDBOX_CREATE_FAILED',
  component: 'worker',
  message: 'the worker ended again and again while it ran this call',
}

/** Records of open calls outlive their last possible attempt, and all it may take. */
function keepMs(envelope: Envelope, context: AttemptContext): number {
  const keptMs = envelope.awaited ? AWAITED_KEPT_MS : 2 * context.store.keptMs
  const runMs = envelope.timeoutMs ?? envelope.version.config.timeoutMs
  return Math.max(0, envelope.expiresAtMs - context.clock.now()) + runMs + keptMs
}
