// What counts as growing.
import { expect, test } from 'vitest'
import { FIGURES, type Sample } from '../../soak/samples.ts'
import { growthsOf } from '../../soak/slopes.ts'

/** An hour of samples, a minute apart, in which every figure is as `value` says. */
const hour = (value: (minute: number) => number): Sample[] =>
  Array.from({ length: 61 }, (_, minute) => {
    const figures = Object.fromEntries(FIGURES.map((figure) => [figure, value(minute)]))
    return { atS: minute * 60, ...figures } as Sample
  })
const grows = (value: (minute: number) => number) => growthsOf(hour(value))[0]!.grows

test('a figure that stands still, swings, or grows only while it warms up does not grow', () => {
  expect(grows(() => 300)).toBe(false)
  expect(grows((minute) => 300 + (minute % 7) * 20)).toBe(false)
  expect(grows((minute) => Math.min(300, minute * 30))).toBe(false)
})

test('a steady slope is one, whatever outliers lie on it', () => {
  expect(grows((minute) => 300 + minute)).toBe(true)
  expect(growthsOf(hour((minute) => (minute % 9 === 0 ? 900 : 300 + minute)))[0]!.perHour).toBeCloseTo(60, 0)
})

test('logs are judged by their bound, not by their slope', () => {
  const growing = growthsOf(hour((minute) => 300 + minute)).filter((growth) => growth.grows)
  expect(growing.map(({ figure }) => figure)).toEqual(FIGURES.filter((figure) => figure !== 'disk MiB: logs'))
})

test('of no samples nothing grows', () => {
  expect(growthsOf([]).some((growth) => growth.grows)).toBe(false)
})
