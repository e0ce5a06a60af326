// What becomes of an error that nothing caught: it is logged, and the process goes on. Each call, sandbox and connection has its own
// state, so a broken one does not break others; ending the process would end all of them.
import type { Logger } from '../../runtime/api.ts'

/** A cause that comes again and again costs at most so many lines of the log a minute. */
const LINES_A_MINUTE = 10
const MINUTE_MS = 60_000

export interface Unforeseen {
  /** Errors so far. */
  readonly count: number
  stop(): void
}

/** `nowMs` is monotonic. `events` is `process`. */
export function outliveErrors(
  logger: Logger,
  nowMs: () => number = () => performance.now(),
  events: Pick<NodeJS.EventEmitter, 'on' | 'off'> = process,
): Unforeseen {
  let count = 0
  let lines = 0
  let unsaid = 0
  let minuteEndsMs = Number.NEGATIVE_INFINITY
  const take = (error: unknown, origin: unknown): void => {
    count++
    const now = nowMs()
    if (now >= minuteEndsMs) {
      minuteEndsMs = now + MINUTE_MS
      lines = 0
    }
    if (++lines > LINES_A_MINUTE) {
      unsaid++
      return
    }
    const before = unsaid
    unsaid = 0
    logger.error({ err: error, origin, count, unsaid: before }, 'an error that nothing caught; the platform goes on')
  }
  events.on('uncaughtException', take)
  return {
    get count() {
      return count
    },
    stop: () => {
      events.off('uncaughtException', take)
    },
  }
}
