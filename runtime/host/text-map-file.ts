// Texts by key that last: one file of the whole, and logs of what changed since. A change costs one appended line and one fsync,
// however much is stored; the whole is written again, in pieces and in the background, when the logs have grown as large as it.
//
//   PATH            the whole, in the owner's form; it names the first log that belongs to it
//   PATH.log.<n>    one line a change: 8 hex digits of CRC-32, a space, JSON [epoch, [[key, text or null], …]]
//
// A crash at any instant loses nothing that `append` has answered: the whole is replaced by rename, and its logs go only after that.
// A line that a crash cut short ends its log; the next process begins a log of its own and never adds to that one.
import { type FileHandle, open, readdir, readFile, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import { diskFull, syncFolder, writeDurable } from './durable-file.ts'

/** null: the key is gone. */
export type TextChange = readonly [key: string, text: string | null]

export interface TextMap {
  /** The owner's count of changes. */
  readonly epoch: number
  readonly texts: ReadonlyMap<string, string>
}

/** How the whole looks. */
export interface TextMapForm {
  /** `firstLog` null: the file knows of no logs, as an earlier release writes it. Throws what the owner wants to see when the
   *  file is damaged. */
  parse(text: string): TextMap & { readonly firstLog: number | null }
  /** In pieces of a few kilobytes; `texts` may be long. */
  render(epoch: number, firstLog: number, texts: Iterable<readonly [string, string]>): Iterable<string>
}

export interface TextMapFileOptions {
  readonly path: string
  readonly form: TextMapForm
  /** All there is now, the changes handed to `append` included; read while the whole is written, so that nothing is kept here
   *  twice. */
  readonly texts: () => Iterable<readonly [string, string]>
  /** The whole could not be written: the logs stay in force. */
  readonly warn: (error: Error) => void
}

/** Below this much log the whole is not written again. */
const LEAST_LOG_BYTES = 256 * 1024
const MOST_LOGS = 8
const PIECE_CHARS = 64 * 1024

export class TextMapFile {
  readonly #options: TextMapFileOptions
  #tail: Promise<unknown> = Promise.resolve()
  #log: FileHandle | null = null
  #logBytes = 0
  #wholeBytes = 0
  /** Logs that hold something, the oldest first. */
  #logs: number[] = []
  #nextLog = 1
  /** A line may be missing or cut: what is on disk is made whole before anything else is added. */
  #broken = false
  #rewriting: Promise<void> | null = null
  #epoch = 0

  private constructor(options: TextMapFileOptions) {
    this.#options = options
  }

  /** Opens what is there. `found` is null when there is no file; it is not kept. Throws what the form's `parse` throws. */
  static async open(
    options: TextMapFileOptions,
  ): Promise<{ readonly file: TextMapFile; readonly found: TextMap | null }> {
    const file = new TextMapFile(options)
    return { file, found: await file.#read() }
  }

  /** Puts changes on disk, whole or not at all; resolves when they are there. Throws RuntimeError `DISK_FULL`. */
  append(epoch: number, changes: readonly TextChange[]): Promise<void> {
    return this.#inTurn(async () => {
      this.#epoch = epoch
      if (this.#broken) return await this.#rewriteNow()
      const line = lineOf(epoch, changes)
      try {
        const log = this.#log ?? (await this.#beginLog())
        await log.writeFile(line)
        await log.sync()
      } catch (error) {
        this.#broken = true
        throw diskFull(error, this.#options.path)
      }
      this.#logBytes += line.length
      const isDue = this.#logBytes >= Math.max(LEAST_LOG_BYTES, this.#wholeBytes) || this.#logs.length > MOST_LOGS
      if (isDue && this.#rewriting === null) await this.#rewriteLater()
    })
  }

  /** Writes the whole; resolves when it is on disk. Throws RuntimeError `DISK_FULL`. */
  rewrite(epoch: number): Promise<void> {
    return this.#inTurn(async () => {
      this.#epoch = epoch
      await this.#rewriteNow()
    })
  }

  /** Waits for what is being written, and leaves one file without logs, as earlier releases read it. */
  async close(): Promise<void> {
    await this.#inTurn(async () => {
      await this.#rewriting
      if (this.#logs.length > 0 || this.#broken) await this.#rewriteNow().catch((error) => this.#options.warn(error))
      await this.#endLog()
    })
  }

  async #read(): Promise<TextMap | null> {
    const { path, form } = this.#options
    const whole = await readFile(path, 'utf8').catch(absent)
    const logs = await this.#logsThere()
    this.#nextLog = (logs.at(-1) ?? 0) + 1
    const { epoch, texts, firstLog: named } = whole === null ? NOTHING : form.parse(whole)
    // An earlier release wrote the whole: logs that are there are older, and it names none before it is written again.
    this.#broken = named === null
    const firstLog = named ?? this.#nextLog
    // Logs from before the whole were on their way out when a crash came.
    for (const log of logs) if (log < firstLog) await rm(this.#logPath(log), { force: true })
    this.#logs = logs.filter((log) => log >= firstLog)
    this.#nextLog = Math.max(this.#nextLog, firstLog)
    this.#wholeBytes = whole === null ? 0 : whole.length
    if (whole === null && this.#logs.length === 0) return null
    const all = new Map(texts)
    let last = epoch
    for (const log of this.#logs) {
      this.#logBytes += (await stat(this.#logPath(log))).size
      for (const line of (await readFile(this.#logPath(log), 'utf8')).split('\n')) {
        const change = changeOf(line)
        if (change === null) break
        last = Math.max(last, change[0])
        for (const [key, text] of change[1]) {
          if (text === null) all.delete(key)
          else all.set(key, text)
        }
      }
    }
    this.#epoch = last
    return { epoch: last, texts: all }
  }

  async #logsThere(): Promise<number[]> {
    const { path } = this.#options
    const prefix = `${basename(path)}.log.`
    const names = await readdir(dirname(path)).catch(() => [])
    const numbers = names.flatMap((name) => (name.startsWith(prefix) ? [Number(name.slice(prefix.length))] : []))
    return numbers.filter((number) => Number.isSafeInteger(number) && number > 0).sort((a, b) => a - b)
  }

  async #beginLog(): Promise<FileHandle> {
    const number = this.#nextLog++
    this.#log = await open(this.#logPath(number), 'ax', 0o600)
    this.#logs.push(number)
    await syncFolder(dirname(this.#options.path))
    return this.#log
  }

  async #endLog(): Promise<void> {
    const log = this.#log
    this.#log = null
    await log?.close()
  }

  /** In the background: what changes meanwhile goes to a log of its own, which the new whole names as its first. */
  async #rewriteLater(): Promise<void> {
    await this.#endLog()
    this.#rewriting = this.#write()
      .catch((error: Error) => this.#options.warn(error))
      .finally(() => {
        this.#rewriting = null
      })
  }

  async #rewriteNow(): Promise<void> {
    await this.#rewriting
    await this.#endLog()
    await this.#write()
    this.#broken = false
  }

  /** ORDER: the old logs go when the whole without them is on disk. */
  async #write(): Promise<void> {
    const { path, form, texts } = this.#options
    const old = this.#logs
    this.#logs = []
    const logBytes = this.#logBytes
    this.#logBytes = 0
    let bytes = 0
    const pieces = form.render(this.#epoch, this.#nextLog, texts())
    try {
      await writeDurable(
        path,
        inPieces(pieces, (count) => {
          bytes += count
        }),
      )
    } catch (error) {
      this.#logs = [...old, ...this.#logs]
      this.#logBytes += logBytes
      throw error
    }
    this.#wholeBytes = bytes
    for (const log of old) await rm(this.#logPath(log), { force: true })
  }

  #logPath(number: number): string {
    const { path } = this.#options
    return join(dirname(path), `${basename(path)}.log.${number}`)
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#tail.then(work)
    this.#tail = turn.catch(() => {})
    return turn
  }
}

const NOTHING = { epoch: 0, texts: new Map<string, string>(), firstLog: 0 }

/** Other work has its turn between the pieces. */
async function* inPieces(pieces: Iterable<string>, count: (chars: number) => void): AsyncGenerator<string> {
  let piece = ''
  for (const part of pieces) {
    piece += part
    if (piece.length < PIECE_CHARS) continue
    count(piece.length)
    yield piece
    piece = ''
  }
  count(piece.length)
  yield piece
}

function lineOf(epoch: number, changes: readonly TextChange[]): string {
  const text = JSON.stringify([epoch, changes])
  return `${checksum(text)} ${text}\n`
}

/** null: the line is empty, cut or damaged. */
function changeOf(line: string): [number, TextChange[]] | null {
  const text = line.slice(9)
  return line[8] === ' ' && checksum(text) === line.slice(0, 8) ? (JSON.parse(text) as [number, TextChange[]]) : null
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0')
}

function absent(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null
  throw error
}
