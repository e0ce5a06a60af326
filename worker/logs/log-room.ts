// Keeps what a namespace's logs take on disk below a bound: its oldest files go first, whole, those of removed functions included.
import { readdir, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'

const MOST_BYTES = 1024 ** 3
/** The part of the disk for the logs of one namespace. */
const DISK_SHARE = 1 / 20
/** What is left after files were removed, so that not every write removes some. */
const LEFT = 3 / 4

export class LogRoom {
  readonly #directory: string
  #mostBytes: number | null
  /** Known bytes by namespace; fewer are there when files were rotated away since. */
  readonly #sizes = new Map<string, number>()

  /** `mostBytes` null: a gigabyte, or a twentieth of the disk where that is less. */
  constructor(directory: string, mostBytes: number | null = null) {
    this.#directory = directory
    this.#mostBytes = mostBytes
  }

  /** So much was written. Never rejects: a file that cannot be looked at now is looked at later. */
  async wrote(namespace: string, bytes: number): Promise<void> {
    try {
      const known = this.#sizes.get(namespace)
      this.#mostBytes ??= await mostOf(this.#directory)
      if (known !== undefined && known + bytes <= this.#mostBytes) this.#sizes.set(namespace, known + bytes)
      else this.#sizes.set(namespace, await this.#trim(join(this.#directory, namespace), this.#mostBytes))
    } catch {
      this.#sizes.delete(namespace)
    }
  }

  /** Resolves to the bytes that are there. */
  async #trim(folder: string, mostBytes: number): Promise<number> {
    const files = await filesOf(folder)
    let size = files.reduce((sum, { bytes }) => sum + bytes, 0)
    if (size <= mostBytes) return size
    files.sort((one, other) => one.mtimeMs - other.mtimeMs)
    for (const { path, bytes } of files) {
      if (size <= mostBytes * LEFT) break
      await rm(path, { force: true })
      size -= bytes
    }
    return size
  }
}

async function filesOf(folder: string): Promise<{ path: string; bytes: number; mtimeMs: number }[]> {
  const found: { path: string; bytes: number; mtimeMs: number }[] = []
  for (const name of await readdir(folder)) {
    const path = join(folder, name)
    const known = await stat(path).catch(() => null)
    if (known?.isFile()) found.push({ path, bytes: known.size, mtimeMs: known.mtimeMs })
  }
  return found
}

async function mostOf(directory: string): Promise<number> {
  const { blocks, bsize } = await statfs(directory)
  return Math.min(MOST_BYTES, Math.floor(blocks * bsize * DISK_SHARE))
}
