// The token bucket behind every rate: full at first, refilled evenly. Pure state; its owner says the time. Only what is charged
// after the work was done counts otherwise: runtime/sandbox/read-budget.ts.

/** How fast a bucket fills, and how much it holds. */
export interface BucketRate {
  readonly perSecond: number
  /** Most that may be taken at once after a rest. */
  readonly capacity: number
}

export class TokenBucket {
  #left: number
  #atMs: number

  /** Full. `nowMs` is monotonic, here and below. */
  constructor(rate: BucketRate, nowMs: number) {
    this.#left = rate.capacity
    this.#atMs = nowMs
  }

  /** Takes `count` and gives 0; or takes nothing and gives the ms until there will be enough. More than the bucket holds is taken from
   *  a full one, which then owes the rest. A rate that has changed counts from now on. */
  take(count: number, rate: BucketRate, nowMs: number): number {
    const left = this.left(rate, nowMs)
    const needed = Math.min(count, rate.capacity)
    if (left < needed) return ((needed - left) * 1000) / rate.perSecond
    this.#left = left - count
    return 0
  }

  /** What it holds now; below 0 while it owes. */
  left(rate: BucketRate, nowMs: number): number {
    this.#left = Math.min(rate.capacity, this.#left + ((nowMs - this.#atMs) * rate.perSecond) / 1000)
    this.#atMs = nowMs
    return this.#left
  }
}
