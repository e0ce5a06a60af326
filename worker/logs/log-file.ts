// One function's log on disk: JSON lines, rotated by size. Appends and reads; buffers nothing.
import { appendFile, mkdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

export interface LogFileOptions {
  /** A file is rotated once it is larger than this. */
  readonly rotateBytes: number
  /** Files kept, the current one included. */
  readonly files: number
}

export const DEFAULT_LOG_FILE: LogFileOptions = { rotateBytes: 8 * 1024 ** 2, files: 4 }

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

  /** The files' lines, newest file first; each list in the order written. A line cut by a full disk is left in: it does not parse. */
  async *lists(): AsyncGenerator<string[]> {
    for (let index = 0; index < this.#options.files; index++) {
      const text = await readFile(this.#pathOf(index), 'utf8').catch(() => null)
      if (text !== null) yield text.split('\n')
    }
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
