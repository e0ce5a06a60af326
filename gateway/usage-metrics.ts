// Owns the totals of what functions used, for /metrics: summed from the metering of finished records. Of calls that
// overlapped in a sandbox each part is summed once. Serves nothing: metrics.ts does.
import { Counter, type Registry } from 'prom-client'
import type { Metering } from '../runtime/api.ts'
import type { InvocationRecord } from '../worker/api.ts'
import type { FunctionLabelBook, FunctionLabels } from './function-labels.ts'

interface UsageCounter {
  readonly name: string
  readonly help: string
  /** Label values beside namespace and function, with what each adds. */
  readonly label: string | null
  readonly parts: readonly { readonly value: string; readonly of: (metering: Metering) => number }[]
}

const US_PER_S = 1e6
const COUNTERS: readonly UsageCounter[] = [
  {
    name: 'thaw_function_cpu_seconds_total',
    help: 'CPU time of calls, from the kernel’s counters',
    label: 'mode',
    parts: [
      { value: 'user', of: (metering) => metering.cpuUserUs / US_PER_S },
      { value: 'system', of: (metering) => metering.cpuSystemUs / US_PER_S },
      { value: 'idle', of: (metering) => metering.idleCpuUs / US_PER_S },
    ],
  },
  one('thaw_function_throttled_seconds_total', 'Time the CPU quota held calls back', (m) => m.throttledUs / US_PER_S),
  {
    name: 'thaw_function_io_bytes_total',
    help: 'Bytes read and written on disks',
    label: 'direction',
    parts: [
      { value: 'read', of: (metering) => metering.ioReadBytes },
      { value: 'write', of: (metering) => metering.ioWriteBytes },
    ],
  },
  {
    name: 'thaw_function_io_operations_total',
    help: 'Operations on disks',
    label: 'direction',
    parts: [
      { value: 'read', of: (metering) => metering.ioReadOps },
      { value: 'write', of: (metering) => metering.ioWriteOps },
    ],
  },
  one('thaw_function_oom_kills_total', 'Processes killed at the memory limit', (metering) => metering.oomKills),
  one('thaw_function_page_faults_total', 'Page faults of calls', (metering) => metering.pageFaults),
]

function one(name: string, help: string, of: (metering: Metering) => number): UsageCounter {
  return { name, help, label: null, parts: [{ value: '', of }] }
}

interface Usage {
  readonly namespace: string
  readonly function: string
  /** One sum for each part of each counter, in their order. */
  readonly sums: Float64Array
}

const PARTS = COUNTERS.flatMap((counter) => counter.parts)

/** Totals by function since the start of the platform. */
export class UsageMetrics {
  readonly #labels: FunctionLabelBook
  readonly #usages = new Map<FunctionLabels, Usage>()

  constructor(registry: Registry, labels: FunctionLabelBook) {
    this.#labels = labels
    let first = 0
    for (const counter of COUNTERS) {
      this.#define(registry, counter, first)
      first += counter.parts.length
    }
  }

  /** Adds what one finished attempt used. */
  add(record: InvocationRecord): void {
    const { metering } = record
    if (metering === null) return
    const own = metering.unshared === undefined ? metering : { ...metering, ...metering.unshared }
    const labels = this.#labels.of(record.namespace, record.function)
    let usage = this.#usages.get(labels)
    if (usage === undefined) {
      usage = { ...labels, sums: new Float64Array(PARTS.length) }
      this.#usages.set(labels, usage)
    }
    for (let index = 0; index < PARTS.length; index++) usage.sums[index]! += PARTS[index]!.of(own)
  }

  #define(registry: Registry, { name, help, label, parts }: UsageCounter, first: number): void {
    const usages = this.#usages
    new Counter({
      name,
      help,
      labelNames: ['namespace', 'function', ...(label === null ? [] : [label])],
      registers: [registry],
      collect() {
        this.reset()
        for (const { namespace, function: fn, sums } of usages.values()) {
          parts.forEach(({ value }, index) => {
            const labels = { namespace, function: fn, ...(label === null ? {} : { [label]: value }) }
            this.inc(labels, sums[first + index]!)
          })
        }
      },
    })
  }
}
