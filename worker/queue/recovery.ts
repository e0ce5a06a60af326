// Once, before the first fetch: calls that ran when the platform died wait again, in front and uncounted.
import type { Clock, Logger } from '../../runtime/api.ts'

export interface RecoveryParts {
  /** Resolves to how many calls wait again. */
  readonly recover: () => Promise<number>
  /** Calls wait again: fetching may begin. */
  readonly begin: () => void
  /** The lane is closing. */
  readonly isOver: () => boolean
  readonly clock: Clock
  readonly logger: Logger
}

const AGAIN_MS = 1_000

export class Recovery {
  readonly #parts: RecoveryParts
  #running: Promise<void> | null = null
  #done = false
  #said = false

  constructor(parts: RecoveryParts) {
    this.#parts = parts
  }

  get done(): boolean {
    return this.#done
  }

  /** Never rejects: when it fails it is tried again, in a second or with the next connection. Never two at once: the second would
   *  take back what the first has just let run. */
  run(): Promise<void> {
    if (this.#done || this.#parts.isOver()) return Promise.resolve()
    this.#running ??= this.#try().finally(() => {
      this.#running = null
    })
    return this.#running
  }

  async #try(): Promise<void> {
    const { recover, begin, isOver, clock, logger } = this.#parts
    try {
      const moved = await recover()
      this.#done = true
      if (moved > 0) logger.info({ calls: moved }, 'calls that were running are queued again')
      if (!isOver()) begin()
    } catch (error) {
      // Once: it is tried until it works.
      logger[this.#said ? 'debug' : 'warn']({ reason: (error as Error).message }, 'queued calls cannot be run yet')
      this.#said = true
      clock.after(AGAIN_MS, () => void this.run())
    }
  }
}
