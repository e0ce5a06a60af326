// What becomes of a call after one attempt. Pure: failure, status, clock and chance in, decision out.
import type { FailureCode, InvocationFailure, RetryPolicy } from '../api.ts'
import { backoffMs, causeOfFailure, causeOfStatus } from './retry-policy.ts'

export type FinalState = 'succeeded' | 'failed' | 'timed-out' | 'cancelled' | 'expired'

export type Outcome =
  | { readonly kind: 'final'; readonly state: FinalState }
  /** The attempt counts; the next begins after the delay. */
  | { readonly kind: 'retry'; readonly delayMs: number }
  /** The function never ran, or was stopped by the platform: no attempt. */
  | { readonly kind: 'put-back'; readonly delayMs: number }

export interface AttemptEnd {
  /** The function's own status, null when it gave none. */
  readonly status: number | null
  readonly failure: InvocationFailure | null
  /** A synchronous caller reads the answer: then 4xx is an answer like any other. No caller reads that of an asynchronous call, so it
   *  ends as failed, with a dead letter. */
  readonly awaited: boolean
  /** Somebody asked to cancel this call. */
  readonly cancelled: boolean
  readonly attempt: number
  readonly maxAttempts: number
  readonly policy: RetryPolicy
  /** What the function's own answer asked for (`Retry-After`), or null. */
  readonly retryAfterMs: number | null
  readonly nowMs: number
  readonly expiresAtMs: number
  /** In [0, 1). */
  readonly chance: number
}

const PUT_BACK_MIN_MS = 100
const PUT_BACK_MAX_MS = 5_000

/** Faults of the platform: the call is as it was before. */
const NO_ATTEMPT: ReadonlySet<FailureCode> = new Set<FailureCode>([
  'DRAINING',
  'HOST_FULL',
  'FUNCTION_BUSY',
  'SANDBOX_CREATE_FAILED',
  // Nobody asked for it (see `cancelled`): the platform stopped the attempt.
  'CANCELLED',
])
export function decideOutcome(end: AttemptEnd): Outcome {
  const { failure, status } = end
  if (failure === null && status !== null && status < (end.awaited ? 500 : 400))
    return { kind: 'final', state: 'succeeded' }
  if (failure !== null && end.cancelled) return { kind: 'final', state: 'cancelled' }
  // A fault of the queue itself (a response it cannot keep) comes after the run: to run again would do the work twice.
  if (failure !== null && failure.component !== 'queue' && NO_ATTEMPT.has(failure.code)) {
    const askedMs = (failure.retryAfterS ?? 1) * 1_000
    return { kind: 'put-back', delayMs: Math.min(PUT_BACK_MAX_MS, Math.max(PUT_BACK_MIN_MS, askedMs)) }
  }
  // A function that says when it will be ready is not asked before.
  const delayMs = Math.max(backoffMs(end.attempt, end.chance, end.policy), end.retryAfterMs ?? 0)
  const again = end.attempt < end.maxAttempts && end.nowMs + delayMs < end.expiresAtMs
  if (again && isWorthRetrying(end)) return { kind: 'retry', delayMs }
  return { kind: 'final', state: failure?.code === 'FUNCTION_TIMEOUT' ? 'timed-out' : 'failed' }
}

function isWorthRetrying({ failure, status, cancelled, policy }: AttemptEnd): boolean {
  if (cancelled || failure?.component === 'queue') return false
  // Neither failure nor status: it ended without a word.
  const cause = failure !== null ? causeOfFailure(failure.code) : status === null ? 'crash' : causeOfStatus(status)
  return cause !== null && policy.on.includes(cause)
}
