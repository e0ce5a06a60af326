// Owns the files of the audit log: one series a namespace, rotated, bounded in bytes and age. When a series is full, the subject with
// most lines in it loses its oldest, so noise of one does not push out lines of others. Knows lines and subjects, not calls.
import { appendFile, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock, Logger } from '../../runtime/api.ts'
import { isDnsLabel } from '../../worker/registry/names.ts'
import { fairShare } from './fair-share.ts'

export interface AuditRetention {
  /** Lines older than this are removed, within a day. */
  readonly keepMs: number
  /** Of the lines of one namespace. */
  readonly namespaceBytes: number
}

export const DEFAULT_AUDIT_RETENTION: AuditRetention = {
  keepMs: 90 * 24 * 3600 * 1000,
  namespaceBytes: 16 * 1024 ** 2,
}

const DAY_MS = 24 * 3600 * 1000
const SWEEP_MS = DAY_MS / 4
/** Parts of a series; the bound of a file follows. */
const SEGMENTS = 16
/** What a full series is cut to: making room is not for every line. */
const ROOM = 0.75
/** Lines of one subject that may wait for the disk. */
const MOST_PENDING = 2000
const FILE = /^(audit(?:-[a-z0-9-]+)?)(?:\.(\d+))?\.jsonl$/

interface Series {
  readonly name: string
  pending: string[]
  /** Lines that wait, by subject. */
  readonly waiting: Map<string, number>
  /** Lines of a subject that were left out because too many waited. */
  readonly leftOut: Map<string, number>
  writing: Promise<void> | null
}

export class AuditFiles {
  readonly #folder: string
  readonly #retention: AuditRetention
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #series = new Map<string, Series>()
  #sweeping: Promise<void>
  #cancelSweep = () => {}

  constructor(folder: string, retention: AuditRetention, clock: Clock, logger: Logger) {
    this.#folder = folder
    this.#retention = retention
    this.#clock = clock
    this.#logger = logger
    this.#sweeping = this.#sweep()
  }

