// Once, before the first fetch: calls that ran when the platform died wait again, in front and uncounted.
import type { Logger } from '../../runtime/api.ts'

export interface RecoveryParts {
  /** Resolves to how many calls wait again. */
  readonly recover: () => Promise<number>
  /** All is as it should be: fetching may begin. */
  readonly begin: () => void
  /** Nothing is to begin any more. */
  readonly isOver: () => boolean
  readonly logger: Logger
}

export class Recovery {
  readonly #parts: RecoveryParts
  #running: Promise<void> | null = null
  #done = false

  constructor(parts: RecoveryParts) {
    this.#parts = parts
  }

  get done(): boolean {
    return this.#done
  }

  /** Never rejects: when it fails, the next connection tries again. Never two at once: the second would take what the first has
   *  just let run. */
  run(): Promise<void> {
    if (this.#done || this.#parts.isOver()) return Promise.resolve()
    this.#running ??= this.#try().finally(() => {
      this.#running = null
    })
    return this.#running
  }

  async #try(): Promise<void> {
    const { recover, begin, isOver, logger } = this.#parts
    try {
      const moved = await recover()
      this.#done = true
      if (moved > 0) logger.info({ calls: moved }, 'calls that were running are queued again')
      if (!isOver()) begin()
    } catch (error) {
      logger.warn({ reason: (error as Error).message }, 'queued calls cannot be run yet')
    }
  }
}
