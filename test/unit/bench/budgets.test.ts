import { describe, expect, test } from 'vitest'
import { BUDGETS, judge } from '../../../bench/budgets.ts'
import { latencyOf, median } from '../../../bench/latency.ts'
import { missedComparisons } from '../../../bench/report.ts'

const budget = (id: string) => BUDGETS.find((entry) => entry.id === id)!

describe('budgets', () => {
  test('every id occurs once, and every aim is stricter than its limit', () => {
    expect(new Set(BUDGETS.map((entry) => entry.id)).size).toBe(BUDGETS.length)
    for (const entry of BUDGETS) if (entry.aim !== null) expect(judge(entry, entry.aim)).toBe('aim')
  })

  test.each([
    ['warm-p50', 2.0, 'aim'],
    ['warm-p50', 2.3, 'holds'],
    ['warm-p50', 2.31, 'missed'],
    ['warm-throughput', 0.45, 'aim'],
    ['warm-throughput', 0.3, 'holds'],
    ['warm-throughput', 0.29, 'missed'],
    ['echo-p50', 2.5, 'aim'],
    ['stem-p50', null, 'unmeasured'],
  ] as const)('%s at %s: %s', (id, figure, verdict) => {
    expect(judge(budget(id), figure)).toBe(verdict)
  })

  test('a check fails on comparisons alone, never on what depends on the machine or was not measured', () => {
    expect(missedComparisons({ 'warm-p50': 9, 'cold-p50': 9000, 'thaw-p50': null })).toEqual(['warm-p50'])
  })
})

describe('latencies', () => {
  test('percentiles are samples, by nearest rank', () => {
    const hundred = Array.from({ length: 100 }, (_, n) => 100 - n)
    expect(latencyOf(hundred)).toEqual({ count: 100, mean: 50.5, p50: 50, p90: 90, p99: 99, p999: 100, max: 100 })
    expect(latencyOf([7])).toEqual({ count: 1, mean: 7, p50: 7, p90: 7, p99: 7, p999: 7, max: 7 })
  })

  test('no samples give zeros and no median', () => {
    expect(latencyOf([])).toEqual({ count: 0, mean: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 })
    expect(median([])).toBeNull()
  })

  test('the median of an even number is between the middle ones', () => {
    expect(median([3, 1, 2])).toBe(2)
    expect(median([4, 1, 2, 3])).toBe(2.5)
  })
})
