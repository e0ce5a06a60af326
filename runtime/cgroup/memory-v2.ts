// The v2 memory controller of one sandbox: max, swap.max, low; usage, peaks, OOM kills.
// Trap: the kernel OOM-kills when memory.max falls below what is in use, so usage is brought below it first.
import { writeFile } from 'node:fs/promises'
import type { LimitOutcome } from '../api.ts'
import type { Limits } from '../limits/limits.ts'
import { type ControlFile, fieldKey } from './control-file.ts'
import type { MemoryController } from './memory.ts'
import type { SandboxDirectory } from './sandbox-directory.ts'
import type { Place } from './tree.ts'

const FILE_CACHE = [fieldKey('inactive_file'), fieldKey('active_file')]
const PAGE_FAULTS = fieldKey('pgfault')
const OOM_KILLS = fieldKey('oom_kill')

const RECLAIM_PART_BYTES = 8 * 1024 ** 2

/** Swap alone, as v2 wants it, of Docker's memory + swap; −1 = unlimited. */
export function swapMaxText(limits: Limits): string {
  return limits.memorySwap === -1 ? 'max' : String(limits.memorySwap - limits.memory)
}

export class MemoryV2 implements MemoryController {
  readonly #max: ControlFile
  readonly #swapMax: ControlFile | null
  readonly #low: ControlFile
  readonly #current: ControlFile
  readonly #swapCurrent: ControlFile | null
  readonly #peak: ControlFile | null
  readonly #swapPeak: ControlFile | null
  readonly #reclaim: ControlFile | null
  readonly #stat: ControlFile
  readonly #events: ControlFile
  readonly #hasSwap: () => boolean
  readonly peaksPerCall: boolean
  #swapMetered = true
  #memory: number
  #swapText: string | null = null
  #reservation: number | null = null

  constructor(directory: SandboxDirectory, place: Place, hasSwap: () => boolean) {
    this.#hasSwap = hasSwap
    this.#max = directory.file(place, 'memory.max', 'both').open()
    this.#swapMax = directory.optional(place, 'memory.swap.max', 'write')
    this.#low = directory.file(place, 'memory.low', 'write')
    this.#current = directory.file(place, 'memory.current', 'read').open()
    this.#swapCurrent = directory.optional(place, 'memory.swap.current', 'read')
    this.#peak = directory.optional(place, 'memory.peak', 'both')
    this.#swapPeak = directory.optional(place, 'memory.swap.peak', 'both')
    this.#reclaim = directory.optional(place, 'memory.reclaim', 'write')
    this.#stat = directory.file(place, 'memory.stat', 'read').open()
    this.#events = directory.file(place, 'memory.events', 'read').open()
    this.#memory = this.#max.readNumber()
    this.peaksPerCall = this.#peak !== null && this.#peak.tryWrite('0') === null
  }

  apply(limits: Limits): LimitOutcome {
    const swapText = swapMaxText(limits)
    const refusal = this.#refuseBelowUse(limits, swapText)
    if (refusal !== null) return refusal
    if (swapText !== this.#swapText) {
      this.#swapMax?.write(swapText)
      this.#swapText = swapText
    }
    if (limits.memory !== this.#memory) {
      this.#max.write(String(limits.memory))
      this.#memory = limits.memory
    }
    if (limits.memoryReservation !== this.#reservation) {
      this.#low.write(String(limits.memoryReservation ?? 0))
      this.#reservation = limits.memoryReservation
    }
    return { applied: true }
  }

  usageBytes(): number {
    return this.#current.readNumber()
  }

  /** Resets per descriptor (kernel ≥ 6.12); an older kernel answers EINVAL, and the peak is one since the sandbox began. */
  resetPeaks(): void {
    this.#peak?.tryWrite('0')
    this.#swapMetered = this.#hasSwap()
    if (this.#swapMetered) this.#swapPeak?.tryWrite('0')
  }

  peakBytes(): number {
    return this.#peak?.readNumber() ?? this.usageBytes()
  }

  swapPeakBytes(): number | null {
    const file = this.#swapPeak ?? this.#swapCurrent
    if (file === null) return null
    return this.#swapMetered ? file.readNumber() : 0
  }

  /** In parts, so that a thaw is soon alone with the memory again. */
  async reclaim(stop: () => boolean): Promise<void> {
    const file = this.#reclaim
    for (let before = Infinity; file !== null && !stop() && this.usageBytes() < before; ) {
      before = this.usageBytes()
      try {
        await writeFile(file.path, String(RECLAIM_PART_BYTES))
      } catch {
        // EAGAIN: less was there to free than asked for. Anything else: the cgroup is gone.
        return
      }
    }
  }

  oomKills(): number {
    return this.#events.readField(OOM_KILLS)
  }

  pageFaults(): number {
    return this.#stat.readField(PAGE_FAULTS)
  }

  close(): void {
    for (const file of [this.#max, this.#swapMax, this.#low, this.#current, this.#swapCurrent]) file?.close()
    for (const file of [this.#peak, this.#swapPeak, this.#reclaim, this.#stat, this.#events]) file?.close()
  }

  #refuseBelowUse(limits: Limits, swapText: string): LimitOutcome | null {
    if (this.#swapCurrent !== null && swapText !== this.#swapText && swapText !== 'max') {
      const swapped = this.#swapCurrent.readNumber()
      const inUse = limits.memory + swapped
      if (swapped > Number(swapText)) return { applied: false, limit: 'memorySwap', asked: limits.memorySwap, inUse }
    }
    if (limits.memory >= this.#memory) return null
    const inUse = this.#shrinkTo(limits.memory)
    return inUse <= limits.memory ? null : { applied: false, limit: 'memory', asked: limits.memory, inUse }
  }

  /** Drops file cache above `target` where that suffices; returns what is then in use. */
  #shrinkTo(target: number): number {
    const usage = this.usageBytes()
    if (usage <= target) return usage
    const [inactive = 0, active = 0] = this.#stat.readFields(FILE_CACHE)
    const held = usage - inactive - active
    if (held > target) return held
    if (this.#reclaim === null) return usage
    // EAGAIN means less was freed than asked: what is in use afterwards decides.
    this.#reclaim.tryWrite(String(usage - target))
    return this.usageBytes()
  }
}
