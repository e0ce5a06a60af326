// The functions' logs: takes lines without waiting, writes them in batches, answers queries. A slow or full disk drops lines,
// counted, and never fails or delays a call.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock, Logger } from '../../runtime/api.ts'
import type { LogLine, LogQuery } from '../api.ts'
import { messageOf } from '../failures.ts'
import { LineBuffer } from './line-buffer.ts'
import { DEFAULT_LOG_FILE, LogFile, type LogFileOptions } from './log-file.ts'
import { MOST_LINES, NewestLines } from './newest-lines.ts'

export interface LogStoreOptions {
  /** `<state>/logs`; holds `<namespace>/<function>.jsonl`. */
  readonly directory: string
  readonly clock: Clock
  readonly logger: Logger
  readonly file?: LogFileOptions
  /** Characters that may wait for the disk, all functions together. */
  readonly bufferChars?: number
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

  constructor(file: LogFile, pending: LineBuffer) {
    this.file = file
    this.pending = pending
  }
}

export class LogStore {
  readonly #options: LogStoreOptions
  readonly #logs = new Map<string, FunctionLog>()
  #chars = 0
  #cancelTimer: (() => void) | null = null
  #writing: Promise<void> = Promise.resolve()
  #closed = false
  #diskFailed = false

  constructor(options: LogStoreOptions) {
    this.#options = options
  }

  /** Takes a line; it is on disk some 200 ms later, and in queries at once. Never throws. */
  append(line: LogLine): void {
    if (this.#closed) return
    const log = this.#of(line.namespace, line.function)
    if (this.#chars > (this.#options.bufferChars ?? DEFAULT_BUFFER_CHARS)) {
      log.dropped++
      return
    }
    log.pending.add(line)
    const chars = line.line.length + LINE_OVERHEAD
    log.chars += chars
    this.#chars += chars
    this.#cancelTimer ??= this.#options.clock.after(FLUSH_MS, () => {
      this.#cancelTimer = null
      void this.flush()
    })
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
      log = new FunctionLog(file, new LineBuffer(namespace, name))
      this.#logs.set(key, log)
    }
    return log
  }

  async #writeAll(): Promise<void> {
    for (const log of this.#logs.values()) {
      if (log.pending.count > 0) await this.#write(log)
    }
  }

  async #write(log: FunctionLog): Promise<void> {
    const { pending, dropped } = log
    const { count, last } = pending
    const lines = pending.take()
    this.#chars -= log.chars
    log.chars = 0
    log.dropped = 0
    const notice = dropped === 0 ? null : Buffer.from(`${JSON.stringify(droppedNotice(last!, dropped))}\n`)
    try {
      await log.file.append(notice === null ? lines : Buffer.concat([lines, notice]))
      this.#diskFailed = false
    } catch (error) {
      log.dropped += count + dropped
      if (!this.#diskFailed) this.#options.logger.warn({ error: messageOf(error) }, 'function logs cannot be written')
      this.#diskFailed = true
    }
  }

  async #read(log: FunctionLog, invocation: string | null, most: number): Promise<LogLine[]> {
    const found = new NewestLines(invocation, most)
    for await (const texts of log.file.lists()) {
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

function droppedNotice(like: LogLine, count: number): LogLine {
  return {
    ...like,
    invocation: null,
    stream: 'stderr',
    line: `${count} log lines were dropped: the disk did not keep up`,
  }
}
