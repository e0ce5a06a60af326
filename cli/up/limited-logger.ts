// Keeps one message from filling the log: whoever outside can cause a line can cause thousands. Above a rate its lines are counted, and
// the count is told. Messages of level debug pass: who asks for them wants all.
import type { Clock, Logger } from '../../runtime/api.ts'

/** Of one message: so many lines at once, and one more each second. */
const BURST = 30
const REFILL_MS = 1000
/** Lines left out are told after this at the latest. */
const TELL_MS = 60_000
/** Messages are texts of the code; were one made of what comes in, the table would still end. */
const MOST_MESSAGES = 1000

type Level = 'info' | 'warn' | 'error'

interface Bucket {
  tokens: number
  filledAtMs: number
  leftOut: number
  cancelTell: (() => void) | null
}

/** Passes lines on to `logger`. */
export function limitLogger(logger: Logger, clock: Pick<Clock, 'monotonicMs' | 'after'>): Logger {
  const buckets = new Map<string, Bucket>()
  const bucketOf = (key: string): Bucket => {
    let bucket = buckets.get(key)
    if (bucket === undefined) {
      bucket = { tokens: BURST, filledAtMs: clock.monotonicMs(), leftOut: 0, cancelTell: null }
      if (buckets.size >= MOST_MESSAGES) buckets.delete(buckets.keys().next().value!)
      buckets.set(key, bucket)
    }
    return bucket
  }
  const write = (level: Level, fields: object, message: string): void => {
    const bucket = bucketOf(`${level} ${message}`)
    const nowMs = clock.monotonicMs()
    bucket.tokens = Math.min(BURST, bucket.tokens + (nowMs - bucket.filledAtMs) / REFILL_MS)
    bucket.filledAtMs = nowMs
    if (bucket.tokens < 1) {
      bucket.leftOut++
      bucket.cancelTell ??= clock.after(TELL_MS, () => tell(level, message, bucket))
      return
    }
    bucket.tokens--
    logger[level](fields, message)
  }
  const tell = (level: Level, message: string, bucket: Bucket): void => {
    const { leftOut } = bucket
    bucket.leftOut = 0
    bucket.cancelTell = null
    if (leftOut > 0) logger[level]({ leftOut }, `${message} (lines like this were left out)`)
  }
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => write('info', fields, message),
    warn: (fields, message) => write('warn', fields, message),
    error: (fields, message) => write('error', fields, message),
  }
}
