// The v1 memory controller of one sandbox: limit, memory + swap, soft limit, swappiness; usage, peaks, OOM kills.
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { LimitOutcome } from '../api.ts'
import type { Limits } from '../limits/limits.ts'
import { type ControlFile, fieldKey } from './control-file.ts'
import type { MemoryController } from './memory.ts'
import type { SandboxDirectory } from './sandbox-directory.ts'
import type { Place } from './tree.ts'

const FILE_CACHE = [fieldKey('inactive_file'), fieldKey('active_file')]
const PAGE_FAULTS = fieldKey('pgfault')
const OOM_KILLS = fieldKey('oom_kill')

const APPLIED: LimitOutcome = { applied: true }

/** The kernel's own word for no limit; it reads back as a huge number. */
const UNLIMITED = '-1'
const HUGE = 2 ** 62

export class MemoryV1 implements MemoryController {
  readonly #limit: ControlFile
  readonly #swapLimit: ControlFile | null
  readonly #softLimit: ControlFile
  readonly #swappiness: ControlFile
  readonly #usage: ControlFile
  readonly #peak: ControlFile
  readonly #swapPeak: ControlFile | null
  readonly #swapUsage: ControlFile | null
  readonly #stat: ControlFile
  readonly #oomControl: ControlFile
  readonly #hasSwap: () => boolean
  readonly peaksPerCall = true
  #swapMetered = true
  /** As the kernel has them, Infinity where unlimited: the OCI runtime wrote the first ones. */
  #memory: number
  #memorySwap: number
  #reservation: number | null = null
  #swappinessAsked: number | null = null
  #swappinessBefore: number | null = null

  constructor(directory: SandboxDirectory, place: Place, hasSwap: () => boolean) {
    this.#hasSwap = hasSwap
    this.#limit = directory.file(place, 'memory.limit_in_bytes', 'both').open()
    this.#swapLimit = directory.optional(place, 'memory.memsw.limit_in_bytes', 'both')
    this.#softLimit = directory.file(place, 'memory.soft_limit_in_bytes', 'write')
    this.#swappiness = directory.file(place, 'memory.swappiness', 'both')
    this.#usage = directory.file(place, 'memory.usage_in_bytes', 'read').open()
    this.#peak = directory.file(place, 'memory.max_usage_in_bytes', 'both').open()
    this.#swapPeak = directory.optional(place, 'memory.memsw.max_usage_in_bytes', 'both')
    this.#swapUsage = directory.optional(place, 'memory.memsw.usage_in_bytes', 'read')
    this.#stat = directory.file(place, 'memory.stat', 'read').open()
    this.#oomControl = directory.file(place, 'memory.oom_control', 'read').open()
    this.#memory = finite(this.#limit.readNumber())
    this.#memorySwap = finite(this.#swapLimit?.readNumber() ?? HUGE)
  }

  apply(limits: Limits): LimitOutcome {
    const outcome = this.#applyHardLimits(limits)
    if (!outcome.applied) return outcome
    if (limits.memoryReservation !== this.#reservation) {
      this.#softLimit.write(String(limits.memoryReservation ?? UNLIMITED))
      this.#reservation = limits.memoryReservation
    }
    if (limits.memorySwappiness !== this.#swappinessAsked) {
      this.#swappinessBefore ??= this.#swappiness.readNumber()
      this.#swappiness.write(String(limits.memorySwappiness ?? this.#swappinessBefore))
      this.#swappinessAsked = limits.memorySwappiness
    }
    return outcome
  }

  usageBytes(): number {
    return this.#usage.readNumber()
  }

  resetPeaks(): void {
    this.#peak.write('0')
    this.#swapMetered = this.#hasSwap()
    if (this.#swapMetered) this.#swapPeak?.write('0')
  }

  peakBytes(): number {
    return this.#peak.readNumber()
  }

  /** The kernel keeps peaks of RAM and of RAM + swap; swap is used while RAM is at its peak, so their difference is its peak. */
  swapPeakBytes(): number | null {
    if (this.#swapPeak === null) return null
    return this.#swapMetered ? Math.max(0, this.#swapPeak.readNumber() - this.#peak.readNumber()) : 0
  }

  /** The write returns when the kernel has tried: 100–300 ms, in a thread of libuv's. */
  async reclaim(stop: () => boolean): Promise<void> {
    if (stop()) return
    // Refused only when the cgroup is gone.
    await writeFile(join(dirname(this.#limit.path), 'memory.force_empty'), '0').catch(() => {})
  }

  oomKills(): number {
    return this.#oomControl.readField(OOM_KILLS)
  }

  pageFaults(): number {
    return this.#stat.readField(PAGE_FAULTS)
  }

  close(): void {
    for (const file of [this.#limit, this.#swapLimit, this.#softLimit, this.#swappiness, this.#usage]) file?.close()
    for (const file of [this.#peak, this.#swapPeak, this.#swapUsage, this.#stat, this.#oomControl]) file?.close()
  }

  #applyHardLimits(limits: Limits): LimitOutcome {
    const { memory } = limits
    const memorySwap = limits.memorySwap === -1 ? Infinity : limits.memorySwap
    if (memory < this.#memory) {
      const held = this.#heldBytes(memory)
      if (held > memory) return refused('memory', memory, held)
    }
    const memoryBefore = this.#memory
    const swapBefore = this.#memorySwap
    // ORDER: the kernel keeps memory ≤ memory + swap at every moment (else EINVAL), so the one that makes room goes first.
    if (memorySwap > swapBefore) {
      const refusal = this.#writeSwapLimit(memorySwap) ?? this.#writeLimit(memory)
      if (refusal !== null) this.#writeSwapLimit(swapBefore)
      return refusal ?? APPLIED
    }
    const refusal = this.#writeLimit(memory) ?? this.#writeSwapLimit(memorySwap)
    if (refusal !== null) this.#writeLimit(memoryBefore)
    return refusal ?? APPLIED
  }

  /** null when written or already so; a refusal when what is in use could not be brought below. */
  #writeLimit(memory: number): LimitOutcome | null {
    if (memory === this.#memory) return null
    const failure = this.#limit.tryWrite(text(memory))
    if (failure === 'EBUSY') return refused('memory', memory, this.usageBytes())
    if (failure !== null) this.#limit.write(text(memory))
    this.#memory = memory
    return null
  }

  #writeSwapLimit(memorySwap: number): LimitOutcome | null {
    if (this.#swapLimit === null || memorySwap === this.#memorySwap) return null
    const failure = this.#swapLimit.tryWrite(text(memorySwap))
    if (failure === 'EBUSY') return refused('memorySwap', memorySwap, this.#swapUsage?.readNumber() ?? 0)
    if (failure !== null) this.#swapLimit.write(text(memorySwap))
    this.#memorySwap = memorySwap
    return null
  }

  /** What a reclaim of file cache could not free. Asked first, so that lowering never swaps the sandbox out in the caller's time. */
  #heldBytes(target: number): number {
    const usage = this.usageBytes()
    if (usage <= target) return usage
    const [inactive = 0, active = 0] = this.#stat.readFields(FILE_CACHE)
    return usage - inactive - active
  }
}

function refused(limit: string, asked: number, inUse: number): LimitOutcome {
  return { applied: false, limit, asked, inUse }
}

function finite(bytes: number): number {
  return bytes >= HUGE ? Infinity : bytes
}

function text(bytes: number): string {
  return bytes === Infinity ? UNLIMITED : String(bytes)
}
