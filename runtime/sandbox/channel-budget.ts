// How many small frames a sandbox may make the host handle: a bucket of bytes that refills with time. Pure but for its clock.
import type { Clock } from '../api.ts'

/** A frame is charged at least this much, however small. */
const MIN_CHARGE_BYTES = 512
const CAPACITY_BYTES = 1024 * 1024
const REFILL_BYTES_PER_MS = 10 * 1024
/** Reading goes on when the bucket is this full again. */
const RESUME_BYTES = 256 * 1024

/** Budget of one connection: LOG frames, and frames of the other kinds that carry next to nothing. */
export class FrameBudget {
  readonly #clock: Clock
  #left = CAPACITY_BYTES
  #filledAtMs: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#filledAtMs = clock.monotonicMs()
  }

  /** Takes the price of a frame of `bytes`. */
  charge(bytes: number): void {
    this.#left -= Math.max(bytes, MIN_CHARGE_BYTES)
  }

  /** 0 while there is something left, else how long to stop reading, in ms. */
  pauseMs(): number {
    if (this.#left > 0) return 0
    this.#refill()
    return this.#left > 0 ? 0 : Math.ceil((RESUME_BYTES - this.#left) / REFILL_BYTES_PER_MS)
  }

  #refill(): void {
    const nowMs = this.#clock.monotonicMs()
    this.#left = Math.min(CAPACITY_BYTES, this.#left + (nowMs - this.#filledAtMs) * REFILL_BYTES_PER_MS)
    this.#filledAtMs = nowMs
  }
}
