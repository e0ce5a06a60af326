// The functions' logs: takes lines without waiting, writes them in batches, answers queries. A slow or full disk drops lines,
// counted, and never fails or delays a call. What a namespace writes above its rate is cut, what it has on disk bounded
// (log-room.ts), and what it has waiting leaves room for others.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Clock, type Logger, mayTake } from '../../runtime/api.ts'
import type { LogLine, LogQuery } from '../api.ts'
import { messageOf } from '../failures.ts'
import { LineBuffer } from './line-buffer.ts'
import { DEFAULT_LOG_FILE, LogFile, type LogFileOptions } from './log-file.ts'
import { LogRoom } from './log-room.ts'
import { MOST_LINES, NewestLines } from './newest-lines.ts'

export interface LogStoreOptions {
  /** `<state>/logs`; holds `<namespace>/<function>.jsonl`. */
  readonly directory: string
  readonly clock: Clock
  readonly logger: Logger
  readonly file?: LogFileOptions
  /** Characters that may wait for the disk, all functions together; those of one namespace at most half of what is free. */
  readonly bufferChars?: number
  /** Whether so many bytes more of a namespace may be kept now; else they are cut. Default: always. */
  readonly admit?: (namespace: string, bytes: number) => boolean
  /** Of a namespace on disk; default: a gigabyte, or a twentieth of the disk. */
  readonly namespaceBytes?: number
}

const FLUSH_MS = 200
const DEFAULT_BUFFER_CHARS = 16 * 1024 ** 2
/** JSON around the text of a line, roughly. */
const LINE_OVERHEAD = 256
const SUFFIX = '.jsonl'

/** One function's file and the lines that wait for it. */
class FunctionLog {
  readonly file: LogFile
  readonly pending: LineBuffer
  /** Of the buffer's bound, what its lines take. */
  chars = 0
  /** Lines dropped since the last that was written. */
  dropped = 0
  /** Lines cut since the last that was written, their characters, and the last of them. */
  cut = { lines: 0, chars: 0, like: null as LogLine | null }
  readonly namespace: string

  constructor(namespace: string, file: LogFile, pending: LineBuffer) {
    this.namespace = namespace
    this.file = file
    this.pending = pending
  }
}

export class LogStore {
  readonly #options: LogStoreOptions
  readonly #logs = new Map<string, FunctionLog>()
  #chars = 0
  /** Of these, each namespace's. */
  readonly #charsOf = new Map<string, number>()
  readonly #room: LogRoom
  #cancelTimer: (() => void) | null = null
  #writing: Promise<void> = Promise.resolve()
  #closed = false
  #diskFailed = false

  constructor(options: LogStoreOptions) {
    this.#options = options
    this.#room = new LogRoom(options.directory, options.namespaceBytes ?? null)
  }

