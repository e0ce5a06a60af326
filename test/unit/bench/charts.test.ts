import { expect, test } from 'vitest'
import { escapeText, linearTicks, logTicks, plot, stackedBars } from '../../../bench/page/charts.ts'

test('ticks are round numbers within the scale', () => {
  expect(logTicks(0.05, 20)).toEqual([0.1, 1, 10])
  expect(logTicks(1, 10, [1, 2, 5])).toEqual([1, 2, 5, 10])
  expect(linearTicks(100)).toEqual([0, 20, 40, 60, 80, 100])
  expect(linearTicks(7).at(-1)).toBeGreaterThanOrEqual(7)
})

test('a point lies where its scales say, and outside them at the edge', () => {
  const scale = { label: '', kind: 'linear', min: 0, max: 10, ticks: [], tickText: String } as const
  const path = (points: [number, number][]) =>
    /d="([^"]*)"/.exec(plot(scale, scale, [{ name: 'a', colour: 0, points }]))?.[1]
  expect(
    path([
      [0, 0],
      [10, 10],
    ]),
  ).toBe(
    path([
      [-5, -5],
      [99, 99],
    ]),
  )
})

test('names cannot break out of the page', () => {
  expect(escapeText('<b>"&')).toBe('&lt;b&gt;&quot;&amp;')
  expect(stackedBars([{ name: '<script>', parts: [{ name: 'a"b', value: 1 }] }], 'ms')).not.toMatch(/<script>|a"b/)
})
