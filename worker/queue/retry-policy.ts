// What of a call that did not succeed is tried again, and when. Pure; a function's `retry` may change each row.
import type { FailureCode, RetryCause, RetryPolicy } from '../api.ts'

const SECOND = 1_000
const HOUR = 3_600 * SECOND

/** What holds for what a function does not say. */
export const RETRY_DEFAULTS: RetryPolicy = {
  on: ['crash', 'oom', 'timeout', '5xx', '429'],
  backoffMs: SECOND,
  maxBackoffMs: 300 * SECOND,
  maxAgeMs: 6 * HOUR,
}

/** Failure → what a policy calls it. What is not here is the platform's (no attempt at all) or would fail the same way again. */
const CAUSES: Partial<Record<FailureCode, RetryCause>> = {
  // Over HTTP these two are a 500 and a 502.
  FUNCTION_THREW: '5xx',
  FUNCTION_INVALID_RESPONSE: '5xx',
  FUNCTION_INIT_FAILED: 'crash',
  FUNCTION_INIT_TIMEOUT: 'crash',
  FUNCTION_CRASHED: 'crash',
  FUNCTION_PROTOCOL: 'crash',
  FUNCTION_KILLED: 'crash',
  PLATFORM_STALLED: 'crash',
  FUNCTION_OUT_OF_MEMORY: 'oom',
  FUNCTION_TIMEOUT: 'timeout',
}

/** null: never tried again. */
export function causeOfFailure(code: FailureCode): RetryCause | null {
  return CAUSES[code] ?? null
}

/** What a policy calls the function's own status of 400 and above. */
export function causeOfStatus(status: number): RetryCause {
  return status === 429 ? '429' : status >= 500 ? '5xx' : '4xx'
}

/** Doubles with each attempt up to the highest, a fifth more or less by chance (in [0, 1)), so that calls that failed together
 *  do not return together. */
export function backoffMs(attempt: number, chance: number, policy: RetryPolicy = RETRY_DEFAULTS): number {
  const base = policy.backoffMs * 2 ** Math.min(attempt - 1, 40)
  return Math.round(Math.min(policy.maxBackoffMs, base * (0.8 + 0.4 * chance)))
}

/** How long a `Retry-After` header asks to wait (RFC 9110, section 10.2.3: seconds or a date), ms; null: it is not there or says nothing. */
export function retryAfterMs(headers: readonly string[], nowMs: number): number | null {
  for (let index = 0; index + 1 < headers.length; index += 2) {
    if (headers[index]!.toLowerCase() !== 'retry-after') continue
    const text = headers[index + 1]!.trim()
    if (/^\d{1,9}$/.test(text)) return Number(text) * SECOND
    const dateMs = Date.parse(text)
    return Number.isNaN(dateMs) ? null : Math.max(0, dateMs - nowMs)
  }
  return null
}