  /** Takes a line; it is on disk some 200 ms later, and in queries at once. Never throws. False: it was cut. */
  append(line: LogLine): boolean {
    if (this.#closed) return false
    const { namespace } = line
    const log = this.#of(namespace, line.function)
    const chars = line.line.length + LINE_OVERHEAD
    const isKept = this.#options.admit?.(namespace, chars) ?? true
    if (!isKept) log.cut = { lines: log.cut.lines + 1, chars: log.cut.chars + line.line.length, like: line }
    else if (this.#hasRoom(namespace)) {
      log.pending.add(line)
      log.chars += chars
      this.#hold(namespace, chars)
    } else log.dropped++
    this.#cancelTimer ??= this.#options.clock.after(FLUSH_MS, () => {
      this.#cancelTimer = null
      void this.flush()
    })
    return isKept
  }

  #hasRoom(namespace: string): boolean {
    const all = this.#options.bufferChars ?? DEFAULT_BUFFER_CHARS
    return mayTake(this.#charsOf.get(namespace) ?? 0, all - this.#chars, 0)
  }

  #hold(namespace: string, chars: number): void {
    this.#chars += chars
    const held = (this.#charsOf.get(namespace) ?? 0) + chars
    if (held === 0) this.#charsOf.delete(namespace)
    else this.#charsOf.set(namespace, held)
  }

  /** Writes all that waits. Never rejects. */
  flush(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#writeAll())
    return this.#writing
  }

  /** Oldest first; the newest `MOST_LINES` or `MOST_CHARS` at most. Lines that were rotated away are gone. */
  async query(query: LogQuery): Promise<LogLine[]> {
    await this.flush()
    const names = query.function === undefined ? await this.#functionsOf(query.namespace) : [query.function]
    const most = Math.min(query.tail ?? MOST_LINES, MOST_LINES)
    let found: LogLine[] = []
    for (const name of names) {
      found = found.concat(await this.#read(this.#of(query.namespace, name), query.invocation ?? null, most))
      // Cut again and again, so that a namespace with many logs is never in memory as a whole.
      if (names.length > 1 && found.length > most) found = newest(found, most)
    }
    return names.length > 1 ? newest(found, most) : found
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancelTimer?.()
    this.#cancelTimer = null
    await this.flush()
  }

  #of(namespace: string, name: string): FunctionLog {
    const key = `${namespace}/${name}`
    let log = this.#logs.get(key)
    if (log === undefined) {
      const path = join(this.#options.directory, namespace, `${name}${SUFFIX}`)
      const file = new LogFile(path, this.#options.file ?? DEFAULT_LOG_FILE)
      log = new FunctionLog(namespace, file, new LineBuffer(namespace, name))
      this.#logs.set(key, log)
    }
    return log
  }

  async #writeAll(): Promise<void> {
    for (const log of this.#logs.values()) {
      if (log.pending.count > 0 || log.cut.like !== null) await this.#write(log)
    }
  }

  async #write(log: FunctionLog): Promise<void> {
    const { pending, dropped, cut } = log
    const { count, last } = pending
    const lines = pending.take()
    this.#hold(log.namespace, -log.chars)
    log.chars = 0
    log.dropped = 0
    log.cut = { lines: 0, chars: 0, like: null }
    const like = last ?? cut.like
    const notices = like === null ? [] : noticesOf(like, dropped, cut)
    const text = notices.length === 0 ? lines : Buffer.concat([lines, Buffer.from(notices.join(''))])
    try {
      await log.file.append(text)
      this.#diskFailed = false
    } catch (error) {
      log.dropped += count + dropped
      if (!this.#diskFailed) this.#options.logger.warn({ error: messageOf(error) }, 'function logs cannot be written')
      this.#diskFailed = true
      return
    }
    await this.#room.wrote(log.namespace, text.length)
  }

  async #read(log: FunctionLog, invocation: string | null, most: number): Promise<LogLine[]> {
    const found = new NewestLines(invocation, most)
    for await (const texts of log.file.parts()) {
      await found.take(texts)
      if (found.isFull) break
    }
    return found.oldestFirst()
  }

  async #functionsOf(namespace: string): Promise<string[]> {
    const names = await readdir(join(this.#options.directory, namespace)).catch(() => [])
    return names.filter((name) => name.endsWith(SUFFIX)).map((name) => name.slice(0, -SUFFIX.length))
  }
}

function newest(lines: LogLine[], most: number): LogLine[] {
  lines.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0))
  return lines.slice(Math.max(0, lines.length - most))
}

/** Lines that say what is missing, as they are written. */
function noticesOf(like: LogLine, dropped: number, cut: { readonly lines: number; readonly chars: number }): string[] {
  const texts: string[] = []
  if (dropped > 0) texts.push(`${dropped} log lines were dropped: the disk did not keep up`)
  if (cut.lines > 0) {
    const why = `namespace ${like.namespace} writes more than its quota logBytesPerSecond`
    texts.push(`${cut.lines} log lines (${cut.chars} characters) were cut: ${why}`)
  }
  return texts.map((line) => `${JSON.stringify({ ...like, invocation: null, stream: 'stderr', line })}\n`)
}
