import { Cron } from 'croner'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { neverFires } from '../../../../worker/queue/schedules/never-fires.ts'

test.each([
  ['0 0 30 2 *', true],
  ['0 0 30 FEB *', true],
  ['0 0 31 2,4,6,9,11 *', true],
  ['59 59 23 31 4 ?', true],
  ['0 0 30-31 2 *', true],
  ['0 0 29 2 *', false],
  ['0 0 31 4,5 *', false],
  ['0 0 30 2 1', false],
  ['0 0 30 2 +1', true],
  ['0 0 1-7 * +1#5', true],
  ['0 0 29 2 +1#5', false],
  ['0 0 1-7 * +5L', true],
  ['0 0 L 2 *', false],
  ['* * * * *', false],
  ['@daily', false],
  ['', false],
])('%j never fires: %s', (expression, never) => {
  expect(neverFires(expression)).toBe(never)
})

test('what it says never fires, croner does not fire either', () => {
  const numbers = (lowest: number, highest: number) =>
    fc.oneof(
      fc.constant('*'),
      fc.integer({ min: lowest, max: highest }).map(String),
      fc
        .tuple(fc.integer({ min: lowest, max: highest }), fc.integer({ min: lowest, max: highest }))
        .map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
    )
  const expression = fc.tuple(numbers(25, 31), numbers(1, 12), fc.constantFrom('*', '1', '+3', '+2#1'))
  fc.assert(
    fc.property(expression, ([day, month, week]) => {
      const text = `0 0 ${day} ${month} ${week}`
      if (neverFires(text)) expect(new Cron(text, { paused: true, timezone: 'UTC' }).nextRun()).toBeNull()
    }),
    { numRuns: 60 },
  )
})
