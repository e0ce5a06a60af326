// What the pool knows of functions' calls, on disk over a restart: one JSON file, replaced as a whole and never on the path of
// a call. A file that cannot be read or written costs a log line and nothing else.
import { readFileSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Logger, writeDurable } from '../../runtime/api.ts'
import { messageOf } from '../failures.ts'
import type { Retention } from './retention.ts'

const FORMAT = 1
const INTERVAL_MS = 60_000
const PIECE_CHARS = 16_384

/** Takes over what an earlier platform knew. */
export function readRetention(path: string, retention: Retention, logger: Logger): void {
  try {
    const { format, functions } = JSON.parse(readFileSync(path, 'utf8')) as { format?: unknown; functions?: unknown }
    if (format !== FORMAT) throw new Error(`expected format ${FORMAT}, got ${JSON.stringify(format)}`)
    retention.restore(functions)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    logger.warn({ path, error: messageOf(error) }, 'what was known of calls cannot be read: learning starts again')
  }
}

/** Writes down what is known. */
export async function writeRetention(path: string, retention: Retention, logger: Logger): Promise<void> {
  try {
    await writeDurable(path, textOf(retention))
  } catch (error) {
    logger.warn({ path, error: messageOf(error) }, 'what is known of calls cannot be written')
  }
}

/** In pieces, for others have turns of the event loop between them: 10,000 functions are two megabytes. */
async function* textOf(retention: Retention): AsyncGenerator<string> {
  let piece = `{"format":${FORMAT},"functions":{`
  let separator = ''
  for (const [key, history] of retention.entries()) {
    piece += `${separator}${JSON.stringify(key)}:${JSON.stringify(history)}`
    separator = ','
    if (piece.length < PIECE_CHARS) continue
    yield piece
    piece = ''
    await nextTurn()
  }
  yield `${piece}}}`
}

export interface KeptRetentionOptions {
  readonly path: string
  readonly retention: Retention
  readonly logger: Logger
}

/** Writes the file again while there is something new, at most once a minute; after a kill the last minutes are missing. */
export class KeptRetention {
  readonly #options: KeptRetentionOptions
  #written: number
  #nextMs = Number.NEGATIVE_INFINITY
  #writing: Promise<void> | null = null

  /** Reads what is there. */
  constructor(options: KeptRetentionOptions) {
    this.#options = options
    readRetention(options.path, options.retention, options.logger)
    this.#written = options.retention.changes
  }

  /** Begins to write when it is time to. Returns when to look again (monotonic ms); Infinity: there is nothing new. */
  look(nowMs: number): number {
    if (this.#options.retention.changes === this.#written) return Number.POSITIVE_INFINITY
    if (nowMs >= this.#nextMs && this.#writing === null) {
      this.#nextMs = nowMs + INTERVAL_MS
      this.#writing = this.#write().finally(() => {
        this.#writing = null
      })
      return Number.POSITIVE_INFINITY
    }
    return Math.max(this.#nextMs, nowMs + INTERVAL_MS / 60)
  }

  /** Writes what is new. */
  async close(): Promise<void> {
    await this.#writing
    if (this.#options.retention.changes !== this.#written) await this.#write()
  }

  #write(): Promise<void> {
    const { path, retention, logger } = this.#options
    this.#written = retention.changes
    return writeRetention(path, retention, logger)
  }
}
