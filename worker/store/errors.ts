// The one error class of worker/store/: a stable code and a sentence. No HTTP, no queue words.

export type StoreErrorCode =
  /** no connection, or no answer before the deadline: whether the command ran is unknown */
  | 'REDIS_AWAY'
  /** Redis answered with an error (out of memory, read-only replica, disk trouble, bad script) */
  | 'REDIS_REFUSED'
  /** `redis-server` or `setpriv` is not installed */
  | 'REDIS_MISSING'
  /** the append-only file is damaged in its middle; starting again would not help */
  | 'REDIS_DATA_CORRUPT'
  /** it could not write: the disk of the state directory is full */
  | 'REDIS_DISK_FULL'
  /** `redis-server` ended again and again before it answered */
  | 'REDIS_START_FAILED'

export class StoreError extends Error {
  readonly code: StoreErrorCode
  constructor(code: StoreErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options)
    this.name = 'StoreError'
    this.code = code
  }
}

/** What a server that answers says when it takes no write: full; a replica; its disk fails; too few replicas; its primary is away. */
export type RefusalWord = 'OOM' | 'READONLY' | 'MISCONF' | 'NOREPLICAS' | 'MASTERDOWN'

const WORD = /^(?:redis refused: )?(?:ERR Error running script.*-)?(OOM|READONLY|MISCONF|NOREPLICAS|MASTERDOWN)\b/s

/** null: the error, or what caused it, says nothing of the kind. */
export function refusalWordOf(error: unknown): RefusalWord | null {
  for (let one = error; one instanceof Error; one = one.cause) {
    const word = WORD.exec(one.message)?.[1]
    if (word !== undefined) return word as RefusalWord
  }
  return null
}
