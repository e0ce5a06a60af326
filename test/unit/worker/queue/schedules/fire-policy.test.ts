// What becomes of a schedule's time: in time, a little late, missed for hours; once or not at all.
import { expect, test } from 'vitest'
import { parseCron } from '../../../../../worker/queue/schedules/cron.ts'
import { decideFire } from '../../../../../worker/queue/schedules/fire-policy.ts'

const at = (text: string): number => Date.parse(text)
const hourly = parseCron('0 * * * *', 'UTC', at('2026-01-01T00:00:00Z'))
const secondly = parseCron('* * * * * *', 'UTC', at('2026-01-01T00:00:00Z'))

test('in time it runs, and the next time follows', () => {
  expect(decideFire(at('2026-01-01T10:00:00Z'), at('2026-01-01T10:00:00.020Z'), 'skip', hourly)).toEqual({
    scheduledAtMs: at('2026-01-01T10:00:00Z'),
    runs: true,
    nextAtMs: at('2026-01-01T11:00:00Z'),
  })
})

test('a slow platform runs every single time, none is left out', () => {
  expect(decideFire(at('2026-01-01T10:00:00Z'), at('2026-01-01T10:00:05Z'), 'skip', secondly)).toEqual({
    scheduledAtMs: at('2026-01-01T10:00:00Z'),
    runs: true,
    nextAtMs: at('2026-01-01T10:00:01Z'),
  })
})

test('after hours without a platform run-once runs one time for all that were missed', () => {
  expect(decideFire(at('2026-01-01T02:00:00Z'), at('2026-01-01T10:40:00Z'), 'run-once', hourly)).toEqual({
    scheduledAtMs: at('2026-01-01T10:00:00Z'),
    runs: true,
    nextAtMs: at('2026-01-01T11:00:00Z'),
  })
})

test('skip runs none of them and waits for the next time', () => {
  expect(decideFire(at('2026-01-01T02:00:00Z'), at('2026-01-01T10:40:00Z'), 'skip', hourly)).toEqual({
    scheduledAtMs: at('2026-01-01T10:00:00Z'),
    runs: false,
    nextAtMs: at('2026-01-01T11:00:00Z'),
  })
})

test('a time that has just come is not missed although earlier ones were', () => {
  const decision = decideFire(at('2026-01-01T02:00:00Z'), at('2026-01-01T10:00:10Z'), 'skip', hourly)
  expect(decision).toMatchObject({ scheduledAtMs: at('2026-01-01T10:00:00Z'), runs: true })
})
