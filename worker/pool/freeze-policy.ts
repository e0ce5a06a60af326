// How long an idle sandbox stays unfrozen, learned from a function's inter-arrival times. Pure state and arithmetic, no timers.
// Estimator: smoothed mean and mean deviation, as TCP's retransmission timer (RFC 6298).

export const UNLEARNED_GRACE_MS = 500
export const LONGEST_GRACE_MS = 1000
export const SHORTEST_GRACE_MS = 200
const GAPS_TO_LEARN = 4
/** Longer gaps say nothing about a stream; they would only blur the mean. */
const LONGEST_GAP_MS = 10_000

/** Arrivals of one function. `arrived` costs a few additions. */
export class ArrivalLearner {
  #lastMs = Number.NaN
  #gaps = 0
  #meanMs = 0
  #deviationMs = 0

  /** When the last call came (monotonic ms); NaN before the first. */
  get lastMs(): number {
    return this.#lastMs
  }

  /** A call came at this instant (monotonic ms). */
  arrived(nowMs: number): void {
    const gap = Math.min(nowMs - this.#lastMs, LONGEST_GAP_MS)
    this.#lastMs = nowMs
    if (!(gap >= 0)) return
    if (this.#gaps === 0) {
      this.#meanMs = gap
      this.#deviationMs = gap / 2
    } else {
      this.#deviationMs += (Math.abs(gap - this.#meanMs) - this.#deviationMs) / 4
      this.#meanMs += (gap - this.#meanMs) / 8
    }
    this.#gaps++
  }

  /** ms an idle sandbox waits for the next call before it is frozen; `fixedMs` is the function's own choice. */
  graceMs(fixedMs: number | null): number {
    if (fixedMs !== null) return fixedMs
    if (this.#gaps < GAPS_TO_LEARN) return UNLEARNED_GRACE_MS
    // The next call is not expected within the longest grace: waiting for it would only keep the sandbox awake.
    if (this.#meanMs > LONGEST_GRACE_MS) return SHORTEST_GRACE_MS
    const expectedMs = this.#meanMs + 4 * this.#deviationMs
    return Math.min(Math.max(expectedMs, SHORTEST_GRACE_MS), LONGEST_GRACE_MS)
  }
}
