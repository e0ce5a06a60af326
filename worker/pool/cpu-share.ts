// How much of a function's calls is work for a core, as if each had one to itself. Pure state and arithmetic.
// CPU time ÷ duration alone would not do: on cores shared with others a call that only computes looks as if it slept.

/** What calls of one sandbox took between two looks, ms. */
export interface CallTime {
  readonly tookMs: number
  readonly cpuMs: number
  /** In which the sandbox was ready and had no core; 0 where that is not known. */
  readonly waitedMs: number
}

/** What is known counts against what is new: half after five looks of the same length. */
const KEPT = 7 / 8
/** A figure of another source (a quota's clock, a thread of its own) may overstate the wait: so much of a call is its own. */
const LEAST_OWN = 0.01

/** One look counts for no more than this, or a quiet hour would outweigh everything after it. */
const LONGEST_LOOK_MS = 1000

/** Learns from each look by its duration, so that long calls count for more than short ones. */
export class CpuShare {
  #cpuMs = 0
  #ownMs = 0

  learn({ tookMs, cpuMs, waitedMs }: CallTime): void {
    if (!(tookMs > 0 && cpuMs >= 0)) return
    const ownMs = Math.min(tookMs, Math.max(tookMs - Math.max(0, waitedMs), cpuMs, tookMs * LEAST_OWN))
    const weight = Math.min(1, LONGEST_LOOK_MS / tookMs)
    this.#cpuMs = this.#cpuMs * KEPT + cpuMs * weight
    this.#ownMs = this.#ownMs * KEPT + ownMs * weight
  }

  /** CPU time ÷ duration without the wait for a core: 0–1, above for threads; null until a call ended. */
  get fraction(): number | null {
    return this.#ownMs === 0 ? null : this.#cpuMs / this.#ownMs
  }
}
