// V8's code caches of versions, one file each in `<stateDir>/code-cache`: so that a later sandbox of the same version need not
// compile its bundle again. They come from inside sandboxes and may be forged: never read here beyond their checksum, and
// never given to another version, whatever its source.
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from '../runtime/api.ts'
import type { FunctionVersion } from './api.ts'
import { messageOf } from './failures.ts'

export interface CodeCachesOptions {
  readonly directory: string
  /** What compiled code depends on besides its source: Node's version and the architecture. */
  readonly engine: string
  readonly logger: Logger
}

/** Smaller bundles are compiled faster than a cache is handed over. */
const SMALLEST_SOURCE_BYTES = 16 * 1024
const LARGEST_BYTES = 16 * 1024 ** 2
/** A cache is at most so many times as large as its source. */
const PER_SOURCE_BYTE = 4
const KEPT_IN_MEMORY_BYTES = 64 * 1024 ** 2
const CHECKSUM_BYTES = 32
/** Raise it when the sandbox wraps the source differently. */
const REVISION = 1

/** Most bytes a cache of such a source may have; 0: it is to have none. */
export function cacheBytesFor(sourceBytes: number): number {
  return sourceBytes < SMALLEST_SOURCE_BYTES ? 0 : Math.min(sourceBytes * PER_SOURCE_BYTE, LARGEST_BYTES)
}

export class CodeCaches {
  readonly #options: CodeCachesOptions
  /** By file name, the least recently used first; null: there is no (good) file. */
  readonly #known = new Map<string, Buffer | null>()
  /** Names of the files, by `<namespace>.<function>`; null: the folder was not read yet. */
  #files: Map<string, Set<string>> | null = null
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: CodeCachesOptions) {
    this.#options = options
  }

  /** The version's cache, or null. Never throws: a cache that cannot be read is none. */
  async get(version: FunctionVersion): Promise<Buffer | null> {
    const name = fileName(version)
    const known = this.#known.get(name)
    if (known !== undefined) {
      this.#remember(name, known)
      return known
    }
    const cache = await this.#read(version, name)
    this.#remember(name, cache)
    return cache
  }

  /** Keeps the version's cache, in memory at once and on disk soon. */
  put(version: FunctionVersion, cache: Buffer): void {
    const name = fileName(version)
    this.#remember(name, cache)
    this.#inTurn(async () => {
      const { directory } = this.#options
      await mkdir(directory, { recursive: true, mode: 0o700 })
      const draft = join(directory, `${name}.tmp`)
      await writeFile(draft, Buffer.concat([this.#checksum(version, cache), cache]), { mode: 0o600 })
      // No fsync: a file that a crash cut short fails its checksum, and is made again.
      await rename(draft, join(directory, name))
      noteFile(await this.#filesByFunction(), name)
    })
  }

  /** Removes the caches of versions that `keep` refuses; `of`: only this function's are looked at. */
  retire(
    keep: (version: { namespace: string; name: string; version: number }) => boolean,
    of?: { namespace: string; name: string },
  ): void {
    this.#inTurn(async () => {
      const files = await this.#filesByFunction()
      const only = of === undefined ? null : `${of.namespace}.${of.name}`
      for (const key of only === null ? [...files.keys()] : [only]) {
        for (const file of files.get(key) ?? []) {
          const [namespace = '', name = '', version = ''] = file.split('.')
          if (!file.endsWith('.tmp') && keep({ namespace, name, version: Number(version) })) continue
          this.#known.delete(file)
          files.get(key)?.delete(file)
          await rm(join(this.#options.directory, file), { force: true })
        }
        if (files.get(key)?.size === 0) files.delete(key)
      }
    })
  }

  /** Waits for what is being written. */
  async close(): Promise<void> {
    await this.#last
  }

  async #filesByFunction(): Promise<Map<string, Set<string>>> {
    if (this.#files !== null) return this.#files
    const files = new Map<string, Set<string>>()
    for (const file of await readdir(this.#options.directory).catch(() => [])) noteFile(files, file)
    this.#files = files
    return files
  }

  async #read(version: FunctionVersion, name: string): Promise<Buffer | null> {
    try {
      const file = await readFile(join(this.#options.directory, name))
      const cache = file.subarray(CHECKSUM_BYTES)
      return this.#checksum(version, cache).equals(file.subarray(0, CHECKSUM_BYTES)) ? cache : null
    } catch {
      return null
    }
  }

  /** Of the bytes and of all that makes them usable: another Node's cache has another checksum. */
  #checksum(version: FunctionVersion, cache: Buffer): Buffer {
    const key = `${REVISION}\n${this.#options.engine}\n${keyOf(version)}\n`
    return createHash('sha256').update(key).update(cache).digest()
  }

  #remember(name: string, cache: Buffer | null): void {
    this.#known.delete(name)
    this.#known.set(name, cache)
    let bytes = 0
    for (const [key, one] of [...this.#known].reverse()) {
      bytes += one?.length ?? 0
      if (bytes > KEPT_IN_MEMORY_BYTES) this.#known.delete(key)
    }
  }

  #inTurn(work: () => Promise<void>): void {
    this.#last = this.#last.then(work).catch((error) => {
      this.#options.logger.warn({ error: messageOf(error) }, 'code caches could not be written')
    })
  }
}

/** The image's digest stands for its source: the same name and version may come again with another one. */
function keyOf({ namespace, name, version, image }: FunctionVersion): string {
  return `${namespace}/${name}@${version}#${image}`
}

function noteFile(files: Map<string, Set<string>>, file: string): void {
  const key = file.split('.', 2).join('.')
  const known = files.get(key) ?? new Set<string>()
  known.add(file)
  files.set(key, known)
}

/** Namespace, name and version can be read off it: names are DNS labels, without dots. */
function fileName(version: FunctionVersion): string {
  const digest = createHash('sha256').update(keyOf(version)).digest('hex').slice(0, 16)
  return `${version.namespace}.${version.name}.${version.version}.${digest}`
}
