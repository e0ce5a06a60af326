// The records of the last synchronous invocations, in memory.
import type { InvocationRecord, RecordQuery } from './api.ts'
import { RecordColumns, type RecordInstants } from './record-columns.ts'

export const RECORDS_KEPT = 10_000

/** A ring: the oldest record goes when a new one comes. */
export class Records {
  readonly #capacity: number
  readonly #columns: RecordColumns
  /** Row of the latest attempt. */
  readonly #rows = new Map<string, number>()
  #next = 0

  constructor(capacity = RECORDS_KEPT) {
    this.#capacity = capacity
    this.#columns = new RecordColumns(capacity)
  }

  /** A later attempt of an invocation takes the earlier one's place in `get`. `instants` are those of the record. */
  add(record: InvocationRecord, instants: RecordInstants): void {
    const row = this.#next
    const old = this.#columns.idAt(row)
    if (old !== undefined && this.#rows.get(old) === row) this.#rows.delete(old)
    this.#columns.set(row, record, instants)
    this.#rows.set(record.id, row)
    this.#next = (row + 1) % this.#capacity
  }

  get(id: string): InvocationRecord | null {
    const row = this.#rows.get(id)
    return row === undefined ? null : this.#columns.get(row)
  }

  /** Newest first, by id: UUIDv7s sort by time. */
  query(query: RecordQuery): InvocationRecord[] {
    const found: number[] = []
    const columns = this.#columns
    for (const [id, row] of this.#rows) {
      if (columns.namespaceAt(row) !== query.namespace) continue
      if (query.function !== undefined && columns.functionAt(row) !== query.function) continue
      if (query.state !== undefined && columns.stateAt(row) !== query.state) continue
      if (query.sinceMs !== undefined && columns.createdAtMs(row) < query.sinceMs) continue
      if (query.after !== undefined && id >= query.after) continue
      found.push(row)
    }
    found.sort((a, b) => (columns.idAt(a)! < columns.idAt(b)! ? 1 : -1))
    return found.slice(0, query.limit).map((row) => columns.get(row))
  }
}
