// Owns the Prometheus metrics of the platform. Counts from finished records, so that every lane counts alike; reads gauges only
// when somebody scrapes. Serves nothing: routes/platform.ts does.
import { performance } from 'node:perf_hooks'
import { Counter, Gauge, type Metric, Registry } from 'prom-client'
import type { Clock } from '../runtime/api.ts'
import type { InvocationRecord, Worker } from '../worker/api.ts'
import type { DurableLane } from '../worker/queue/api.ts'
import { DurationHistogram, observe } from './histogram.ts'
import { UsageMetrics } from './usage-metrics.ts'

const PHASES = ['queue', 'start', 'thaw', 'init', 'run'] as const

export class Metrics {
  readonly #worker: Worker
  readonly #lane: DurableLane | null
  readonly #clock: Clock
  readonly #registry = new Registry()
  /** `namespace/function/outcome/start` → count; turned into prom-client's form when scraped. */
  readonly #counts = new Map<string, { readonly labels: Readonly<Record<string, string>>; count: number }>()
  readonly #phases = new DurationHistogram('thaw_invocation_phase_seconds', 'Phases of invocations')
  readonly #usage: UsageMetrics
  readonly #unsubscribe: () => void

  constructor(worker: Worker, lane: DurableLane | null, clock: Clock) {
    this.#worker = worker
    this.#lane = lane
    this.#clock = clock
    this.#define()
    this.#usage = new UsageMetrics(this.#registry)
    this.#unsubscribe = worker.subscribe((event) => {
      if (event.type === 'invocation') this.#count(event.record)
    })
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /** All metrics in the text exposition format. */
  async render(): Promise<string> {
    return await this.#registry.metrics()
  }

  close(): void {
    this.#unsubscribe()
  }

  #count(record: InvocationRecord): void {
    if (record.endedAt === null) return
    this.#usage.add(record)
    const outcome = record.error === null ? record.state : record.error.code
    const start = record.start ?? 'none'
    const key = `${record.namespace}/${record.function}/${outcome}/${start}`
    const known = this.#counts.get(key)
    if (known === undefined) {
      const labels = { namespace: record.namespace, function: record.function, outcome, start }
      this.#counts.set(key, { labels, count: 1 })
    } else known.count++
    for (const phase of PHASES) {
      // A phase that was not gone through is not an observation.
      const ms = record[`${phase}Ms`]
      if (ms > 0)
        observe(
          this.#phases.series(phase, () => ({ phase })),
          ms,
        )
    }
  }

  #define(): void {
    const registers = [this.#registry]
    const counts = this.#counts
    new Counter({
      name: 'thaw_invocations_total',
      help: 'Finished attempts by function, outcome and start kind',
      labelNames: ['namespace', 'function', 'outcome', 'start'],
      registers,
      collect() {
        this.reset()
        for (const { labels, count } of counts.values()) this.inc(labels, count)
      },
    })
    this.#registry.registerMetric(this.#phases as unknown as Metric)
    const worker = this.#worker
    new Gauge({
      name: 'thaw_sandboxes',
      help: 'Sandboxes by slot state',
      labelNames: ['state'],
      registers,
      collect() {
        for (const [state, count] of Object.entries(worker.stats().sandboxes)) this.set({ state }, count)
      },
    })
    this.#gauge('thaw_sandbox_memory_bytes', 'Memory of all sandboxes', () => worker.stats().memoryBytes)
    this.#gauge('thaw_invocations_waiting', 'Calls waiting for a slot', () => worker.stats().waiting)
    this.#gauge('thaw_invocations_running', 'Calls running', () => worker.stats().running)
    this.#gauge('thaw_durable_lane_up', '1 while the durable lane answers', () => (this.#lane?.available() ? 1 : 0))
    this.#defineProcess()
  }

  #defineProcess(): void {
    const startedAt = this.#clock.now() / 1000
    this.#gauge('process_start_time_seconds', 'Start of the platform', () => startedAt)
    this.#gauge('process_resident_memory_bytes', 'Resident memory of the platform', () => process.memoryUsage.rss())
    this.#gauge('nodejs_heap_used_bytes', "The platform's V8 heap", () => process.memoryUsage().heapUsed)
    new Counter({
      name: 'process_cpu_seconds_total',
      help: 'CPU the platform used',
      registers: [this.#registry],
      collect() {
        const { user, system } = process.cpuUsage()
        this.reset()
        this.inc((user + system) / 1e6)
      },
    })
    let last = performance.eventLoopUtilization()
    this.#gauge('nodejs_eventloop_utilization', "Busy share of the platform's event loop since the last scrape", () => {
      const now = performance.eventLoopUtilization()
      const { utilization } = performance.eventLoopUtilization(now, last)
      last = now
      return utilization
    })
  }

  #gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.#registry],
      collect() {
        this.set(read())
      },
    })
  }
}
