// One timer for everything that waits: freezes, keep-alives, time-outs, queue ages. Nobody arms a timer per call.
// Asking for a deadline later than the armed one costs a comparison.
import type { Clock } from '../../runtime/api.ts'

export class DeadlineTimer {
  readonly #clock: Clock
  readonly #scan: (nowMs: number) => number
  #armedAtMs = Number.POSITIVE_INFINITY
  #cancel: (() => void) | null = null
  #closed = false

  /** `scan` handles what is due and returns the next deadline (monotonic ms; Infinity: none). */
  constructor(clock: Clock, scan: (nowMs: number) => number) {
    this.#clock = clock
    this.#scan = scan
  }

  /** The scan runs no later than at this instant. */
  wakeAt(atMs: number): void {
    if (atMs >= this.#armedAtMs || this.#closed) return
    this.#cancel?.()
    this.#armedAtMs = atMs
    this.#cancel = this.#clock.after(Math.max(1, Math.ceil(atMs - this.#clock.monotonicMs())), this.#fire)
  }

  close(): void {
    this.#closed = true
    this.#cancel?.()
    this.#cancel = null
  }

  readonly #fire = (): void => {
    this.#armedAtMs = Number.POSITIVE_INFINITY
    this.#cancel = null
    if (!this.#closed) this.wakeAt(this.#scan(this.#clock.monotonicMs()))
  }
}
