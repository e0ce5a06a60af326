// Owns the audit log: a JSON line for each control call that changes something, and for each that was refused. Who, what, when,
// how it ended; never a body, a token or a value. Rotated, so that it is bounded; writing it holds nobody up.
import { appendFile, mkdir, rename, stat } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import type { Clock, Logger } from '../../runtime/api.ts'
import type { GatewayResponse } from '../response.ts'

/** One line. */
export interface AuditEntry {
  /** RFC 3339 UTC, when the call ended. */
  readonly time: string
  /** Name of the token, `platform`, or null: nobody we know. */
  readonly who: string | null
  readonly token: string | null
  readonly namespace: string | null
  readonly address: string
  readonly method: string
  readonly path: string
  readonly status: number
  /** Refusals of callers nobody knows that were not written since the line before, because there were too many. */
  readonly suppressed?: number
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

const ROTATE_BYTES = 10 * 1024 ** 2
const KEPT_FILES = 5
const MOST_PENDING = 10_000
/** Of callers nobody knows, at most so many lines a second: they must not be able to push the others out. */
const STRANGERS_PER_S = 5

export class AuditLog {
  readonly #folder: string
  readonly #clock: Clock
  readonly #logger: Logger
  #pending: string[] = []
  #writing: Promise<void> | null = null
  #strangers = { secondsAt: 0, count: 0, suppressed: 0 }

  constructor(stateDir: string, clock: Clock, logger: Logger) {
    this.#folder = join(stateDir, 'audit')
    this.#clock = clock
    this.#logger = logger
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
      this.#add({ time, ...who, address, method, path: path.slice(0, 300), status })
    })
  }

  /** Resolves when all lines are written. */
  async close(): Promise<void> {
    while (this.#writing !== null) await this.#writing
  }

  #add(entry: AuditEntry): void {
    const suppressed = entry.who === null ? this.#stranger() : 0
    if (suppressed === null || this.#pending.length >= MOST_PENDING) return
    this.#pending.push(`${JSON.stringify(suppressed > 0 ? { ...entry, suppressed } : entry)}\n`)
    this.#writing ??= this.#write().finally(() => {
      this.#writing = null
    })
  }

  /** How many were left out before this one; null: leave this one out, too. */
  #stranger(): number | null {
    const strangers = this.#strangers
    const second = Math.floor(this.#clock.now() / 1000)
    if (second !== strangers.secondsAt) Object.assign(strangers, { secondsAt: second, count: 0 })
    if (++strangers.count > STRANGERS_PER_S) {
      strangers.suppressed++
      return null
    }
    const { suppressed } = strangers
    strangers.suppressed = 0
    return suppressed
  }

  async #write(): Promise<void> {
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 })
      while (this.#pending.length > 0) {
        const lines = this.#pending
        this.#pending = []
        await this.#rotate()
        await appendFile(this.#path(0), lines.join(''), { mode: 0o600 })
      }
    } catch (error) {
      this.#pending = []
      this.#logger.error({ err: error }, 'the audit log could not be written')
    }
  }

  async #rotate(): Promise<void> {
    const size = await stat(this.#path(0)).then(
      (file) => file.size,
      () => 0,
    )
    if (size < ROTATE_BYTES) return
    for (let index = KEPT_FILES - 2; index >= 0; index--)
      await rename(this.#path(index), this.#path(index + 1)).catch(() => undefined)
  }

  #path(index: number): string {
    return join(this.#folder, index === 0 ? 'audit.jsonl' : `audit.${index}.jsonl`)
  }
}
