// Unpacks a tar of untrusted origin into a folder: nothing outside it, nothing but folders, files and links within it,
// all of it world-readable and root's. Runs in the layer thread: its file calls are synchronous on purpose.
import {
  chmodSync,
  closeSync,
  copyFileSync,
  createReadStream,
  lstatSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
  writeSync,
} from 'node:fs'
import { constants } from 'node:os'
import { join, posix } from 'node:path'
import { Readable } from 'node:stream'
import { createTarDecoder, type ParsedTarEntry } from 'modern-tar'
import { RuntimeError } from '../errors.ts'

export interface ExtractOptions {
  /** Folders that members must lie at or below, and where each comes to lie in the target: `node_modules` → `code/node_modules`. */
  readonly roots: ReadonlyMap<string, string>
  readonly maxBytes: number
  readonly maxMembers: number
  /** More is refused as by a disk that is full (ENOSPC); default any. */
  readonly roomBytes?: number
}

/** Unpacks `tarPath` into the existing folder `target`. Throws RuntimeError `IMAGE_INVALID` naming the member at fault. */
export async function extractTar(tarPath: string, target: string, options: ExtractOptions): Promise<void> {
  const source = createReadStream(tarPath)
  const entries = (Readable.toWeb(source) as ReadableStream<Uint8Array>).pipeThrough(createTarDecoder({ strict: true }))
  const extraction = new Extraction(target, options)
  try {
    for await (const entry of entries as unknown as AsyncIterable<ParsedTarEntry>) await extraction.add(entry)
  } catch (error) {
    if (error instanceof RuntimeError || isSystemError(error)) throw error
    throw new RuntimeError('IMAGE_INVALID', `the add-on archive cannot be read: ${(error as Error).message}`, {
      cause: error,
    })
  } finally {
    source.destroy()
  }
}

class Extraction {
  readonly #target: string
  readonly #options: ExtractOptions
  #bytes = 0
  #members = 0

  constructor(target: string, options: ExtractOptions) {
    this.#target = target
    this.#options = options
  }

  async add(entry: ParsedTarEntry): Promise<void> {
    const { name, type = 'file', linkname = '', mode = 0o644, size } = entry.header
    if (type === 'pax-global-header') return entry.body.cancel()
    this.#members++
    this.#bytes += size
    if (this.#members > this.#options.maxMembers) throw invalid(name, `more than ${this.#options.maxMembers} members`)
    this.#expectBytes(name)
    const path = this.#place(name)
    if (type === 'directory') {
      this.#makeFolder(path)
      return entry.body.cancel()
    }
    this.#makeFolder(posix.dirname(path))
    const file = join(this.#target, path)
    this.#removeOld(file, name)
    if (type === 'file') return writeBody(entry, file, (mode & 0o111) === 0 ? 0o644 : 0o755)
    if (type === 'symlink') this.#makeSymlink(path, linkname, name)
    else if (type === 'link') this.#copyLinked(this.#place(linkname), file, name)
    else throw invalid(name, `a ${type} is not allowed`)
    return entry.body.cancel()
  }

  #expectBytes(name: string): void {
    const { maxBytes, roomBytes = maxBytes } = this.#options
    if (this.#bytes > maxBytes) throw invalid(name, `more than ${maxBytes} bytes unpacked`)
    if (this.#bytes <= roomBytes) return
    throw Object.assign(new Error(`no room for ${name}`), { code: 'ENOSPC', errno: -constants.errno.ENOSPC })
  }

  /** Path of a member below the target. Dot segments and absolute names are refused, not repaired. */
  #place(name: string): string {
    const plain = name.replace(/^(\.\/)+/, '').replace(/\/+$/, '')
    const parts = plain.split('/')
    if (plain.includes('\0') || parts.some((part) => part === '' || part === '.' || part === '..')) {
      throw invalid(name, 'not a plain relative path')
    }
    const root = parts[0]!
    const place = this.#options.roots.get(root)
    if (place !== undefined) return `${place}${plain.slice(root.length)}`
    throw invalid(name, `not below ${[...this.#options.roots.keys()].join('/ or ')}/`)
  }

  /** SECURITY: checked one by one and never through a symbolic link, or a link made before could lead outside. */
  #makeFolder(path: string): void {
    let folder = this.#target
    for (const part of path === '.' ? [] : path.split('/')) {
      folder = join(folder, part)
      const kind = kindOf(folder)
      if (kind === 'folder') continue
      if (kind !== null) throw invalid(path, `${part} is a ${kind}, not a folder`)
      mkdirSync(folder)
      chmodSync(folder, 0o755)
    }
  }

  #removeOld(file: string, name: string): void {
    const kind = kindOf(file)
    if (kind === 'folder') throw invalid(name, 'a folder of that name is there already')
    if (kind !== null) rmSync(file)
  }

  #makeSymlink(path: string, linkname: string, name: string): void {
    const pointsTo = posix.normalize(posix.join(posix.dirname(path), linkname))
    const within = this.#leadsWithin(name, pointsTo)
    if (linkname === '' || linkname.startsWith('/') || linkname.includes('\0') || !within) {
      throw invalid(name, `a symbolic link to ${JSON.stringify(linkname)} leads out of the layer`)
    }
    symlinkSync(linkname, join(this.#target, path))
  }

  /** What a link points at lies below the same root as the link. */
  #leadsWithin(name: string, pointsTo: string): boolean {
    const place = this.#options.roots.get(name.replace(/^(\.\/)+/, '').split('/')[0]!)
    return place !== undefined && (pointsTo === place || pointsTo.startsWith(`${place}/`))
  }

  /** A hard link becomes a copy: the layer's bytes then do not depend on which name came first. */
  #copyLinked(source: string, file: string, name: string): void {
    this.#expectPlainParents(source, name)
    const from = join(this.#target, source)
    if (kindOf(from) !== 'file') throw invalid(name, 'a hard link to something that is no earlier file of the archive')
    this.#bytes += lstatSync(from).size
    this.#expectBytes(name)
    copyFileSync(from, file)
    chmodSync(file, lstatSync(from).mode & 0o777)
  }

  #expectPlainParents(path: string, name: string): void {
    let folder = this.#target
    for (const part of posix.dirname(path).split('/')) {
      folder = join(folder, part)
      if (kindOf(folder) !== 'folder') throw invalid(name, 'a hard link through something that is no folder')
    }
  }
}

type Kind = 'folder' | 'file' | 'symbolic link' | 'special file'

function kindOf(path: string): Kind | null {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return null
  if (stat.isDirectory()) return 'folder'
  if (stat.isFile()) return 'file'
  return stat.isSymbolicLink() ? 'symbolic link' : 'special file'
}

async function writeBody(entry: ParsedTarEntry, file: string, mode: number): Promise<void> {
  const fd = openSync(file, 'wx', mode)
  try {
    for await (const chunk of entry.body as unknown as AsyncIterable<Uint8Array>) {
      for (let offset = 0; offset < chunk.length; ) offset += writeSync(fd, chunk, offset)
    }
  } finally {
    closeSync(fd)
  }
  chmodSync(file, mode)
}

function isSystemError(error: unknown): boolean {
  return typeof (error as NodeJS.ErrnoException | null)?.errno === 'number'
}

function invalid(name: string, why: string): RuntimeError {
  return new RuntimeError('IMAGE_INVALID', `add-on archive member ${JSON.stringify(name)}: ${why}`)
}
