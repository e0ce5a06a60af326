// The records of the last synchronous invocations, in memory.
import type { InvocationRecord, RecordQuery } from './api.ts'

export const RECORDS_KEPT = 10_000

/** A ring: the oldest record goes when a new one comes. */
export class Records {
  readonly #ring: (InvocationRecord | undefined)[]
  readonly #byId = new Map<string, InvocationRecord>()
  #next = 0

  constructor(capacity = RECORDS_KEPT) {
    this.#ring = new Array(capacity)
  }

  /** A later attempt of an invocation takes the earlier one's place in `get`. */
  add(record: InvocationRecord): void {
    const old = this.#ring[this.#next]
    if (old !== undefined && this.#byId.get(old.id) === old) this.#byId.delete(old.id)
    this.#ring[this.#next] = record
    this.#byId.set(record.id, record)
    this.#next = (this.#next + 1) % this.#ring.length
  }

  get(id: string): InvocationRecord | null {
    return this.#byId.get(id) ?? null
  }

  /** Newest first, by id: UUIDv7s sort by time. */
  query(query: RecordQuery): InvocationRecord[] {
    const found: InvocationRecord[] = []
    for (const record of this.#byId.values()) {
      if (record.namespace !== query.namespace) continue
      if (query.function !== undefined && record.function !== query.function) continue
      if (query.state !== undefined && record.state !== query.state) continue
      if (query.sinceMs !== undefined && Date.parse(record.createdAt) < query.sinceMs) continue
      if (query.after !== undefined && record.id >= query.after) continue
      found.push(record)
    }
    found.sort((a, b) => (a.id < b.id ? 1 : a.id > b.id ? -1 : 0))
    return found.slice(0, query.limit)
  }
}
