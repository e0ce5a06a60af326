// One function's log on disk: JSON lines, rotated by size. Appends and reads; buffers nothing.
import { appendFile, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

export interface LogFileOptions {
  /** A file is rotated once it is larger than this. */
  readonly rotateBytes: number
  /** Files kept, the current one included. */
  readonly files: number
}

export const DEFAULT_LOG_FILE: LogFileOptions = { rotateBytes: 8 * 1024 ** 2, files: 4 }

const PART_BYTES = 256 * 1024

export class LogFile {
  readonly #path: string
  readonly #options: LogFileOptions
  #bytes: number | null = null

  constructor(path: string, options: LogFileOptions) {
    this.#path = path
    this.#options = options
  }

  /** Appends whole lines. Throws as node:fs does (ENOSPC); a part of the text may be on disk then. */
  async append(text: Buffer): Promise<void> {
    if (this.#bytes === null) {
      await mkdir(dirname(this.#path), { recursive: true })
      this.#bytes = await sizeOf(this.#path)
    }
    if (this.#bytes > this.#options.rotateBytes) await this.#rotate()
    try {
      await this.#appendTo(text)
      this.#bytes += text.length
    } catch (error) {
      this.#bytes = null
      throw error
    }
  }

  /** The files' lines in parts, the newest part first, each part in the order written. A line cut by a full disk is left in: it
   *  does not parse. */
  async *parts(): AsyncGenerator<string[]> {
    for (let index = 0; index < this.#options.files; index++) yield* partsOf(this.#pathOf(index))
  }

  /** Somebody may have removed the folder under a running platform. */
  async #appendTo(text: Buffer): Promise<void> {
    try {
      await appendFile(this.#path, text)
    } catch (error) {
      ignoreMissing(error)
      await mkdir(dirname(this.#path), { recursive: true })
      await appendFile(this.#path, text)
    }
  }

  async #rotate(): Promise<void> {
    await rm(this.#pathOf(this.#options.files - 1), { force: true })
    for (let index = this.#options.files - 2; index >= 0; index--) {
      await rename(this.#pathOf(index), this.#pathOf(index + 1)).catch(ignoreMissing)
    }
    this.#bytes = 0
  }

  #pathOf(index: number): string {
    return index === 0 ? this.#path : `${this.#path}.${index}`
  }
}

/** Read from its end: a query for the last lines reads no more than those. */
async function* partsOf(path: string): AsyncGenerator<string[]> {
  const handle = await open(path).catch(() => null)
  if (handle === null) return
  try {
    let end = (await handle.stat()).size
    /** The end of a line that begins in the part before. */
    let rest = Buffer.alloc(0)
    while (end > 0) {
      const start = Math.max(0, end - PART_BYTES)
      const part = Buffer.alloc(end - start)
      const { bytesRead } = await handle.read(part, 0, part.length, start)
      const bytes = Buffer.concat([part.subarray(0, bytesRead), rest])
      end = start
      const cut = start === 0 ? 0 : bytes.indexOf('\n') + 1
      rest = start === 0 ? Buffer.alloc(0) : bytes.subarray(0, cut === 0 ? bytes.length : cut)
      if (start === 0 || cut > 0) yield bytes.toString('utf8', cut).split('\n')
    }
  } finally {
    await handle.close()
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch (error) {
    ignoreMissing(error)
    return 0
  }
}

function ignoreMissing(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
}
