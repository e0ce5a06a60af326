// Bodies and results over 64 KiB: files named by invocation id, on disk before anybody is told about them.
import { createHash, type Hash, randomUUID } from 'node:crypto'
import { createReadStream, type Dirent } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { QuotaExceeded } from '../registry/quota-exceeded.ts'
import { QueueError } from './api.ts'
import { INLINE_MAX_BYTES } from './envelope.ts'

const TEMPORARY = '.tmp-'

/** Writes a file that only appears under its name once it is whole and on disk. */
export class DurableFile {
  readonly #folder: string
  readonly #temporary: string
  readonly #handle: FileHandle
  readonly #hash = createHash('sha256')
  #bytes = 0

  private constructor(folder: string, temporary: string, handle: FileHandle) {
    this.#folder = folder
    this.#temporary = temporary
    this.#handle = handle
  }

  static async create(folder: string): Promise<DurableFile> {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const temporary = join(folder, `${TEMPORARY}${randomUUID()}`)
    return new DurableFile(folder, temporary, await open(temporary, 'wx', 0o600))
  }

  get bytes(): number {
    return this.#bytes
  }

  /** SHA-256, hex, of what was written; asked once, at the end. */
  sha256(): string {
    return this.#hash.digest('hex')
  }

  async write(chunk: Buffer): Promise<void> {
    this.#bytes += chunk.length
    this.#hash.update(chunk)
    let offset = 0
    while (offset < chunk.length) offset += (await this.#handle.write(chunk, offset)).bytesWritten
  }

  /** On disk under `name` when it resolves. */
  async commit(name: string): Promise<void> {
    // ORDER: content, then name, then folder: a crash leaves the whole file or none.
    await this.#handle.sync()
    await this.#handle.close()
    await rename(this.#temporary, join(this.#folder, name))
    const folder = await open(this.#folder, 'r')
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
  }

  /** Under `name` when it resolves, but not safe from a crash. */
  async publish(name: string): Promise<void> {
    await this.#handle.close()
    await rename(this.#temporary, join(this.#folder, name))
  }

  async discard(): Promise<void> {
    await this.#handle.close().catch(() => {})
    await rm(this.#temporary, { force: true })
  }
}

/** A request body as taken in: small ones in memory, others in a file that has no name yet. */
export interface SpooledBody {
  readonly inline: Buffer | null
  readonly file: DurableFile | null
  /** SHA-256, hex, of the bytes. */
  readonly hash: string
}

/** Reads a body whole. `came` is called with bytes before they are kept, and may throw QuotaExceeded. Throws QueueError
 *  BODY_TOO_LARGE | BODY_ABORTED, or the disk's error. */
export async function spoolBody(
  body: Buffer | Readable | null,
  folder: string,
  maxBytes: number,
  came: (bytes: number) => void = () => {},
): Promise<SpooledBody> {
  const hash = createHash('sha256')
  if (body === null) return { inline: null, file: null, hash: hash.digest('hex') }
  const source = Buffer.isBuffer(body) ? Readable.from([body], { objectMode: false }) : body
  const taken = { chunks: [] as Buffer[], bytes: 0, file: null as DurableFile | null }
  try {
    for await (const chunk of source) {
      came((chunk as Buffer).length)
      await take(taken, chunk as Buffer, hash, folder, maxBytes)
    }
  } catch (error) {
    await taken.file?.discard()
    if (error instanceof QueueError || error instanceof QuotaExceeded || isDiskError(error)) throw error
    throw new QueueError('BODY_ABORTED', 'the body ended early', { cause: error })
  }
  const inline = taken.file === null ? Buffer.concat(taken.chunks) : null
  return { inline, file: taken.file, hash: hash.digest('hex') }
}

async function take(
  taken: { chunks: Buffer[]; bytes: number; file: DurableFile | null },
  chunk: Buffer,
  hash: Hash,
  folder: string,
  maxBytes: number,
): Promise<void> {
  taken.bytes += chunk.length
  if (taken.bytes > maxBytes) {
    throw new QueueError('BODY_TOO_LARGE', `the body of an asynchronous call may have ${maxBytes} bytes`)
  }
  hash.update(chunk)
  if (taken.file !== null) return await taken.file.write(chunk)
  taken.chunks.push(chunk)
  if (taken.bytes <= INLINE_MAX_BYTES) return
  taken.file = await DurableFile.create(folder)
  await taken.file.write(Buffer.concat(taken.chunks))
  taken.chunks = []
}

/** Kept free, so that what was accepted can be finished: Redis ends itself when it cannot write. */
export const RESERVE_BYTES = 16 * 1024 ** 2

/** Bytes left for the platform on the disk of a folder. */
export async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

/** The system call failed for want of space, not the sender. */
export function isDiskError(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | null)?.code
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'EROFS' || code === 'EIO'
}

export function readFileStream(folder: string, name: string): Readable {
  return createReadStream(join(folder, name))
}

/** Size, or null when there is no such file. */
export async function fileBytes(folder: string, name: string): Promise<number | null> {
  return await stat(join(folder, name)).then(
    (found) => found.size,
    () => null,
  )
}

export async function removeFile(folder: string, name: string): Promise<void> {
  await rm(join(folder, name), { force: true }).catch(() => {})
}

/** Removes files older than `olderThanMs` that nobody needs: what a crash left, and what has expired. */
export async function sweepFolder(
  folder: string,
  olderThanMs: number,
  isNeeded: (name: string) => Promise<boolean>,
): Promise<number> {
  let removed = 0
  const entries: Dirent[] = await readdir(folder, { withFileTypes: true }).catch(() => [])
  for (const entry of entries) {
    const found = await stat(join(folder, entry.name)).catch(() => null)
    if (found === null || found.mtimeMs > olderThanMs) continue
    if (!entry.name.startsWith(TEMPORARY) && (await isNeeded(entry.name))) continue
    await removeFile(folder, entry.name)
    removed++
  }
  return removed
}
