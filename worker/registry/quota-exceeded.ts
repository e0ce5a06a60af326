// What is thrown when a namespace is at a quota. Plain: callers get its fields.

export interface QuotaUse {
  readonly namespace: string
  /** A key of the table, or the name of another fixed bound of a namespace. */
  readonly quota: string
  readonly bound: number
  readonly inUse: number
}

export class QuotaExceeded extends Error {
  readonly code = 'QUOTA_EXCEEDED'
  readonly use: QuotaUse
  /** Seconds after which the same may pass; null: waiting does not help, something has to be removed. */
  readonly retryAfterS: number | null
  constructor(message: string, use: QuotaUse, retryAfterS: number | null = null) {
    super(message)
    this.name = 'QuotaExceeded'
    this.use = use
    this.retryAfterS = retryAfterS
  }
}
