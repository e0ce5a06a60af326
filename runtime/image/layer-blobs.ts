// Layers as blobs: packing code and add-ons into tars whose bytes depend on their content alone, storing them under their
// digest, and reading them back with the digest checked. Runs in the layer thread (layer-thread.ts starts it).
import { createHash } from 'node:crypto'
import {
  createReadStream,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
} from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createTarPacker, packTar, type TarHeader, unpackTar } from 'modern-tar'
import { RuntimeError } from '../errors.ts'
import { draftName, syncFolder } from '../host/durable-file.ts'
import { extractTar } from './extract.ts'
import type { StoredBlob } from './image-index.ts'
import { type Blob, digestOf, hexOf } from './manifest.ts'

/** Where things lie. */
export interface LayerFolders {
  /** `blobs/sha256` of the layout. */
  readonly blobs: string
  /** Unpacked layers, by the hex of their digest. */
  readonly layers: string
}

const ADDON_MAX_BYTES = 1024 ** 3
const ADDON_MAX_MEMBERS = 100_000
const ADDON_ROOTS = new Map([
  ['node_modules', 'code/node_modules'],
  ['files', 'code'],
])
const LAYER_ROOTS = new Map([['code', 'code']])
const CODE_FILE = 'code/handler.cjs'
const MAP_FILE = 'code/handler.cjs.map'
const EPOCH = new Date(0)
const BLOCK_BYTES = 512
/** A disk has one inode for so many bytes (mke2fs): small files use it up by their number. */
const INODE_BYTES = 16 * 1024

/** Stores a bundle and its map as the code layer. */
export async function storeCode(folders: LayerFolders, source: Uint8Array, map: Uint8Array | null): Promise<Blob> {
  const file = (name: string, body: Uint8Array) => ({ header: fileHeader(name, body.length, 0o644), body })
  const entries = [
    { header: folderHeader('code/') },
    file(CODE_FILE, source),
    ...(map === null ? [] : [file(MAP_FILE, map)]),
  ]
  const tar = Buffer.from((await packTar(entries)).buffer)
  return writeBlob(folders, async (file) => {
    await file.writeFile(tar)
    return { digest: digestOf(tar), size: tar.length }
  })
}

/** Reads a code layer back. Throws RuntimeError `IMAGE_CORRUPT`. */
export async function loadCode(
  folders: LayerFolders,
  digest: string,
): Promise<{ source: Uint8Array; map: Uint8Array | null }> {
  const path = join(folders.blobs, hexOf(digest))
  expectBlob(digest, path)
  const tar = readFileSync(path)
  expectDigest(digest, digestOf(tar))
  const files = new Map((await unpackTar(tar)).map((entry) => [entry.header.name, entry.data]))
  const source = files.get(CODE_FILE)
  if (source === undefined) throw new RuntimeError('IMAGE_CORRUPT', `code layer ${digest} holds no ${CODE_FILE}`)
  return { source, map: files.get(MAP_FILE) ?? null }
}

/** Takes a tar of `node_modules/…` and `files/…`, checks and normalises it, stores it as a layer at `/code/node_modules` and
 *  `/code`, and leaves it unpacked; it may unpack to `roomBytes`. Throws RuntimeError `IMAGE_INVALID`, ENOSPC. */
