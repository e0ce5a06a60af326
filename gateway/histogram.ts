// Owns counting durations into buckets, cheaply enough for every call: one array write. prom-client renders it.

/** Upper bounds, seconds. */
const BOUNDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

interface Series {
  readonly labels: Readonly<Record<string, string>>
  readonly counts: Float64Array
  sum: number
  count: number
}

/** What prom-client's registry wants of a metric. */
interface MetricValues {
  readonly name: string
  readonly help: string
  readonly type: string
  readonly aggregator: string
  readonly values: readonly {
    readonly value: number
    readonly metricName?: string
    readonly labels: Readonly<Record<string, string | number>>
  }[]
}

export class DurationHistogram {
  readonly name: string
  readonly help: string
  readonly #series = new Map<string, Series>()

  constructor(name: string, help: string) {
    this.name = name
    this.help = help
  }

  /** A series to count into; `labels` makes it once. */
  series(key: string, labels: () => Readonly<Record<string, string>>): Series {
    let series = this.#series.get(key)
    if (series === undefined) {
      series = { labels: labels(), counts: new Float64Array(BOUNDS.length + 1), sum: 0, count: 0 }
      this.#series.set(key, series)
    }
    return series
  }

  /** In prom-client's shape: buckets are cumulative. */
  async get(): Promise<MetricValues> {
    const values: MetricValues['values'][number][] = []
    for (const { labels, counts, sum, count } of this.#series.values()) {
      let below = 0
      BOUNDS.forEach((bound, index) => {
        below += counts[index]!
        values.push({ metricName: `${this.name}_bucket`, labels: { ...labels, le: bound }, value: below })
      })
      values.push({ metricName: `${this.name}_bucket`, labels: { ...labels, le: '+Inf' }, value: count })
      values.push({ metricName: `${this.name}_sum`, labels, value: sum })
      values.push({ metricName: `${this.name}_count`, labels, value: count })
    }
    return { name: this.name, help: this.help, type: 'histogram', aggregator: 'sum', values }
  }
}

/** Counts one duration, ms. */
export function observe(series: Series, ms: number): void {
  const seconds = ms / 1000
  let index = 0
  while (index < BOUNDS.length && seconds > BOUNDS[index]!) index++
  series.counts[index]!++
  series.sum += seconds
  series.count++
}
