import { describe, expect, test } from 'vitest'
import { GAPS_KEPT, GapHistory } from '../../../../../worker/pool/policy/gap-history.ts'
import { DEFAULT_PRICE, isWorthHolding, MAKING_FACTOR } from '../../../../../worker/pool/policy/retention.ts'

function historyOf(...minutes: number[]): GapHistory {
  const history = new GapHistory()
  for (const minute of minutes) history.called(minute)
  return history
}

const every = (gap: number, times: number) => Array.from({ length: times }, (_, index) => index * gap)

/** Minutes after the last call in which a sandbox is there, by the policy alone, up to `until`. */
function heldMinutes(history: GapHistory, until: number): number[] {
  const held: number[] = []
  for (let silent = 1; silent <= until; silent++) {
    const there = silent === 1 || held.at(-1) === silent - 1
    const hazard = history.hazard(history.lastMinute + silent)
    if (isWorthHolding({ hazard, held: there, cost: 1 }, DEFAULT_PRICE)) held.push(silent)
  }
  return held
}

describe('what a sandbox is kept through at the default price', () => {
  const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1)
  const cases: [title: string, history: GapHistory, held: number[]][] = [
    ['never called: nothing', historyOf(), []],
    ['called once: ten minutes', historyOf(100), upTo(10)],
    ['called in each minute so far: ten minutes', historyOf(...every(1, 50)), upTo(10)],
  ]
  for (const [title, history, held] of cases) {
    test(title, () => expect(heldMinutes(history, 90)).toEqual(held))
  }
  for (const gap of [3, 5, 15, 60]) {
    test(`a timer of ${gap} minutes: the minute before its next call, whatever else`, () => {
      expect(heldMinutes(historyOf(...every(gap, 200)), 90)).toContain(gap - 1)
    })
  }
  test('a timer is not kept for long past the call that did not come', () => {
    expect(heldMinutes(historyOf(...every(5, 200)), 90).length).toBeLessThan(15)
  })
})

describe('the hazard', () => {
  test('is high just before the usual gap ends, and low before and after', () => {
    const history = historyOf(...every(15, 40))
    const at = (silent: number) => history.hazard(history.lastMinute + silent)
    expect(at(14)).toBeGreaterThan(0.7)
    for (const silent of [5, 13, 40]) expect(at(silent)).toBeLessThan(at(14) / 10)
  })
  test('learns from what followed a gap like the last', () => {
    // 3 and 30 minutes in turn: after a 3 comes a 30.
    const minutes = [0]
    for (let turn = 0; turn < 20; turn++) minutes.push(minutes.at(-1)! + 30, minutes.at(-1)! + 33)
    const history = historyOf(...minutes)
    expect(history.hazard(history.lastMinute + 29)).toBeGreaterThan(0.5)
    expect(history.hazard(history.lastMinute + 2)).toBeLessThan(0.2)
  })
  test('follows a function that changes', () => {
    const history = historyOf(...every(10, 40))
    let minute = history.lastMinute
    for (let turn = 0; turn < 60; turn++) {
      minute += 4
      history.called(minute)
    }
    expect(history.hazard(minute + 3)).toBeGreaterThan(0.7)
    expect(history.hazard(minute + 9)).toBeLessThan(0.2)
  })
  test('is a probability whatever came', () => {
    const history = new GapHistory()
    expect(history.hazard(5)).toBe(0)
    for (const minute of [5, 5, 3, 7, 1_000_000, 1_000_009]) history.called(minute)
    expect(history.lastMinute).toBe(1_000_009)
    for (let silent = 0; silent < 100; silent++) {
      const hazard = history.hazard(1_000_009 + silent)
      expect(hazard).toBeGreaterThan(0)
      expect(hazard).toBeLessThan(1)
    }
    expect(history.hazard(1_000_000)).toBe(0)
  })
})

describe('a price', () => {
  test('is asked of what a minute costs, more of one that has to be made', () => {
    const minute = { hazard: 0.1, held: true, cost: 1 }
    expect(isWorthHolding(minute, 0.09)).toBe(true)
    expect(isWorthHolding(minute, 0.11)).toBe(false)
    expect(isWorthHolding({ ...minute, cost: 2 }, 0.06)).toBe(false)
    expect(isWorthHolding({ ...minute, held: false }, 0.09)).toBe(false)
    expect(isWorthHolding({ ...minute, held: false }, 0.09 / MAKING_FACTOR)).toBe(true)
  })
})

describe('a history that is written down', () => {
  test('is the same when it is read again, and no longer than its ring', () => {
    const history = historyOf(...every(7, 3 * GAPS_KEPT))
    const written: unknown = JSON.parse(JSON.stringify(history.snapshot()))
    const read = GapHistory.restore(written)!
    expect(read.snapshot()).toEqual(history.snapshot())
    expect(read.gaps).toBe(GAPS_KEPT)
    expect(read.hazard(read.lastMinute + 6)).toBe(history.hazard(history.lastMinute + 6))
  })
  const bad: unknown[] = [
    null,
    5,
    'x',
    {},
    { lastMinute: 1 },
    { lastMinute: 'x', gaps: [] },
    { lastMinute: 1, gaps: [1] },
  ]
  for (const written of [
    ...bad,
    { lastMinute: 1, gaps: [2, null] },
    { lastMinute: 1, gaps: Array(GAPS_KEPT + 1).fill(2) },
  ]) {
    test(`is none when it is damaged: ${JSON.stringify(written).slice(0, 40)}`, () => {
      expect(GapHistory.restore(written)).toBeNull()
    })
  }
})