export async function storeAddOn(folders: LayerFolders, tarPath: string, roomBytes: number): Promise<StoredBlob> {
  const draft = makeDraft(folders)
  try {
    await extractTar(tarPath, draft, {
      roots: ADDON_ROOTS,
      maxBytes: ADDON_MAX_BYTES,
      maxMembers: ADDON_MAX_MEMBERS,
      roomBytes,
    })
    const unpacked = { bytes: 0 }
    const blob = await writeBlob(folders, (file) => packFolder(draft, file, unpacked))
    keepDraft(draft, join(folders.layers, hexOf(blob.digest)))
    return { ...blob, unpackedBytes: unpacked.bytes }
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
}

/** Unpacks an add-on layer unless it is. Throws RuntimeError `IMAGE_CORRUPT`. */
export async function unpackLayer(folders: LayerFolders, digest: string): Promise<void> {
  const target = join(folders.layers, hexOf(digest))
  const blob = join(folders.blobs, hexOf(digest))
  if (existsSync(target)) return
  expectBlob(digest, blob)
  expectDigest(digest, await hashFile(blob))
  const draft = makeDraft(folders)
  try {
    const limits = { maxBytes: ADDON_MAX_BYTES, maxMembers: ADDON_MAX_MEMBERS }
    await extractTar(blob, draft, { roots: LAYER_ROOTS, ...limits })
    keepDraft(draft, target)
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
}

function makeDraft(folders: LayerFolders): string {
  const draft = draftName(join(folders.layers, 'add-on'))
  mkdirSync(draft, { mode: 0o755 })
  return draft
}

/** The other layer thread may have been faster: the same digest is the same content. */
function keepDraft(draft: string, target: string): void {
  try {
    if (!existsSync(target)) renameSync(draft, target)
  } catch (error) {
    if (!existsSync(target)) throw error
  }
}

/** Writes a blob under the name its content gives it: temporary file, fsync, rename, fsync of the folder. */
async function writeBlob(folders: LayerFolders, write: (file: FileHandle) => Promise<Blob>): Promise<Blob> {
  const draft = draftName(join(folders.blobs, 'blob'))
  try {
    const file = await open(draft, 'wx', 0o600)
    let blob: Blob
    try {
      blob = await write(file)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(draft, join(folders.blobs, hexOf(blob.digest)))
    await syncFolder(folders.blobs)
    return blob
  } finally {
    await rm(draft, { force: true })
  }
}

/** Packs a folder in the order of its names, without times or owners. Adds to `unpacked` what it takes on the disk. */
async function packFolder(root: string, file: FileHandle, unpacked: { bytes: number }): Promise<Blob> {
  const { readable, controller } = createTarPacker()
  const feeding = feed(root, controller, unpacked)
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of readable as unknown as AsyncIterable<Uint8Array>) {
    hash.update(chunk)
    size += chunk.length
    await file.writeFile(chunk)
  }
  await feeding
  return { digest: `sha256:${hash.digest('hex')}`, size }
}

async function feed(
  root: string,
  controller: ReturnType<typeof createTarPacker>['controller'],
  unpacked: { bytes: number },
): Promise<void> {
  try {
    for (const name of walk(root, '')) {
      const path = join(root, name)
      const stat = lstatSync(path)
      unpacked.bytes += Math.max(stat.blocks * BLOCK_BYTES, INODE_BYTES)
      if (stat.isDirectory()) await controller.add(folderHeader(`${name}/`)).close()
      else if (stat.isSymbolicLink()) await controller.add(linkHeader(name, readlinkSync(path))).close()
      else await feedFile(path, controller.add(fileHeader(name, stat.size, stat.mode & 0o777)))
    }
    controller.finalize()
  } catch (error) {
    controller.error(error)
  }
}

async function feedFile(path: string, body: WritableStream<Uint8Array>): Promise<void> {
  const writer = body.getWriter()
  for await (const chunk of createReadStream(path)) await writer.write(chunk as Uint8Array)
  await writer.close()
}

/** Names below a folder, parents first, sorted by their bytes. */
function* walk(root: string, below: string): Generator<string> {
  const entries = readdirSync(join(root, below), { withFileTypes: true })
  for (const entry of entries.toSorted((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)))) {
    const name = below === '' ? entry.name : `${below}/${entry.name}`
    yield name
    if (entry.isDirectory()) yield* walk(root, name)
  }
}

function fileHeader(name: string, size: number, mode: number): TarHeader {
  return { name, size, mode, type: 'file', mtime: EPOCH, uid: 0, gid: 0, uname: '', gname: '' }
}

function folderHeader(name: string): TarHeader {
  return { ...fileHeader(name, 0, 0o755), type: 'directory' }
}

function linkHeader(name: string, linkname: string): TarHeader {
  return { ...fileHeader(name, 0, 0o777), type: 'symlink', linkname }
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array)
  return `sha256:${hash.digest('hex')}`
}

function expectBlob(digest: string, path: string): void {
  if (!existsSync(path)) throw new RuntimeError('IMAGE_CORRUPT', `blob ${digest} is missing`)
}

function expectDigest(expected: string, actual: string): void {
  if (expected !== actual) throw new RuntimeError('IMAGE_CORRUPT', `blob ${expected} has the content of ${actual}`)
}
