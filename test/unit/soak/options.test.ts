// The command line of `npm run soak`, and how long results are kept for how long a run.
import { expect, test } from 'vitest'
import { judgesGrowth, parseOptions, resultTtlS, seesExpiry, UsageError, usage } from '../../soak/options.ts'

const parse = (...args: string[]) => parseOptions(args, '/results')

test('without options it is an hour at full scale, with a minute without Redis and all faults', () => {
  expect(parse()).toEqual({ minutes: 60, scale: 1, outageMs: 60_000, faults: true, out: '/results' })
})

test('every option is taken, and a fraction is a number', () => {
  expect(parse('--minutes', '3', '--scale', '0.2', '--outage-seconds', '0', '--no-faults', '--out', '/x')).toEqual({
    minutes: 3,
    scale: 0.2,
    outageMs: 0,
    faults: false,
    out: '/x',
  })
})

test.each([
  [['--minutes', '0'], '--minutes: expected a number from 0.5 to 10000, got "0"'],
  [['--scale', '1e3'], '--scale: expected a number from 0.01 to 10, got "1e3"'],
  [['--outage-seconds', 'soon'], '--outage-seconds: expected a number from 0 to 600, got "soon"'],
])('%j is refused with what was expected', (args, message) => {
  expect(() => parse(...args)).toThrow(new UsageError(message))
})

test('an option that does not exist is a usage error', () => {
  expect(() => parse('--hours', '1')).toThrow(UsageError)
})

test('help names every option with its default', () => {
  expect(parse('--help')).toBeNull()
  const text = usage()
  for (const name of ['--minutes', '--scale', '--outage-seconds', '--no-faults', '--out']) expect(text).toContain(name)
  for (const fallback of ['(60)', '(1)', '(bench/results)']) expect(text).toContain(fallback)
})

test('results are kept for half of a short run, at least two minutes and at most five', () => {
  expect([1, 3, 6, 60].map((minutes) => resultTtlS({ minutes }))).toEqual([120, 120, 180, 300])
})

test('a run of two minutes is too short to see a result end, one of three is not', () => {
  expect([2, 3, 60].map((minutes) => seesExpiry({ minutes }))).toEqual([false, true, true])
})

test('what grows is judged from twenty minutes on', () => {
  expect([3, 19.9, 20, 60].map((minutes) => judgesGrowth({ minutes }))).toEqual([false, false, true, true])
})
