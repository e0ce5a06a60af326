// Growth of a sandbox's kernel counters over its calls. Owns the snapshots; the counters belong to the controllers.
import type { Metering, Usage } from '../api.ts'
import type { CpuController } from './cpu.ts'
import type { CpuUsage, CpuUsageCounter } from './cpu-usage.ts'
import type { Freezer } from './freezer.ts'
import type { IoController, IoCounters } from './io.ts'
import type { MemoryController } from './memory.ts'
import type { PidsController } from './pids.ts'

export interface MeteredParts {
  readonly usage: CpuUsageCounter
  readonly cpu: CpuController
  readonly memory: MemoryController
  readonly pids: PidsController
  readonly io: IoController | null
  readonly freezer: Freezer
}

interface Snapshot {
  readonly cpuUs: number
  readonly userUs: number
  readonly throttledUs: number
  readonly oomKills: number
  readonly pageFaults: number
  readonly io: IoCounters
}

const NO_IO: IoCounters = { readBytes: 0, writeBytes: 0, readOps: 0, writeOps: 0 }

/** Page faults are read again once the sandbox has used so much CPU. Reading them costs as much as all other counters together
 *  (the kernel writes the whole of memory.stat), and it counts them in lumps of some twenty itself (mm/memcontrol.c,
 *  MEMCG_CHARGE_BATCH), so no reading is exact for a call this short. */
const FAULTS_EVERY_CPU_US = 250

/** `begin` and `end` come in pairs. CPU used between two pairs is idle CPU; what else grew there (I/O, page faults) is counted
 *  with the next pair, so that nothing is lost; so are the page faults of a call that used hardly any CPU. Pairs may overlap: then the figures run from the first `begin` on, for all of them.
 *  An `end` without its `begin` gives no growth. */
export class Meter {
  readonly #parts: MeteredParts
  readonly #sinceStart: NonNullable<Metering['sinceStart']>
  #open = 0
  #begun: Snapshot | null = null
  /** Since the first `begin` of those open, another one came. */
  #overlaps = false
  /** Of the `end` before among overlapping pairs. */
  #accounted: Snapshot | null = null
  /** Of the `end` before: what grew since then but CPU is so little that it is counted with the next call. */
  #ended: Snapshot | null = null
  #idleFromUs: number | null = null
  #idleCpuUs = 0
  #pageFaults = 0
  /** CPU used when page faults were last read. */
  #faultsAtUs = Number.NEGATIVE_INFINITY
  /** At the last `end` memory in use was at its peak, and no limit was written since. */
  #atPeak = false

  constructor(parts: MeteredParts) {
    this.#parts = parts
    const peaks = parts.memory.peaksPerCall ? [] : (['memoryPeakBytes', 'swapPeakBytes'] as const)
    this.#sinceStart = Object.freeze([...peaks, 'tasksPeak'] as const)
  }

  /** As the last `end` read it. */
  get oomKills(): number {
    return this.#ended?.oomKills ?? 0
  }

  /** The code is loaded: CPU used from here to the first call is its idle CPU. */
  startIdle(): void {
    this.#idleFromUs = this.#parts.usage.read().totalUs
  }

  /** A limit was written: the kernel may have taken memory away. */
  limitsChanged(): void {
    this.#atPeak = false
  }

  /** `atOnce`: in the same turn as the `end` before, whose reading then does for this one. */
  begin(atOnce: boolean): void {
    if (this.#open++ > 0) {
      this.#overlaps = true
      return
    }
    const last = this.#ended
    if (!atOnce || last === null || !this.#atPeak) this.#parts.memory.resetPeaks()
    // A sandbox between two calls waits for a freeze: reading only its CPU halves what metering costs a call. What a quota
    // held back of the call before is counted when that quota ends, which is now: no part of this call.
    if (last === null) this.#begun = this.#snapshot()
    else this.#begun = this.#withCpuOf(last, atOnce ? { totalUs: last.cpuUs, userUs: last.userUs } : null)
    this.#idleCpuUs = this.#idleFromUs === null ? 0 : Math.max(0, this.#begun.cpuUs - this.#idleFromUs)
  }

  end(exact: boolean): Metering {
    const { memory, pids, freezer } = this.#parts
    const now = this.#snapshot()
    const from = this.#begun ?? now
    const unshared = this.#overlaps ? { unshared: usage(this.#accounted ?? from, now) } : null
    this.#accounted = now
    this.leave()
    this.#ended = now
    this.#idleFromUs = now.cpuUs
    const idleCpuUs = this.#idleCpuUs
    this.#idleCpuUs = 0
    const memoryPeakBytes = memory.peakBytes()
    const memoryBytes = memory.usageBytes()
    const swapPeakBytes = memory.swapPeakBytes()
    this.#atPeak = memoryBytes >= memoryPeakBytes && (swapPeakBytes ?? 0) === 0
    return {
      exact,
      ...usage(from, now),
      memoryPeakBytes,
      memoryBytes,
      swapPeakBytes,
      netRxBytes: 0,
      netTxBytes: 0,
      tasksPeak: pids.peak(),
      ...freezer.takeDurations(),
      idleCpuUs,
      sinceStart: this.#sinceStart,
      ...unshared,
    }
  }

  /** Closes a pair without a reading: what grew is told with the next `end` of those that overlap. */
  leave(): void {
    this.#open = Math.max(0, this.#open - 1)
    if (this.#open > 0) return
    this.#begun = null
    this.#overlaps = false
    this.#accounted = null
  }

  #withCpuOf({ oomKills, pageFaults, io }: Snapshot, known: CpuUsage | null): Snapshot {
    const { totalUs, userUs } = known ?? this.#parts.usage.read()
    return { cpuUs: totalUs, userUs, throttledUs: this.#parts.cpu.throttledUs(), oomKills, pageFaults, io }
  }

  #snapshot(): Snapshot {
    const { usage, cpu, memory, io } = this.#parts
    const { totalUs, userUs } = usage.read()
    return {
      cpuUs: totalUs,
      userUs,
      throttledUs: cpu.throttledUs(),
      oomKills: memory.oomKills(),
      pageFaults: this.#pageFaultsAt(totalUs),
      io: io?.counters() ?? NO_IO,
    }
  }

  #pageFaultsAt(cpuUs: number): number {
    if (cpuUs - this.#faultsAtUs >= FAULTS_EVERY_CPU_US) {
      this.#faultsAtUs = cpuUs
      this.#pageFaults = this.#parts.memory.pageFaults()
    }
    return this.#pageFaults
  }
}

function usage(from: Snapshot, now: Snapshot): Usage {
  const cpuUs = growth(from.cpuUs, now.cpuUs)
  const cpuUserUs = Math.min(cpuUs, growth(from.userUs, now.userUs))
  return {
    cpuUserUs,
    cpuSystemUs: cpuUs - cpuUserUs,
    throttledUs: growth(from.throttledUs, now.throttledUs),
    ioReadBytes: growth(from.io.readBytes, now.io.readBytes),
    ioWriteBytes: growth(from.io.writeBytes, now.io.writeBytes),
    ioReadOps: growth(from.io.readOps, now.io.readOps),
    ioWriteOps: growth(from.io.writeOps, now.io.writeOps),
    oomKills: growth(from.oomKills, now.oomKills),
    pageFaults: growth(from.pageFaults, now.pageFaults),
  }
}

/** The kernel's per-CPU sums may step back by a little between two reads. */
function growth(from: number, to: number): number {
  return Math.max(0, to - from)
}
