// What the durable lane promises: a call that `submit` accepted is on disk; its record, result and fate can be asked for by id.

import type { Readable } from 'node:stream'
import type { Limits, Metering } from '../../runtime/api.ts'
import type { FunctionVersion, InvocationFailure, InvocationRecord, Phases, RecordQuery, StartKind } from '../api.ts'
import type { Mended } from './reconciler.ts'

export type QueueErrorCode =
  /** Redis is away, full, or did not confirm in time: nothing was promised */
  | 'QUEUE_UNAVAILABLE'
  /** Redis is so full that only what was accepted is still finished: nothing was promised */
  | 'QUEUE_FULL'
  | 'BODY_TOO_LARGE'
  | 'BODY_ABORTED'
  | 'INVOCATION_NOT_FOUND'
  /** the same idempotency key came with another body */
  | 'IDEMPOTENCY_MISMATCH'
  /** it already ended */
  | 'NOT_CANCELLABLE'
  /** no dead letter of this function has this id */
  | 'DEAD_LETTER_NOT_FOUND'
  /** the request of this dead letter is lost */
  | 'NOT_REDRIVABLE'
  /** a cron expression, time zone or name of a schedule is not valid, or there are too many */
  | 'SCHEDULE_INVALID'
  | 'SCHEDULE_NOT_FOUND'
  | 'DRAINING'

export { type FollowUps, MAX_CHAIN_DEPTH, planFollowUps } from './callbacks/plan.ts'
export type { Callbacks, Delivery, WebhookSecret } from './callbacks/types.ts'
export type { LastFire, Schedule, ScheduleSpec, Schedules } from './schedules/types.ts'

export type { Mended }

export class QueueError extends Error {
  readonly code: QueueErrorCode
  readonly retryAfterS: number | null
  constructor(code: QueueErrorCode, message: string, options: { cause?: unknown; retryAfterS?: number } = {}) {
    super(message, options)
    this.name = 'QueueError'
    this.code = code
    this.retryAfterS = options.retryAfterS ?? null
  }
}

export interface Submission {
  readonly id: string
  readonly version: FunctionVersion
  readonly method: string
  readonly target: string
  readonly headers: readonly string[]
  readonly body: Buffer | Readable | null
  readonly limits: Partial<Limits>
  readonly timeoutMs: number | null
  readonly traceparent: string | null
  readonly delayMs: number
  /** 0 = none; 1 (first) to 2097151. */
  readonly priority: number
  /** null: the function's retry policy. */
  readonly maxAttempts: number | null
  /** null: the function's retry policy. */
  readonly maxAgeMs: number | null
  readonly idempotencyKey: string | null
  /** Token id or `anonymous`; part of the idempotency key's scope. */
  readonly caller: string
  /** Plain data for whoever is to be told of the end (chains, callbacks): not null, and the end puts an entry in the outbox,
   *  written together with the record. Default null. */
  readonly notify?: unknown
  /** Somebody holds a connection open for the answer: one attempt, in a queue of its own that neither stands behind the
   *  function's other calls nor is paused, in no list, never a dead letter. The death of its worker ends it (WORKER_LOST)
   *  unless its method may be repeated (RFC 9110, section 9.2.2). Default false. */
  readonly awaited?: boolean
}

/** One attempt that did not succeed; times RFC 3339 UTC. Its log lines: of this invocation, between the two times. */
export interface FailedAttempt extends Phases {
  readonly attempt: number
  readonly start: StartKind | null
  /** The function's own status, null when it gave no answer. */
  readonly status: number | null
  readonly error: InvocationFailure | null
  readonly startedAt: string | null
  readonly endedAt: string
  readonly metering: Metering | null
}

/** A call whose last attempt failed, kept until redriven or purged, at most 14 days. */
export interface DeadLetter {
  readonly id: string
  readonly namespace: string
  readonly function: string
  readonly version: number
  readonly state: 'failed' | 'timed-out'
  /** null: the queue lost the request. */
  readonly method: string | null
  readonly target: string | null
  readonly bodyBytes: number
  readonly createdAt: string
  readonly diedAt: string
  /** Oldest first, those before an earlier redrive included. */
  readonly attempts: readonly FailedAttempt[]
}