  /** Takes one line of a subject (the member `who` of it); a namespace that is none, or null, has the series of the platform's own. */
  append(namespace: string | null, who: string | null, entry: object): void {
    const series = this.#of(namespace)
    const subject = JSON.stringify(who)
    const waiting = series.waiting.get(subject) ?? 0
    if (waiting >= MOST_PENDING) {
      series.leftOut.set(subject, (series.leftOut.get(subject) ?? 0) + 1)
      return
    }
    const leftOut = series.leftOut.get(subject) ?? 0
    series.leftOut.delete(subject)
    series.waiting.set(subject, waiting + 1)
    series.pending.push(`${JSON.stringify(leftOut > 0 ? { ...entry, leftOut } : entry)}\n`)
    series.writing ??= this.#write(series).finally(() => {
      series.writing = null
    })
  }

  /** Resolves when all lines are written. */
  async close(): Promise<void> {
    this.#cancelSweep()
    await this.#sweeping
    for (const series of this.#series.values()) while (series.writing !== null) await series.writing
  }

  #of(namespace: string | null): Series {
    const name =
      namespace === null || namespace === 'default' || !isDnsLabel(namespace) ? 'audit' : `audit-${namespace}`
    let series = this.#series.get(name)
    if (series === undefined) {
      series = { name, pending: [], waiting: new Map(), leftOut: new Map(), writing: null }
      this.#series.set(name, series)
    }
    return series
  }

  async #write(series: Series): Promise<void> {
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 })
      while (series.pending.length > 0) {
        const lines = series.pending
        series.pending = []
        series.waiting.clear()
        for (const part of partsOf(lines, this.#segmentBytes)) {
          if ((await sizeOf(this.#path(series.name, 0))) >= this.#segmentBytes) await this.#rotate(series.name)
          await appendFile(this.#path(series.name, 0), part, { mode: 0o600 })
        }
      }
    } catch (error) {
      series.pending = []
      series.waiting.clear()
      this.#logger.error({ err: error }, 'the audit log could not be written')
    }
  }

  get #segmentBytes(): number {
    return Math.floor(this.#retention.namespaceBytes / SEGMENTS)
  }

  /** Puts the current file aside, and makes room when the series is full. */
  async #rotate(name: string): Promise<void> {
    const numbers = (await this.#numbersOf(name)).sort((a, b) => b - a)
    for (const number of numbers) await rename(this.#path(name, number), this.#path(name, number + 1))
    let bytes = 0
    for (const number of numbers) bytes += await sizeOf(this.#path(name, number + 1))
    if (bytes > this.#retention.namespaceBytes - this.#segmentBytes) await this.#makeRoom(name, numbers.length)
  }

  /** Numbers of the files there are, 0 the current one. */
  async #numbersOf(name: string): Promise<number[]> {
    const found = (await readdir(this.#folder)).map((file) => FILE.exec(file)).filter((match) => match?.[1] === name)
    return found.map((match) => Number(match![2] ?? 0))
  }

  /** Drops the oldest lines of the subjects with most, and packs what is left into whole files. */
  async #makeRoom(name: string, files: number): Promise<void> {
    const lines: { readonly text: string; readonly subject: string }[] = []
    const bytesOf = new Map<string, number>()
    for (let number = files; number >= 1; number--) {
      // ORDER: a file at a time, oldest first: between them the event loop has its turn.
      const text = await readFile(this.#path(name, number), 'utf8').catch(() => '')
      for (const line of text.split('\n')) {
        if (line === '') continue
        const subject = /"who":(null|"[^"]*")/.exec(line)?.[1] ?? 'null'
        lines.push({ text: `${line}\n`, subject })
        bytesOf.set(subject, (bytesOf.get(subject) ?? 0) + line.length + 1)
      }
    }
    const share = fairShare([...bytesOf.values()], Math.floor(this.#retention.namespaceBytes * ROOM))
    const segments: string[] = ['']
    for (const { text, subject } of lines) {
      const left = bytesOf.get(subject)!
      if (left > share) bytesOf.set(subject, left - text.length)
      else if (segments.at(-1)!.length + text.length <= this.#segmentBytes) segments[segments.length - 1] += text
      else segments.push(text)
    }
    await this.#replace(name, segments.reverse(), files)
  }

  /** `segments`: newest first. A crash between two renames leaves some lines twice, and loses none that were kept. */
  async #replace(name: string, segments: readonly string[], files: number): Promise<void> {
    for (const [index, text] of segments.entries()) {
      const draft = join(this.#folder, `${name}.draft`)
      await writeFile(draft, text, { mode: 0o600 })
      await rename(draft, this.#path(name, index + 1))
    }
    for (let number = segments.length + 1; number <= files; number++)
      await rm(this.#path(name, number), { force: true })
  }

  /** Removes files whose last line is too old, and puts those aside whose lines would grow too old with a younger one. */
  async #sweep(): Promise<void> {
    this.#cancelSweep = this.#clock.after(SWEEP_MS, () => {
      this.#sweeping = this.#sweep()
    })
    const nowMs = this.#clock.now()
    for (const file of await readdir(this.#folder).catch(() => [])) {
      const match = FILE.exec(file)
      if (match === null) continue
      const status = await stat(join(this.#folder, file)).catch(() => null)
      if (status === null) continue
      if (nowMs - status.mtimeMs > this.#retention.keepMs) await rm(join(this.#folder, file), { force: true })
      else if (match[2] === undefined && nowMs - status.birthtimeMs > DAY_MS) await this.#rotateQuietly(match[1]!)
    }
  }

  async #rotateQuietly(name: string): Promise<void> {
    const series = this.#series.get(name)
    if (series?.writing) return // it is put aside once it is full, or the next time
    await this.#rotate(name).catch((error) => this.#logger.error({ err: error }, 'the audit log could not be rotated'))
  }

  #path(name: string, number: number): string {
    return join(this.#folder, number === 0 ? `${name}.jsonl` : `${name}.${number}.jsonl`)
  }
}

/** Lines joined to pieces of about so many characters. */
function partsOf(lines: readonly string[], chars: number): string[] {
  const parts = ['']
  for (const line of lines) {
    if (parts.at(-1)!.length + line.length <= chars || parts.at(-1) === '') parts[parts.length - 1] += line
    else parts.push(line)
  }
  return parts
}

async function sizeOf(path: string): Promise<number> {
  return await stat(path).then(
    (file) => file.size,
    () => 0,
  )
}
