// The record of an asynchronous call through its states, and the envelope it comes from.
import { describe, expect, test } from 'vitest'
import type { InvocationFailure, InvocationRecord } from '../../../../worker/api.ts'
import type { Submission } from '../../../../worker/queue/api.ts'
import { type Envelope, makeEnvelope, queueKeyOf } from '../../../../worker/queue/envelope.ts'
import { timeOfId } from '../../../../worker/queue/invocation-store.ts'
import { finalRecord, isOpen, queuedRecord, requeuedRecord, runningRecord } from '../../../../worker/queue/records.ts'
import { submissionOf, versionOf } from '../../../support/samples.ts'

const MIB = 1024 ** 2
const threw: InvocationFailure = { code: 'FUNCTION_THREW', component: 'function', message: 'no' }

function envelope(changes: Partial<Submission> = {}): Envelope {
  const version = versionOf('hello', { retryAttempts: 4 })
  const submission = submissionOf('hello', { id: 'id', version, body: null, maxAgeMs: 60_000, ...changes })
  return makeEnvelope('id', submission, { kind: 'none' }, 1_000_000)
}

describe('an envelope', () => {
  test("counts the maximum age from when the call is first due, and takes the function's attempts", () => {
    expect(envelope({ delayMs: 5_000 })).toMatchObject({
      acceptedAtMs: 1_000_000,
      notBeforeMs: 1_005_000,
      expiresAtMs: 1_065_000,
      maxAttempts: 4,
    })
    expect(envelope({ maxAttempts: 1 }).maxAttempts).toBe(1)
    expect(queueKeyOf(envelope().version)).toBe('default/hello')
  })

  test('survives JSON as it is', () => {
    const sent = envelope({ headers: ['x', 'gr\u00fc\u00df\u0000\u00ff'], limits: { memory: 32 * MIB } })
    expect(JSON.parse(JSON.stringify(sent))).toEqual(sent)
  })
})

describe('a record', () => {
  test('begins queued, without an attempt, with the limits the call will run under', () => {
    expect(queuedRecord(envelope({ limits: { memory: 32 * MIB } }))).toMatchObject({
      state: 'queued',
      attempt: 0,
      status: null,
      startedAt: null,
      createdAt: new Date(1_000_000).toISOString(),
      limits: { memory: 32 * MIB, memorySwap: 64 * MIB },
    })
  })

  test("shows the function's own limits when the call asks for what the worker will refuse", () => {
    expect(queuedRecord(envelope({ limits: { memory: 1024 * MIB } })).limits.memory).toBe(128 * MIB)
  })

  test('tells how long a first attempt waited beyond its delay', () => {
    expect(runningRecord(envelope({ delayMs: 500 }), 1, 1_000_700)).toMatchObject({ state: 'running', queueMs: 200 })
    expect(runningRecord(envelope(), 2, 1_000_700)).toMatchObject({ attempt: 2, queueMs: 0 })
  })

  test("ends with the attempt's figures under the call's own times", () => {
    const running = runningRecord(envelope(), 1, 1_000_200)
    const attempted: InvocationRecord = {
      ...running,
      state: 'succeeded',
      createdAt: 'later',
      startedAt: 'started',
      start: 'thawed',
      status: 201,
      queueMs: 3,
      runMs: 7,
    }
    expect(finalRecord(running, attempted, 'succeeded', null, 1_000_300)).toMatchObject({
      state: 'succeeded',
      createdAt: new Date(1_000_000).toISOString(),
      startedAt: 'started',
      endedAt: new Date(1_000_300).toISOString(),
      start: 'thawed',
      status: 201,
      queueMs: 203,
      runMs: 7,
      error: null,
    })
  })

  test('keeps the error of a failure, and none of a success', () => {
    const running = runningRecord(envelope(), 1, 1_000_200)
    expect(finalRecord(running, null, 'failed', threw, 0).error).toEqual(threw)
    expect(finalRecord(running, { ...running, error: threw }, 'failed', null, 0).error).toEqual(threw)
    expect(finalRecord(running, { ...running, error: threw }, 'succeeded', null, 0).error).toBeNull()
  })

  test('between attempts is queued and shows the last error', () => {
    expect(requeuedRecord(envelope(), 2, threw, 'started')).toMatchObject({
      state: 'queued',
      attempt: 2,
      status: null,
      error: threw,
      startedAt: 'started',
    })
  })

  test('is open until it has a last state', () => {
    const states = ['queued', 'running', 'succeeded', 'failed', 'timed-out', 'cancelled', 'expired'] as const
    expect(states.filter(isOpen)).toEqual(['queued', 'running'])
  })
})

// The example of RFC 9562, appendix A.6.
test('an id of version 7 tells its time, another does not', () => {
  expect(timeOfId('017f22e2-79b0-7cc3-98c4-dc0c0c07398f')).toBe(1_645_557_742_000)
  expect(timeOfId('6fa459ea-ee8a-4ca4-894e-db77e160355e')).toBeNull()
})
