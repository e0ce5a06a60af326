// What becomes of an asynchronous call after an attempt, as tables.
import { describe, expect, test } from 'vitest'
import type { FailureCode, FailureComponent, InvocationFailure } from '../../../../worker/api.ts'
import { type AttemptEnd, decideOutcome } from '../../../../worker/queue/outcome.ts'
import { backoffMs, RETRY_DEFAULTS, retryAfterMs } from '../../../../worker/queue/retry-policy.ts'

function end(changes: Partial<AttemptEnd> = {}): AttemptEnd {
  return {
    status: null,
    failure: null,
    awaited: false,
    cancelled: false,
    attempt: 1,
    maxAttempts: 3,
    policy: RETRY_DEFAULTS,
    retryAfterMs: null,
    nowMs: 0,
    expiresAtMs: 6 * 3_600_000,
    chance: 0.5,
    ...changes,
  }
}

function failure(code: FailureCode, component: FailureComponent = 'function', retryAfterS?: number): InvocationFailure {
  return { code, component, message: code, ...(retryAfterS === undefined ? {} : { retryAfterS }) }
}

describe('a response', () => {
  test.each([200, 201, 204, 302, 304])('of %i succeeds', (status) => {
    expect(decideOutcome(end({ status }))).toEqual({ kind: 'final', state: 'succeeded' })
  })
  test.each([400, 404, 409, 422, 499])('of %i fails without another attempt', (status) => {
    expect(decideOutcome(end({ status }))).toEqual({ kind: 'final', state: 'failed' })
  })
  test.each([429, 500, 502, 503])('of %i is tried again, until the last attempt', (status) => {
    expect(decideOutcome(end({ status }))).toEqual({ kind: 'retry', delayMs: 1_000 })
    expect(decideOutcome(end({ status, attempt: 3 }))).toEqual({ kind: 'final', state: 'failed' })
  })
  test.each([
    [404, 'succeeded'],
    [429, 'succeeded'],
    [499, 'succeeded'],
    [500, 'failed'],
  ])('of %i that a synchronous caller awaits is %s', (status, state) => {
    expect(decideOutcome(end({ status, awaited: true, maxAttempts: 1 }))).toEqual({ kind: 'final', state })
  })
  test('that came although somebody cancelled counts', () => {
    expect(decideOutcome(end({ status: 200, cancelled: true }))).toEqual({ kind: 'final', state: 'succeeded' })
    expect(decideOutcome(end({ status: 500, cancelled: true }))).toEqual({ kind: 'final', state: 'failed' })
  })
})

describe('a failure', () => {
  test.each([
    'FUNCTION_THREW',
    'FUNCTION_INVALID_RESPONSE',
    'FUNCTION_INIT_FAILED',
    'FUNCTION_INIT_TIMEOUT',
    'FUNCTION_CRASHED',
    'FUNCTION_OUT_OF_MEMORY',
    'FUNCTION_PROTOCOL',
    'FUNCTION_KILLED',
  ] as const)('%s is an attempt, and tried again', (code) => {
    expect(decideOutcome(end({ failure: failure(code) })).kind).toBe('retry')
    expect(decideOutcome(end({ failure: failure(code), attempt: 3 }))).toEqual({ kind: 'final', state: 'failed' })
  })
  test('by time-out has a state of its own in the end', () => {
    expect(decideOutcome(end({ failure: failure('FUNCTION_TIMEOUT') })).kind).toBe('retry')
    const last = decideOutcome(end({ failure: failure('FUNCTION_TIMEOUT'), attempt: 3 }))
    expect(last).toEqual({ kind: 'final', state: 'timed-out' })
  })
  test.each(['HOST_FULL', 'FUNCTION_BUSY', 'DRAINING', 'SANDBOX_CREATE_FAILED', 'CANCELLED'] as const)(
    '%s of the platform is no attempt, even the last',
    (code) => {
      expect(decideOutcome(end({ failure: failure(code, 'worker'), attempt: 3 }))).toEqual({
        kind: 'put-back',
        delayMs: 1_000,
      })
    },
  )
  test.each([
    [0.01, 100],
    [2, 2_000],
    [900, 5_000],
  ])('with a Retry-After of %d s leaves the queue alone for %d ms', (seconds, delayMs) => {
    const full = failure('HOST_FULL', 'worker', seconds)
    expect(decideOutcome(end({ failure: full }))).toEqual({ kind: 'put-back', delayMs })
  })
  test.each(['LIMIT_INVALID', 'LIMIT_BELOW_USE', 'BODY_ABORTED', 'BODY_TOO_LARGE'] as const)(
    '%s would come again: no other attempt',
    (code) => {
      expect(decideOutcome(end({ failure: failure(code, 'worker') }))).toEqual({ kind: 'final', state: 'failed' })
    },
  )
  test('to keep a response does not run the function again', () => {
    expect(decideOutcome(end({ failure: failure('HOST_FULL', 'queue') }))).toEqual({ kind: 'final', state: 'failed' })
  })
  test('of a cancelled call ends it', () => {
    for (const code of ['CANCELLED', 'FUNCTION_KILLED', 'FUNCTION_THREW'] as const) {
      const outcome = decideOutcome(end({ failure: failure(code), cancelled: true }))
      expect(outcome).toEqual({ kind: 'final', state: 'cancelled' })
    }
  })
})

