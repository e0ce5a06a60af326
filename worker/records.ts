// The records of the last synchronous invocations, in memory. When there is no room for another, the oldest record of the namespace
// with the most is removed, so that the calls of one namespace do not push out the records of others.
import type { InvocationFailure, InvocationRecord, RecordQuery } from './api.ts'
import { RecordColumns, type RecordInstants } from './record-columns.ts'

export const RECORDS_KEPT = 10_000
const NONE = -1

/** Rows of one namespace, oldest first: a list through `#after`. */
interface Rows {
  oldest: number
  newest: number
  count: number
}

export class Records {
  readonly #capacity: number
  readonly #columns: RecordColumns
  /** Row of the latest attempt. */
  readonly #rows = new Map<string, number>()
  readonly #namespaces = new Map<string, Rows>()
  /** The row that came next in the same namespace. */
  readonly #after: Int32Array
  #used = 0

  constructor(capacity = RECORDS_KEPT) {
    this.#capacity = capacity
    this.#columns = new RecordColumns(capacity)
    this.#after = new Int32Array(capacity)
  }

  /** A later attempt of an invocation takes the earlier one's place in `get`. `instants` are those of the record. */
  add(record: InvocationRecord, instants: RecordInstants): void {
    const own = this.#rowsOf(record.namespace)
    const row = this.#used < this.#capacity ? this.#used++ : this.#giveUp(own)
    this.#columns.set(row, record, instants)
    this.#rows.set(record.id, row)
    if (own.count === 0) own.oldest = row
    else this.#after[own.newest] = row
    own.newest = row
    own.count++
  }

  get(id: string): InvocationRecord | null {
    const row = this.#rows.get(id)
    return row === undefined ? null : this.#columns.get(row)
  }

  /** Adds to a record that is kept what went wrong after its answer. */
  addAfterAnswer(id: string, failure: InvocationFailure): void {
    const row = this.#rows.get(id)
    if (row !== undefined) this.#columns.setAfterAnswer(row, failure)
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

  #rowsOf(namespace: string): Rows {
    let rows = this.#namespaces.get(namespace)
    if (rows === undefined) {
      rows = { oldest: NONE, newest: NONE, count: 0 }
      this.#namespaces.set(namespace, rows)
    }
    return rows
  }

  /** Frees the row of the oldest record of the namespace with the most. `own`: the namespace that needs it; it stays known without rows. */
  #giveUp(own: Rows): number {
    const giver = own.count * this.#namespaces.size >= this.#capacity ? own : this.#largest()
    const row = giver.oldest
    const id = this.#columns.idAt(row)!
    if (this.#rows.get(id) === row) this.#rows.delete(id)
    giver.oldest = this.#after[row]!
    giver.count--
    if (giver.count === 0 && giver !== own) this.#namespaces.delete(this.#columns.namespaceAt(row))
    return row
  }

  #largest(): Rows {
    let largest: Rows | null = null
    for (const rows of this.#namespaces.values()) if (largest === null || rows.count > largest.count) largest = rows
    return largest!
  }
}
