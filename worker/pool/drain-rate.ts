// How fast a function's calls end, to say when trying again makes sense. Pure state, no timers.

const LONGEST_RETRY_S = 60

export class DrainRate {
  #lastMs = Number.NaN
  #gapMs = 0

  /** A call ended at this instant (monotonic ms). */
  ended(nowMs: number): void {
    const gap = nowMs - this.#lastMs
    this.#lastMs = nowMs
    if (!(gap >= 0)) return
    this.#gapMs = this.#gapMs === 0 ? gap : this.#gapMs + (gap - this.#gapMs) / 8
  }

  /** Whole seconds, 1–60, until `ahead` waiting calls have ended at the measured rate; a rate that went stale counts as slow. */
  retryAfterS(ahead: number, nowMs: number): number {
    const idleMs = nowMs - this.#lastMs
    const gapMs = Number.isNaN(idleMs) ? 0 : Math.max(this.#gapMs, idleMs > 1000 ? idleMs : 0)
    return Math.min(LONGEST_RETRY_S, Math.max(1, Math.ceil((ahead * gapMs) / 1000)))
  }
}
