// What grows: the slope of a figure after warm-up, robust against saws and outliers. Pure.
import { FIGURES, type FigureName, type Sample } from './samples.ts'

export interface Growth {
  readonly figure: FigureName
  readonly median: number
  readonly last: number
  readonly most: number
  /** By Theil–Sen: the median of the slopes between all pairs. */
  readonly perHour: number
  /** It would grow by more than a tenth of its median in an hour, and by more than its own noise. */
  readonly grows: boolean
}

/** Of samples after the first `warmUp` (a share) of them. */
export function growthsOf(samples: readonly Sample[], warmUp = 0.33): Growth[] {
  const kept = samples.slice(Math.floor(samples.length * warmUp))
  return FIGURES.map((figure) => growthOf(figure, kept))
}

/** Grow up to a bound that is watched in itself (`rotation.ts`), some functions' in ten minutes, others' in an hour. */
const BOUNDED: readonly FigureName[] = ['disk MiB: logs']

function growthOf(figure: FigureName, samples: readonly Sample[]): Growth {
  const values = samples.map((one) => one[figure])
  const slopes: number[] = []
  for (let a = 0; a < samples.length; a++) {
    for (let b = a + 1; b < samples.length; b++) {
      slopes.push(((values[b]! - values[a]!) / (samples[b]!.atS - samples[a]!.atS)) * 3600)
    }
  }
  const middle = medianOf(values)
  const perHour = medianOf(slopes)
  const noise = medianOf(values.map((value) => Math.abs(value - middle)))
  const spanH = samples.length < 2 ? 0 : (samples.at(-1)!.atS - samples[0]!.atS) / 3600
  return {
    figure,
    median: middle,
    last: values.at(-1) ?? 0,
    most: Math.max(...values, 0),
    perHour,
    grows: !BOUNDED.includes(figure) && perHour > 0.1 * Math.max(middle, 1) && perHour * spanH > 2 * noise,
  }
}

function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}
