// What the durable lane promises: a call that `submit` accepted is on disk; its record, result and fate can be asked for by id.

import type { Readable } from 'node:stream'
import type { Limits } from '../../runtime/api.ts'
import type { FunctionVersion, InvocationRecord, RecordQuery } from '../api.ts'

export type QueueErrorCode =
  /** Redis is away, full, or did not confirm in time: nothing was promised */
  | 'QUEUE_UNAVAILABLE'
  | 'BODY_TOO_LARGE'
  | 'BODY_ABORTED'
  | 'INVOCATION_NOT_FOUND'
  /** the same idempotency key came with another body */
  | 'IDEMPOTENCY_MISMATCH'
  /** it already ended */
  | 'NOT_CANCELLABLE'
  | 'DRAINING'

export class QueueError extends Error {
  readonly code: QueueErrorCode
  readonly retryAfterS: number | null
  constructor(code: QueueErrorCode, message: string, options: { cause?: unknown; retryAfterS?: number } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
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
  readonly maxAgeMs: number
  readonly idempotencyKey: string | null
  /** Token id or `anonymous`; part of the idempotency key's scope. */
  readonly caller: string
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
  records(query: RecordQuery): Promise<InvocationRecord[]>
  /** Waits up to `waitMs` for the end. `pending` while it has none; a failed one without a response has `result: null`. Throws INVOCATION_NOT_FOUND. */
  result(
    id: string,
    waitMs: number,
  ): Promise<{ readonly pending: boolean; readonly record: InvocationRecord; readonly result: StoredResult | null }>
  /** Queued: removed. Running: signal, then kill after 2 s. Resolves to the record. Throws INVOCATION_NOT_FOUND | NOT_CANCELLABLE. */
  cancel(id: string): Promise<InvocationRecord>
  /** Queued calls of a function (of one version, if given). */
  backlog(namespace: string, name: string): Promise<number>
  /** True while Redis answers. */
  available(): boolean
  /** Begins to run what is queued; first puts calls that were running when the platform died back to waiting, uncounted. */
  start(): Promise<void>
  /** Takes no more calls from the queue; waits up to `ms` for running ones and hands back the rest, uncounted. */
  drain(ms: number): Promise<void>
  close(): Promise<void>
}
