import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type CallTimes, instantsOf, phasesOf, recordOf, reportLine } from '../../../worker/invoke-record.ts'
import { isoTime } from '../../../worker/iso-time.ts'
import { limitsWith, ZERO_METERING } from '../../support/fake-runtime.ts'
import { requestOf, versionOf } from '../../support/samples.ts'

const times = (changes: Partial<CallTimes>): CallTimes => ({
  arrivedAtMs: 100,
  launchedAtMs: Number.NaN,
  createdAtMs: Number.NaN,
  loadedAtMs: Number.NaN,
  thawUs: 0,
  handedOverAtMs: Number.NaN,
  endedAtMs: Number.NaN,
  ...changes,
})
const sum = (phases: ReturnType<typeof phasesOf>) =>
  phases.queueMs + phases.startMs + phases.thawMs + phases.initMs + phases.runMs

describe('phases', () => {
  test('of a call that never got a sandbox are its wait alone', () => {
    expect(phasesOf(times({}), 160)).toEqual({ queueMs: 60, startMs: 0, thawMs: 0, initMs: 0, runMs: 0 })
  })
  test('of a cold call are apart', () => {
    const cold = times({ launchedAtMs: 110, createdAtMs: 200, loadedAtMs: 230, handedOverAtMs: 231 })
    expect(phasesOf(cold, 240)).toEqual({ queueMs: 11, startMs: 90, thawMs: 0, initMs: 30, runMs: 9 })
  })
  test('count only what the call itself waited of a start that began before it came', () => {
    const late = times({ launchedAtMs: 20, createdAtMs: 90, loadedAtMs: 130, handedOverAtMs: 130 })
    expect(phasesOf(late, 140)).toEqual({ queueMs: 0, startMs: 0, thawMs: 0, initMs: 30, runMs: 10 })
  })
  test('of a thawed call have the thaw', () => {
    expect(phasesOf(times({ thawUs: 40, handedOverAtMs: 101 }), 103)).toEqual({
      queueMs: 0.96,
      startMs: 0,
      thawMs: 0.04,
      initMs: 0,
      runMs: 2,
    })
  })
  test('are never negative and add up to the time since the arrival', () => {
    const steps = fc.array(fc.double({ min: 0, max: 1e5, noNaN: true }), { minLength: 5, maxLength: 5 })
    fc.assert(
      fc.property(steps, fc.double({ min: 0, max: 2e5, noNaN: true }), (gaps, arrivedAtMs) => {
        let atMs = 0
        const [launchedAtMs, createdAtMs, loadedAtMs, later, run] = gaps.map((gap) => {
          atMs += gap
          return atMs
        }) as [number, number, number, number, number]
        const handedOverAtMs = Math.max(later, arrivedAtMs)
        const until = handedOverAtMs + run
        const phases = phasesOf(times({ arrivedAtMs, launchedAtMs, createdAtMs, loadedAtMs, handedOverAtMs }), until)
        for (const ms of Object.values(phases)) expect(ms).toBeGreaterThanOrEqual(0)
        expect(sum(phases)).toBeCloseTo(until - arrivedAtMs, 1)
      }),
    )
  })
})

describe('a record', () => {
  const request = requestOf(versionOf('hello'), { attempt: 2 })
  const outcome = { start: 'warm' as const, status: 200, error: null, metering: ZERO_METERING, limits: limitsWith() }

  test('has wall-clock instants that fit its phases', () => {
    const ran = times({ handedOverAtMs: 105, endedAtMs: 125 })
    const record = recordOf(request, ran, outcome, instantsOf(request, ran, 130, Date.UTC(2026, 0, 1) + 30))
    expect(record).toMatchObject({
      createdAt: '2026-01-01T00:00:00.000Z',
      startedAt: '2026-01-01T00:00:00.005Z',
      endedAt: '2026-01-01T00:00:00.025Z',
      runMs: 20,
      state: 'succeeded',
      attempt: 2,
    })
    expect(reportLine(record)).toBe(
      'REPORT id  status 200  start warm  run 20.00 ms  queue 5.00 ms  cpu 0.60 ms  memory peak 17m of 128m',
    )
  })

  test('has nothing begin before the call was accepted, whatever the clock on the wall has lost', () => {
    const ran = times({ arrivedAtMs: 104.9, handedOverAtMs: 105, endedAtMs: 105.2 })
    const record = recordOf(request, ran, outcome, instantsOf(request, ran, 105.7, request.acceptedAtMs))
    const { createdAt } = record
    expect(record).toMatchObject({ createdAt, startedAt: createdAt, endedAt: createdAt })
  })

  test.each([
    [302, 'succeeded'],
    [400, 'succeeded'],
    [404, 'succeeded'],
    [499, 'succeeded'],
    [500, 'failed'],
    [503, 'failed'],
    [599, 'failed'],
  ])("of a function's own answer %s is %s, without an error of ours", (status, state) => {
    const ran = times({ handedOverAtMs: 105, endedAtMs: 125 })
    const record = recordOf(request, ran, { ...outcome, status }, instantsOf(request, ran, 130, 0))
    expect(record).toMatchObject({ state, status, error: null })
  })
})

describe('times', () => {
  test('are RFC 3339 in UTC with milliseconds', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4e12 }), (ms) => {
        expect(isoTime(ms)).toBe(new Date(ms).toISOString())
        expect(isoTime(ms + 0.7)).toBe(new Date(ms).toISOString())
      }),
    )
  })
})
