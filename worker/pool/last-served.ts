// Whether functions other than one are being served, told from the two that were served last. Pure state, two comparisons a call.

/** A function served so recently is being served. */
export const SERVED_MS = 500

export class LastServed {
  #last: unknown = null
  #lastMs = Number.NEGATIVE_INFINITY
  /** When any function but `#last` was served last. */
  #otherMs = Number.NEGATIVE_INFINITY

  /** A call of the function was handed to a warm sandbox at this instant (monotonic ms). */
  note(fn: unknown, nowMs: number): void {
    if (this.#last !== fn) {
      this.#otherMs = this.#lastMs
      this.#last = fn
    }
    this.#lastMs = nowMs
  }

  /** True when a function other than `fn` is being served. */
  others(fn: unknown, nowMs: number): boolean {
    return nowMs - (this.#last === fn ? this.#otherMs : this.#lastMs) < SERVED_MS
  }
}