describe('retries', () => {
  test('double from one second, a fifth more or less, to at most five minutes', () => {
    expect([1, 2, 3, 4].map((attempt) => backoffMs(attempt, 0.5))).toEqual([1_000, 2_000, 4_000, 8_000])
    expect([0, 0.999_999].map((chance) => backoffMs(2, chance))).toEqual([1_600, 2_400])
    expect(backoffMs(40, 0.999)).toBe(300_000)
  })
  test('are not begun after the maximum age', () => {
    expect(decideOutcome(end({ status: 500, nowMs: 0, expiresAtMs: 1_000 }))).toEqual({
      kind: 'final',
      state: 'failed',
    })
    expect(decideOutcome(end({ status: 500, nowMs: 0, expiresAtMs: 1_001 })).kind).toBe('retry')
  })
})

describe('a function with a retry policy of its own', () => {
  test.each([
    ['crash', failure('FUNCTION_CRASHED')],
    ['crash', failure('FUNCTION_INIT_FAILED')],
    ['oom', failure('FUNCTION_OUT_OF_MEMORY')],
    ['timeout', failure('FUNCTION_TIMEOUT')],
    ['5xx', failure('FUNCTION_THREW')],
    ['5xx', 503],
    ['429', 429],
    ['4xx', 404],
  ] as const)('is tried again after a %s only if it says so', (cause, what) => {
    const ended = typeof what === 'number' ? { status: what } : { failure: what }
    const policy = { ...RETRY_DEFAULTS, on: [cause] }
    expect(decideOutcome(end({ ...ended, policy })).kind).toBe('retry')
    const others = (['crash', 'oom', 'timeout', '5xx', '429', '4xx'] as const).filter((other) => other !== cause)
    expect(decideOutcome(end({ ...ended, policy: { ...policy, on: others } })).kind).toBe('final')
  })
  test('waits as it says, and never longer than its highest back-off', () => {
    const policy = { ...RETRY_DEFAULTS, backoffMs: 100, maxBackoffMs: 300 }
    expect([1, 2, 3, 9].map((attempt) => backoffMs(attempt, 0.5, policy))).toEqual([100, 200, 300, 300])
  })
})

describe('Retry-After', () => {
  test.each([
    [['Retry-After', '7'], 7_000],
    [['x', '1', 'retry-after', ' 0 '], 0],
    [['retry-after', 'Thu, 01 Jan 1970 00:01:00 GMT'], 50_000],
    [['retry-after', 'Thu, 01 Jan 1970 00:00:05 GMT'], 0],
    [['retry-after', 'soon'], null],
    [['x', 'retry-after'], null],
  ] as const)('%j asks for %s ms', (headers, ms) => {
    expect(retryAfterMs(headers, 10_000)).toBe(ms)
  })
  test('puts the next attempt off, never before the back-off, and ends a call that would be too old by then', () => {
    expect(decideOutcome(end({ status: 503, retryAfterMs: 30_000 }))).toEqual({ kind: 'retry', delayMs: 30_000 })
    expect(decideOutcome(end({ status: 503, retryAfterMs: 10 }))).toEqual({ kind: 'retry', delayMs: 1_000 })
    const late = end({ status: 503, retryAfterMs: 30_000, expiresAtMs: 20_000 })
    expect(decideOutcome(late)).toEqual({ kind: 'final', state: 'failed' })
  })
})
