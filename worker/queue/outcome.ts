// What becomes of a call after one attempt. Pure: failure, status, clock and chance in, decision out.
import type { FailureCode, InvocationFailure } from '../api.ts'

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
  /** Somebody asked to cancel this call. */
  readonly cancelled: boolean
  readonly attempt: number
  readonly maxAttempts: number
  readonly nowMs: number
  readonly expiresAtMs: number
  /** In [0, 1). */
  readonly chance: number
}

const FIRST_RETRY_MS = 1_000
const MAX_RETRY_MS = 5 * 60_000
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
/** The same again would fail the same way. */
const NO_RETRY: ReadonlySet<FailureCode> = new Set<FailureCode>([
  'LIMIT_INVALID',
  'LIMIT_BELOW_USE',
  'BODY_ABORTED',
  'BODY_TOO_LARGE',
])

export function decideOutcome(end: AttemptEnd): Outcome {
  const { failure, status } = end
  if (failure === null && status !== null && status < 400) return { kind: 'final', state: 'succeeded' }
  if (failure !== null && end.cancelled) return { kind: 'final', state: 'cancelled' }
  // A fault of the queue itself (a response it cannot keep) comes after the run: to run again would do the work twice.
  if (failure !== null && failure.component !== 'queue' && NO_ATTEMPT.has(failure.code)) {
    const askedMs = (failure.retryAfterS ?? 1) * 1_000
    return { kind: 'put-back', delayMs: Math.min(PUT_BACK_MAX_MS, Math.max(PUT_BACK_MIN_MS, askedMs)) }
  }
  const delayMs = retryDelayMs(end.attempt, end.chance)
  const again = end.attempt < end.maxAttempts && end.nowMs + delayMs < end.expiresAtMs
  if (again && isWorthRetrying(end)) return { kind: 'retry', delayMs }
  return { kind: 'final', state: failure?.code === 'FUNCTION_TIMEOUT' ? 'timed-out' : 'failed' }
}

function isWorthRetrying({ failure, status, cancelled }: AttemptEnd): boolean {
  if (cancelled) return false
  if (failure !== null) return failure.component !== 'queue' && !NO_RETRY.has(failure.code)
  return status === null || status >= 500 || status === 429
}

/** 1 s, 2 s, 4 s … at most 5 min, each a fifth more or less by chance, so that calls that failed together do not return together. */
export function retryDelayMs(attempt: number, chance: number): number {
  const base = FIRST_RETRY_MS * 2 ** Math.min(attempt - 1, 20)
  return Math.round(Math.min(MAX_RETRY_MS, base * (0.8 + 0.4 * chance)))
}
