// Percentiles of latencies, the curve of a distribution, and the median of rounds. Pure.

/** Milliseconds; all zero when `count` is 0. */
export interface Latency {
  readonly count: number
  readonly mean: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

/** Points of a cumulative distribution: share of the samples (0 to 1) and the ms they do not exceed. */
export type Curve = readonly (readonly [share: number, ms: number])[]

export function latencyOf(samples: readonly number[]): Latency {
  const sorted = Float64Array.from(samples).sort()
  return {
    count: sorted.length,
    mean: sorted.length === 0 ? 0 : sorted.reduce((sum, ms) => sum + ms, 0) / sorted.length,
    p50: rank(sorted, 0.5),
    p90: rank(sorted, 0.9),
    p99: rank(sorted, 0.99),
    p999: rank(sorted, 0.999),
    max: sorted.at(-1) ?? 0,
  }
}

/** Where the curve is drawn: evenly in the middle, finer and finer towards the slowest call in ten thousand. */
const SHARES = [0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.985]
const TAIL_SHARES = [0.99, 0.9925, 0.995, 0.997, 0.998, 0.999, 0.9995, 0.9999]

/** The distribution as a curve of at most 26 points; a share finer than the samples can tell is left out. */
export function curveOf(samples: readonly number[]): Curve {
  const sorted = Float64Array.from(samples).sort()
  return [...SHARES, ...TAIL_SHARES]
    .filter((share) => (1 - share) * sorted.length >= 1)
    .map((share) => [share, Math.round(rank(sorted, share) * 10_000) / 10_000])
}

/** The middle of some figures (mean of the two middle ones); null for none. */
export function median(figures: readonly number[]): number | null {
  if (figures.length === 0) return null
  const sorted = [...figures].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Nearest rank: the smallest sample that at least the share `q` of all samples does not exceed. */
function rank(sorted: Float64Array, q: number): number {
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0
}
