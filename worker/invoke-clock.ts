// The time-out clock of one call: what counts as the function's own time, and what is due when. Only arithmetic on the
// monotonic instants it is given (ms); arms no timer, ends no call.

/** STARTED may lie: the clock starts at most this long after the call was handed over. */
export const STARTED_CLAMP_MS = 250
/** A reader who makes no progress for so long is cut. */
export const SLOW_CLIENT_MS = 30_000

/** What is due. `timeout`: the handler ran too long. `slow-client`: the reader made no progress. `background`: the response
 *  is over and its `waitUntil` work ran too long. */
export type Due = 'nothing' | 'timeout' | 'slow-client' | 'background'

export class CallClock {
  readonly #timeoutMs: number
  #latestStartMs = Number.POSITIVE_INFINITY
  #startMs = Number.NaN
  #pausedAtMs = Number.NaN
  #pausedMs = 0
  #endedAtMs = Number.NaN

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs
  }

  /** The call was handed over: INVOKE and thaw are written, the code is loaded. */
  handedOver(nowMs: number): void {
    this.#latestStartMs = nowMs + STARTED_CLAMP_MS
  }

  /** The sandbox says that the code runs. */
  started(nowMs: number): void {
    this.#startMs = Math.min(nowMs, this.#latestStartMs)
  }

  /** The reader cannot take more. */
  paused(nowMs: number): void {
    if (Number.isNaN(this.#pausedAtMs)) this.#pausedAtMs = nowMs
  }

  resumed(nowMs: number): void {
    if (Number.isNaN(this.#pausedAtMs)) return
    this.#pausedMs += nowMs - this.#pausedAtMs
    this.#pausedAtMs = Number.NaN
  }

  /** The response is over; from here `waitUntil` work has the time-out once more. */
  ended(nowMs: number): void {
    if (Number.isNaN(this.#endedAtMs)) this.#endedAtMs = nowMs
    this.resumed(nowMs)
  }

  /** The instant at which something falls due if nothing else happens. */
  dueAtMs(): number {
    if (!Number.isNaN(this.#endedAtMs)) return this.#endedAtMs + this.#timeoutMs
    if (!Number.isNaN(this.#pausedAtMs)) return this.#pausedAtMs + SLOW_CLIENT_MS
    const startMs = Number.isNaN(this.#startMs) ? this.#latestStartMs : this.#startMs
    return startMs + this.#timeoutMs + this.#pausedMs
  }

  due(nowMs: number): Due {
    if (nowMs < this.dueAtMs()) return 'nothing'
    if (!Number.isNaN(this.#endedAtMs)) return 'background'
    return Number.isNaN(this.#pausedAtMs) ? 'timeout' : 'slow-client'
  }
}