/** Calls that failed for good, per function. All throw QueueError QUEUE_UNAVAILABLE. */
export interface DeadLetters {
  /** Newest first (by id); `after`: only those older than this id. */
  list(
    namespace: string,
    name: string,
    page: { readonly limit: number; readonly after?: string },
  ): Promise<readonly DeadLetter[]>
  /** Throws DEAD_LETTER_NOT_FOUND. */
  show(namespace: string, name: string, id: string): Promise<DeadLetter>
  /** Queued again, same id, attempts counted on from the last, age counted from zero. Resolves to the record. Throws DEAD_LETTER_NOT_FOUND | NOT_REDRIVABLE | DRAINING. */
  redrive(namespace: string, name: string, id: string): Promise<InvocationRecord>
  /** All that are there now and can be; resolves to how many. */
  redriveAll(namespace: string, name: string): Promise<number>
  /** Forgets one, or all; the records stay as long as results do. Resolves to how many. Throws DEAD_LETTER_NOT_FOUND for an unknown id. */
  purge(namespace: string, name: string, id?: string): Promise<number>
}

/** What a function's queue holds. */
export interface QueueState {
  /** Ready to run. */
  readonly waiting: number
  /** Waiting for their time: delays and retries. */
  readonly delayed: number
  readonly active: number
  readonly paused: boolean
  readonly deadLetters: number
}

/** A call that is over and somebody asked to be told of (`Submission.notify`). */
export interface Finished {
  readonly record: InvocationRecord
  readonly notify: unknown
}

/** Ends that somebody is still to be told of, on disk. */
export interface Outbox {
  /** At most so many, in no order. Throws QUEUE_UNAVAILABLE. */
  list(limit: number): Promise<readonly Finished[]>
  /** Told: the entry goes. */
  done(id: string): Promise<void>
  /** Called (without promise: look at `list` at start and now and then too) when an entry was added. The returned function unsubscribes. */
  onNews(listener: () => void): () => void
}

/** The function's response of an asynchronous call, as it gave it. */
export interface StoredResult {
  readonly status: number
  readonly headers: readonly string[]
  readonly body: Buffer | Readable
  readonly bodyBytes: number
}

export interface DurableLane {
  /** Resolves when the call is on disk. `duplicate`: an earlier call with this idempotency key; `id` is that call's. Throws QueueError. */
  submit(
    submission: Submission,
  ): Promise<{ readonly id: string; readonly duplicate: boolean; readonly durability: 'disk' | 'memory' | 'replica' }>
  /** null: no such asynchronous invocation. */
  record(id: string): Promise<InvocationRecord | null>
  /** Newest first. Not null: `next`, the id to go on after, when a search among very many ended before it had enough. */
  records(query: RecordQuery): Promise<{ readonly records: InvocationRecord[]; readonly next: string | null }>
  /** Waits up to `waitMs` for the end. `pending` while it has none; a failed one without a response has `result: null`. Throws INVOCATION_NOT_FOUND. */
  result(
    id: string,
    waitMs: number,
  ): Promise<{ readonly pending: boolean; readonly record: InvocationRecord; readonly result: StoredResult | null }>
  /** Queued: removed. Running: signal, then kill after 2 s. Resolves to the record. Throws INVOCATION_NOT_FOUND | NOT_CANCELLABLE. */
  cancel(id: string): Promise<InvocationRecord>
  /** The caller of an `awaited` call left: a waiting one is taken out, a running one's signal aborts. Throws QUEUE_UNAVAILABLE. */
  leave(id: string): Promise<void>
  /** Forgets an `awaited` call's result, whose answer is given. Never rejects. */
  forget(id: string): Promise<void>
  /** Queued calls of a function (of one version, if given). */
  backlog(namespace: string, name: string): Promise<number>
  readonly deadLetters: DeadLetters
  readonly outbox: Outbox
  /** Paused: no call of this function begins, on any worker, until resumed; calls go on being accepted. Idempotent. */
  pauseFunction(namespace: string, name: string, paused: boolean): Promise<void>
  queueState(namespace: string, name: string): Promise<QueueState>
  /** Called when a call ended in this process, after its record was written. Must not throw. The returned function unsubscribes. */
  onFinished(listener: (record: InvocationRecord) => void): () => void
  /** True while Redis answers, and may be used. */
  available(): boolean
  /** Why a Redis that answers may not be used, with the way out; null: it may, or nobody knows yet. */
  refusal(): string | null
  /** Why a Redis that answers takes nothing more, with the way out (it is full, a replica, its disk fails); null: it does. What was
   *  accepted can be asked for all the same. */
  full(): string | null
  /** How often a call whose record and job disagreed was put right since the start, by what was done. */
  mended(): Mended
  /** Begins to run what is queued; first puts calls that were running when the platform died back to waiting, uncounted. */
  start(): Promise<void>
  /** Removes files and list entries of calls whose time is over; goes on by itself every ten minutes. */
  tidy(): Promise<void>
  /** Takes no more calls from the queue; waits up to `ms` for running ones and hands back the rest, uncounted. */
  drain(ms: number): Promise<void>
  close(): Promise<void>
}
