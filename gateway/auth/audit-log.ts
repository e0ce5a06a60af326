// Owns what the audit log says: a line for each control call that changed something, and counts of those that were refused or failed.
// Who, what, when, how it ended; never a body, a token or a value. No call waits for it; audit-files.ts keeps the lines.
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import type { Clock, Logger } from '../../runtime/api.ts'
import type { GatewayResponse } from '../response.ts'
import { AuditFiles, type AuditRetention, DEFAULT_AUDIT_RETENTION } from './audit-files.ts'

/** One line. */
export interface AuditEntry {
  /** RFC 3339 UTC, when the call ended; of a counted line, when its minute did. */
  readonly time: string
  /** Name of the token, `platform`, or null: nobody we know. */
  readonly who: string | null
  readonly token: string | null
  readonly namespace: string | null
  readonly address: string
  readonly method: string
  /** Of a counted line: of the last call that is counted in it. */
  readonly path: string
  readonly status: number
  /** Calls that this line stands for, after the one that has a line of its own; absent for 1. */
  readonly count?: number
}

/** What is known of a call before it is judged. */
export interface AuditedCall {
  readonly path: string
  /** The namespace it names. */
  readonly namespace: string | null
  readonly address: string
  /** True: the call has a record of its own, unless it is refused. */
  readonly refusedAlone: boolean
}

/** Calls of one subject and kind in one minute: the first has a line at once, the others are counted. */
interface Counted {
  last: AuditEntry
  count: number
}

const MINUTE_MS = 60_000
/** Subjects and kinds that are counted apart in a minute; unknown callers come from as many addresses as they like. */
const MOST_COUNTED = 4096
const MOST_ADDRESSES = 64

export class AuditLog {
  readonly #files: AuditFiles
  readonly #clock: Clock
  readonly #counted = new Map<string, Counted>()
  readonly #addresses = new Set<string>()
  #cancelMinute: (() => void) | null = null

  constructor(stateDir: string, clock: Clock, logger: Logger, retention: AuditRetention = DEFAULT_AUDIT_RETENTION) {
    this.#files = new AuditFiles(join(stateDir, 'audit'), retention, clock, logger)
    this.#clock = clock
  }

  /** Writes the line when the call is over, if it is one for the log. */
  watch(incoming: IncomingMessage, outgoing: GatewayResponse, about: AuditedCall): void {
    const method = incoming.method ?? ''
    const { path, namespace, address, refusedAlone } = about
    outgoing.once('close', () => {
      const status = outgoing.headersSent ? outgoing.statusCode : 499
      const refused = status === 401 || status === 403 || status === 429
      if (!refused && (refusedAlone || method === 'GET' || method === 'HEAD')) return
      const { caller } = outgoing
      const where = caller?.namespace ?? namespace
      const who = { who: caller?.name ?? null, token: caller?.id ?? null, namespace: where }
      const time = new Date(this.#clock.now()).toISOString()
      const entry = { time, ...who, address, method: method.slice(0, 20), path: path.slice(0, 300), status }
      // What changed nothing proves nothing: it is counted, so that however much there is of it costs a few lines.
      if (status < 400 && caller != null) this.#write(entry)
      else this.#count(entry)
    })
  }

  /** Resolves when all lines are written, counts included. */
  async close(): Promise<void> {
    this.#endMinute()
    await this.#files.close()
  }

  #count(entry: AuditEntry): void {
    const key = this.#keyOf(entry)
    const counted = this.#counted.get(key)
    if (counted !== undefined) {
      counted.count++
      counted.last = entry
      return
    }
    this.#counted.set(key, { last: entry, count: 0 })
    this.#cancelMinute ??= this.#clock.after(MINUTE_MS, () => this.#endMinute())
    this.#write(entry)
  }

  /** Subject and kind. Subjects beyond the bound are counted as one. */
  #keyOf({ who, token, namespace, address, method, status }: AuditEntry): string {
    if (who === null) {
      const isNew = !this.#addresses.has(address)
      if (isNew && this.#addresses.size >= MOST_ADDRESSES) return `others ${status}`
      this.#addresses.add(address)
    }
    const key = JSON.stringify(who === null ? [address, method, status] : [namespace, token, method, status])
    return this.#counted.has(key) || this.#counted.size < MOST_COUNTED ? key : `others ${status}`
  }

  #endMinute(): void {
    this.#cancelMinute?.()
    this.#cancelMinute = null
    const time = new Date(this.#clock.now()).toISOString()
    for (const { last, count } of this.#counted.values()) if (count > 0) this.#write({ ...last, time, count })
    this.#counted.clear()
    this.#addresses.clear()
  }

  #write(entry: AuditEntry): void {
    // An unknown caller may name any namespace: no file is made for that.
    this.#files.append(entry.who === null ? null : entry.namespace, entry.who, entry)
  }
}
