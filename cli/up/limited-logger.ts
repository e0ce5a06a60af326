// Keeps one message from filling the log: a caller that can cause one line can cause thousands. Above a rate the lines of a message are
// only counted, and the count is logged. Messages of level debug pass: an operator who asks for them wants all.
import { type BucketRate, type Clock, type Logger, TokenBucket } from '../../runtime/api.ts'

/** Lines of one message. */
const RATE: BucketRate = { perSecond: 1, capacity: 30 }
/** The count of lines left out is logged after this at the latest. */
const TELL_MS = 60_000
/** Messages are texts of the code; were one made of what comes in, the table would still end. */
const MOST_MESSAGES = 1000

type Level = 'info' | 'warn' | 'error'

interface Message {
  readonly bucket: TokenBucket
  leftOut: number
  cancelTell: (() => void) | null
}

/** Passes lines on to `logger`. */
export function limitLogger(logger: Logger, clock: Pick<Clock, 'monotonicMs' | 'after'>): Logger {
  const known = new Map<string, Message>()
  const messageOf = (key: string): Message => {
    let found = known.get(key)
    if (found === undefined) {
      found = { bucket: new TokenBucket(RATE, clock.monotonicMs()), leftOut: 0, cancelTell: null }
      if (known.size >= MOST_MESSAGES) known.delete(known.keys().next().value!)
      known.set(key, found)
    }
    return found
  }
  const write = (level: Level, fields: object, message: string): void => {
    const of = messageOf(`${level} ${message}`)
    if (of.bucket.take(1, RATE, clock.monotonicMs()) === 0) {
      logger[level](fields, message)
      return
    }
    of.leftOut++
    of.cancelTell ??= clock.after(TELL_MS, () => tell(level, message, of))
  }
  const tell = (level: Level, message: string, of: Message): void => {
    const { leftOut } = of
    of.leftOut = 0
    of.cancelTell = null
    if (leftOut > 0) logger[level]({ leftOut }, `${message} (lines like this were left out)`)
  }
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => write('info', fields, message),
    warn: (fields, message) => write('warn', fields, message),
    error: (fields, message) => write('error', fields, message),
  }
}
