// One look at a time at what may be due: at news, and when the last look said that something will be. What is looked at is the
// owner's; this keeps the order, the timer and the second try.
import type { Clock, Logger } from '../../runtime/api.ts'

const AGAIN_MS = 1_000

export interface LookLoopOptions {
  readonly clock: Clock
  readonly logger: Logger
  /** Of what, for the log line of a look that failed. */
  readonly what: string
  /** Resolves to how long (ms) there will be nothing to do. One that fails is made again after a second. */
  readonly work: () => Promise<number>
}

/** Owns one timer until `close`. */
export class LookLoop {
  readonly #options: LookLoopOptions
  #timer: (() => void) | null = null
  #looking: Promise<void> | null = null
  #again = false
  #closed = false

  constructor(options: LookLoopOptions) {
    this.#options = options
  }

  get closed(): boolean {
    return this.#closed
  }

  /** News during a look means another one right after it. */
  look(): void {
    if (this.#closed) return
    if (this.#looking !== null) {
      this.#again = true
      return
    }
    this.#timer?.()
    this.#looking = this.#options
      .work()
      .catch((error: Error) => {
        this.#options.logger.debug({ reason: error.message }, `${this.#options.what} could not be looked at`)
        return AGAIN_MS
      })
      .then((waitMs) => {
        this.#looking = null
        if (this.#closed) return
        const ms = this.#again ? 0 : waitMs
        this.#again = false
        this.#timer = this.#options.clock.after(ms, () => this.look())
      })
  }

  /** Resolves when the look that goes on is over; none begins after it. */
  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.()
    await this.#looking
  }
}
