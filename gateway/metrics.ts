// Owns the Prometheus metrics of the platform. Counts from finished records, so that every lane counts alike; reads gauges only
// when somebody scrapes. Serves nothing: routes/platform.ts does.
import { performance } from 'node:perf_hooks'
import { Counter, Gauge, Histogram, type Metric, Registry } from 'prom-client'
import type { Clock, LoopStands } from '../runtime/api.ts'
import type { InvocationRecord, Worker } from '../worker/api.ts'
import type { DurableLane } from '../worker/queue/api.ts'
import { FunctionLabelBook } from './function-labels.ts'
import { DurationHistogram, observe } from './histogram.ts'
import type { GatewayOptions } from './options.ts'
import { registerQuotaMetrics } from './quota-metrics.ts'
import { UsageMetrics } from './usage-metrics.ts'

/** Upper bounds of stands of the event loop, seconds. */
const STAND_BUCKETS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const PHASES = ['queue', 'start', 'thaw', 'init', 'run'] as const

export class Metrics {
  readonly #worker: Worker
  readonly #lane: DurableLane | null
  readonly #clock: Clock
  readonly #registry = new Registry()
  /** `namespace/function/outcome/start` → count; turned into prom-client's form when scraped. */
  readonly #counts = new Map<string, { readonly labels: Readonly<Record<string, string>>; count: number }>()
  readonly #phases = new DurationHistogram('thaw_invocation_phase_seconds', 'Phases of invocations')
  readonly #labels = new FunctionLabelBook()
  readonly #usage: UsageMetrics
  readonly #unsubscribes: (() => void)[] = []
  #rendering: Promise<string> | null = null
  readonly #late = new Counter({
    name: 'thaw_function_faults_after_answer_total',
    help: 'Faults of code after the answer of its call',
    labelNames: ['namespace', 'function', 'code'],
    registers: [this.#registry],
  })

  constructor(options: Pick<GatewayOptions, 'worker' | 'lane' | 'clock' | 'quotas' | 'loop'>) {
    const { worker, lane, clock, quotas, loop } = options
    this.#worker = worker
    this.#lane = lane
    this.#clock = clock
    this.#define()
    this.#usage = new UsageMetrics(this.#registry, this.#labels)
    if (loop) this.#defineLoop(loop)
    if (quotas !== undefined) registerQuotaMetrics(this.#registry, quotas)
    const unsubscribe = worker.subscribe((event) => {
      if (event.type === 'invocation') this.#count(event.record)
      else if (event.type === 'after-answer') this.#countLate(event.fault, event.fault.failure.code)
    })
    this.#unsubscribes.push(unsubscribe)
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /** All metrics in the text exposition format. Who asks while they are being made gets the same. */
  render(): Promise<string> {
    this.#rendering ??= this.#registry.metrics().finally(() => {
      this.#rendering = null
    })
    return this.#rendering
  }

  close(): void {
    for (const unsubscribe of this.#unsubscribes) unsubscribe()
  }

  #countLate(fn: { readonly namespace: string; readonly function: string }, code: string): void {
    this.#late.inc({ ...this.#labels.of(fn.namespace, fn.function), code })
  }

  #count(record: InvocationRecord): void {
    if (record.endedAt === null) return
    if (record.afterAnswer !== undefined) this.#countLate(record, record.afterAnswer.code)
    this.#usage.add(record)
    const outcome = record.error === null ? record.state : record.error.code
    const start = record.start ?? 'none'
    const labelled = this.#labels.of(record.namespace, record.function)
    const key = `${labelled.namespace}/${labelled.function}/${outcome}/${start}`
    const known = this.#counts.get(key)
    if (known === undefined) {
      const labels = { ...labelled, outcome, start }
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
    const lane = this.#lane
    new Counter({
      name: 'thaw_durable_mended_total',
      help: 'Accepted calls whose record and job disagreed, by how they were put right',
      labelNames: ['mending'],
      registers,
      collect() {
        this.reset()
        for (const [mending, count] of Object.entries(lane?.mended() ?? {})) this.inc({ mending }, count)
      },
    })
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

  #defineLoop(loop: LoopStands): void {
    const stands = new Histogram({
      name: 'thaw_event_loop_stand_seconds',
      help: 'Times in which the event loop ran or slept in one piece for 30 ms or more',
      buckets: STAND_BUCKETS,
      registers: [this.#registry],
    })
    this.#unsubscribes.push(loop.onStand((ms) => stands.observe(ms / 1000)))
    const longest = 'Longest time the event loop stood since the last scrape'
    this.#gauge('thaw_event_loop_stand_max_seconds', longest, () => loop.takeLongestMs() / 1000)
    new Counter({
      name: 'thaw_platform_stalls_total',
      help: 'Times the event loop stood for so long that the watchdog ended it, by how',
      labelNames: ['end'],
      registers: [this.#registry],
      collect() {
        const { sandboxesKilled, restarts } = loop.stalls()
        this.reset()
        this.inc({ end: 'sandbox_killed' }, sandboxesKilled)
        this.inc({ end: 'restarted' }, restarts)
      },
    })
    new Counter({
      name: 'thaw_event_loop_core_wait_seconds_total',
      help: 'Time the event loop was ready to run and had no core',
      registers: [this.#registry],
      collect() {
        this.reset()
        this.inc(loop.coreWaitMs() / 1000)
      },
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
