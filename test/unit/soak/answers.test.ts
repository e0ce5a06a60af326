// What callers were told in a stretch of time, and what the platform said of itself.
import { expect, test } from 'vitest'
import {
  answerLines,
  answersBetween,
  copyOf,
  missedWords,
  newLines,
  readinessLines,
  rightShare,
  sentenceOf,
} from '../../soak/answers.ts'
import type { Tally } from '../../soak/load.ts'

const RIGHTS = new Map([
  ['sync', '200'],
  ['oom', '502'],
])
const tally = (expected: number, others: Record<string, number> = {}): Tally => ({ sent: 0, expected, others })

test('answers between two copies are counted by code, and streams that said nothing are left out', () => {
  const tallies = new Map([
    ['sync', tally(10, { '503': 1 })],
    ['oom', tally(2)],
  ])
  const before = copyOf(tallies)
  tallies.get('sync')!.expected = 15
  tallies.get('sync')!.others['503'] = 4
  tallies.get('sync')!.others['fetch failed'] = 1
  expect(answersBetween(before, tallies, RIGHTS)).toEqual({ sync: { '200': 5, '503': 3, 'fetch failed': 1 } })
})

test('a stream that began in between counts from nothing', () => {
  expect(answersBetween(new Map(), new Map([['oom', tally(2)]]), RIGHTS)).toEqual({ oom: { '502': 2 } })
})

test('the share of right answers leaves out streams whose outcome is open', () => {
  const answers = { sync: { '200': 9, '503': 1 }, oom: { '504': 5 } }
  expect(rightShare(answers, RIGHTS, ['oom'])).toBeCloseTo(0.9)
  expect(rightShare(answers, RIGHTS)).toBeCloseTo(0.6)
  expect(rightShare({}, RIGHTS)).toBe(1)
})

test('a line of answers names how many of each', () => {
  expect(answerLines({ sync: { '200': 9, '503': 1 } })).toEqual([`${'sync'.padEnd(22)} 9 × 200, 1 × 503`])
})

test('what /readyz said is told once each, with when it was said', () => {
  const looks = [
    { atMs: 1000, status: 200, reason: '' },
    { atMs: 2000, status: 503, reason: 'no disk' },
    { atMs: 3500, status: 503, reason: 'no disk' },
    { atMs: 4000, status: 0, reason: 'refused' },
    { atMs: 5000, status: 200, reason: '' },
  ]
  expect(readinessLines(looks, 1000)).toEqual([
    '200: 2 looks, from 0.0 to 4.0 s',
    '503 “no disk”: 2 looks, from 1.0 to 2.5 s',
    'no answer (refused): 1 looks, from 3.0 to 3.0 s',
  ])
})

test('of a command that is asked twice only what it did not say before is news', () => {
  expect(newLines('a\n  b\n', 'b\nc\n\n a ')).toEqual(['c'])
})

test('/readyz has to say the reason at least once, or nothing but ready', () => {
  const looks = [
    { atMs: 0, status: 200, reason: '' },
    { atMs: 1, status: 503, reason: 'the disk is full' },
  ]
  expect(missedWords(looks, /disk/)).toEqual([])
  expect(missedWords(looks, /Redis/)).toEqual(['/readyz never said /Redis/'])
  expect(missedWords(looks, null)).toEqual(['/readyz was not 200 in 1 of 2 looks'])
  expect(missedWords(looks.slice(0, 1), null)).toEqual([])
})

test('what a deploy said is one line, the same for each function and each time it took', () => {
  const said = (turn: number) =>
    `fn deploy /tmp/x/turn-${turn}.ts: exit 1\nbundled  1.0${turn} kB in ${turn} ms\nfn: no space\n→ free some\n\n`
  expect(sentenceOf(said(3), '/tmp/x')).toBe('fn deploy turn-N.ts: exit 1 / fn: no space / → free some')
  expect(sentenceOf(said(4), '/tmp/x')).toBe(sentenceOf(said(3), '/tmp/x'))
})
