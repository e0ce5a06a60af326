// The image store: an OCI image layout on disk (oci-layout, index.json, blobs/sha256), one image per deployed bundle.
// Bytes are packed, hashed and unpacked in layer threads, one for what deploys store and one for what sandboxes start from, so that no
// start waits for a deploy; which blobs belong together: image-index.ts. What a change costs does not depend on how many images there are.
import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { RuntimeError } from '../errors.ts'
import { makeFolder, writeDurable } from '../host/durable-file.ts'
import { exists } from '../host/paths.ts'
import { AdoptedBlobs } from './adopted-blobs.ts'
import type { ImageParts, ImageStore, StoredImage } from './api.ts'
import { type DiskBytes, ImageIndex, type StoredBlob } from './image-index.ts'
import { createLayerThread, type LayerThread } from './layer-thread.ts'
import { type Blob, configJson, digestOf, documentOf, hexOf, manifestJson, parseManifest } from './manifest.ts'

/** The store as the rest of runtime/ sees it. */
export interface LayeredImageStore extends ImageStore {
  /** Folder of an add-on layer, unpacked first where needed. Throws RuntimeError `IMAGE_NOT_FOUND` | `IMAGE_CORRUPT`. */
  layerFolder(digest: string): Promise<string>
  close(): Promise<void>
}

interface ImageFolders {
  readonly blobs: string
  readonly layers: string
  /** Blobs of other stores on their way: outside of `blobs`, where `prune` looks. */
  readonly adopted: string
}

const CACHE_MAX_BYTES = 64 * 1024 ** 2

/** Opens (or begins) the layout in `stateDir`. `leftBytes`: what images may still take of its disk; default any.
 *  Throws RuntimeError `DISK_FULL` | `IMAGE_CORRUPT`. */
export async function openImageStore(
  stateDir: string,
  leftBytes: () => number = () => Number.POSITIVE_INFINITY,
): Promise<LayeredImageStore> {
  const folders = {
    blobs: join(stateDir, 'blobs', 'sha256'),
    layers: join(stateDir, 'layers'),
    adopted: join(stateDir, 'blobs', 'adopted'),
  }
  await rm(folders.adopted, { recursive: true, force: true })
  await makeFolder(folders.blobs, 0o700)
  await makeFolder(folders.layers, 0o700)
  for (const name of await readdir(folders.blobs)) {
    if (name.endsWith('.tmp')) await rm(join(folders.blobs, name), { force: true })
  }
  const layoutFile = join(stateDir, 'oci-layout')
  if (!(await exists(layoutFile))) await writeDurable(layoutFile, '{"imageLayoutVersion":"1.0.0"}\n')
  const index = await ImageIndex.open(join(stateDir, 'index.json'), (digest) => readBlob(folders.blobs, digest))
  return new DiskImageStore(folders, index, leftBytes)
}

class DiskImageStore implements LayeredImageStore {
  readonly #folders: ImageFolders
  readonly #index: ImageIndex
  /** For deploys: an add-on of many files takes it for seconds. */
  readonly #storing: LayerThread
  /** For starts. */
  readonly #reading: LayerThread
  readonly #cache = new Map<string, StoredImage>()
  /** Changes happen one after another. */
  #last: Promise<unknown> = Promise.resolve()

  readonly leftBytes: () => number

  constructor(folders: ImageFolders, index: ImageIndex, leftBytes: () => number) {
    this.#folders = folders
    this.leftBytes = leftBytes
    this.#index = index
    this.#storing = createLayerThread(folders)
    this.#reading = createLayerThread(folders)
    // What images of an earlier release take. One that cannot be read is asked for again by who needs it.
    this.#inTurn(() => this.#index.known()).catch(() => {})
  }

  put(parts: ImageParts): Promise<{ readonly digest: string }> {
    return this.#inTurn(async () => {
      // Somebody may have removed it under a running platform.
      await makeFolder(this.#folders.blobs, 0o700)
      const written: StoredBlob[] = []
      try {
        return await this.#put(parts, written)
      } catch (error) {
        // A full disk is not helped by half an image.
        const isKnown = await this.#index.known().then(
          () => true,
          () => false,
        )
        if (isKnown)
          await this.#removeBlobs(written.map(({ digest }) => digest).filter((blob) => !this.#index.isUsed(blob)))
        throw error
      }
    })
  }

  /** Names in `written` the blobs it has stored so far. */
  async #put(parts: ImageParts, written: StoredBlob[]): Promise<{ readonly digest: string }> {
    const stored = (blob: StoredBlob): Blob => {
      written.push(blob)
      return blob
    }
    const layers: Blob[] = []
    const { source, sourceMap, addonTar: tarPath } = parts
    const roomBytes = this.leftBytes() - source.length - (sourceMap?.length ?? 0)
    if (roomBytes < 0)
      throw new RuntimeError('DISK_FULL', "no room for an image: what is free of the state directory's disk is kept")
    // It lies there twice: packed and unpacked.
    if (tarPath !== null)
      layers.push(stored(await this.#storing.ask({ kind: 'store-add-on', tarPath, roomBytes: roomBytes / 2 })))
    layers.push(stored(await this.#storing.ask({ kind: 'store-code', source: parts.source, map: parts.sourceMap })))
    const config = stored(await this.#writeJson(configJson(layers, parts.config)))
    const manifest = stored(await this.#writeJson(manifestJson(config, layers)))
    await this.#index.add(manifest, written)
    return { digest: manifest.digest }
  }

  async get(digest: string): Promise<StoredImage> {
    const cached = this.#cache.get(digest)
    if (cached) {
      this.#remember(digest, cached)
      return cached
    }
    if (!this.has(digest)) throw new RuntimeError('IMAGE_NOT_FOUND', `no image ${digest} in this state directory`)
    const manifest = parseManifest(await this.#readJson(digest))
    const config = documentOf(await this.#readJson(manifest.config.digest))
    const layers = manifest.layers.slice(0, -1).map((layer) => layer.digest)
    for (const layer of layers) await this.#reading.ask({ kind: 'unpack-layer', digest: layer })
    const code = await this.#reading.ask({ kind: 'load-code', digest: manifest.layers.at(-1)!.digest })
    const image: StoredImage = {
      digest,
      layers,
      source: toBuffer(code.source),
      sourceMap: code.map === null ? null : toBuffer(code.map),
      config,
    }
    this.#remember(digest, image)
    return image
  }

  has(digest: string): boolean {
    return this.#index.has(digest)
  }

  bytesOf(digest: string): readonly DiskBytes[] {
    return this.#index.bytesOf(digest)
  }

  blobFile(digest: string): string {
    return join(this.#folders.blobs, hexOf(digest))
  }

  async adopt(digest: string, read: (blob: string) => Promise<Readable>): Promise<void> {
    if (this.has(digest)) return
    const adopted = new AdoptedBlobs(this.#folders.adopted, read)
    try {
      // Not in turn: a slow sender holds up nobody else.
      const { digests, bytes } = await adopted.fetchImage(digest, (blob) => exists(this.blobFile(blob)))
      await this.#inTurn(async () => {
        if (this.has(digest)) return
        await makeFolder(this.#folders.blobs, 0o700)
        await adopted.moveTo(this.#folders.blobs)
        // What was here when we asked may have been pruned since.
        for (const blob of digests) {
          if (!(await exists(this.blobFile(blob))))
            throw new RuntimeError('IMAGE_CORRUPT', `blob ${blob} of image ${digest} is gone`)
        }
        await this.#index.add({ digest, size: bytes }, await this.#blobsOf({ digest, size: bytes }))
      })
    } finally {
      await adopted.discard()
    }
  }

  remove(digests: readonly string[]): Promise<void> {
    return this.#inTurn(async () => {
      // ORDER: the index first: a crash in between leaves blobs nobody names, not names without blobs.
      const unused = await this.#index.remove(digests)
      for (const digest of digests) this.#cache.delete(digest)
      await this.#removeBlobs(unused)
    })
  }

  prune(keep: ReadonlySet<string>): Promise<{ readonly removed: number; readonly bytes: number }> {
    return this.#inTurn(async () => {
      await this.#index.known()
      const gone = this.#index.digests().filter((digest) => !keep.has(digest))
      await this.#index.remove(gone)
      for (const digest of gone) this.#cache.delete(digest)
      const isUnused = (name: string) => !this.#index.isUsed(`sha256:${name}`)
      const bytes = await this.#removeBlobs((await readdir(this.#folders.blobs)).filter(isUnused))
      for (const name of await readdir(this.#folders.layers)) {
        if (!/^[0-9a-f]{64}$/.test(name) || !isUnused(name)) continue
        await rm(join(this.#folders.layers, name), { recursive: true, force: true })
      }
      return { removed: gone.length, bytes }
    })
  }

  forgetAnnotation(key: string): Promise<void> {
    return this.#inTurn(() => this.#index.forgetAnnotation(key))
  }

  async readAnnotation(key: string): Promise<string | null> {
    return this.#index.annotations[key] ?? null
  }

  async layerFolder(digest: string): Promise<string> {
    const folder = join(this.#folders.layers, hexOf(digest))
    if (await exists(folder)) return folder
    if (!(await exists(join(this.#folders.blobs, hexOf(digest))))) {
      throw new RuntimeError('IMAGE_NOT_FOUND', `no layer ${digest} in this state directory`)
    }
    await this.#reading.ask({ kind: 'unpack-layer', digest })
    return folder
  }

  async close(): Promise<void> {
    await this.#last
    await this.#index.close()
    await Promise.all([this.#storing.close(), this.#reading.close()])
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(change)
    this.#last = turn.catch(() => {})
    return turn
  }

  async #writeJson(text: string): Promise<Blob> {
    const blob = { digest: digestOf(text), size: Buffer.byteLength(text) }
    const path = join(this.#folders.blobs, hexOf(blob.digest))
    // One that the disk damaged is written anew.
    if ((await readFile(path, 'utf8').catch(() => null)) !== text) await writeDurable(path, text)
    return blob
  }

  #readJson(digest: string): Promise<string> {
    return readBlob(this.#folders.blobs, digest)
  }

  async #blobsOf(image: Blob): Promise<StoredBlob[]> {
    const { config, layers } = parseManifest(await this.#readJson(image.digest))
    return [image, config, ...layers]
  }

  /** By digest or file name; with what was unpacked of them. Answers how many bytes the blobs were. */
  async #removeBlobs(blobs: readonly string[]): Promise<number> {
    let bytes = 0
    for (const blob of blobs) {
      const name = blob.replace(/^sha256:/, '')
      const path = join(this.#folders.blobs, name)
      const size = await stat(path).then(
        (found) => found.size,
        () => 0,
      )
      bytes += size
      await rm(path, { force: true })
      if (/^[0-9a-f]{64}$/.test(name)) await rm(join(this.#folders.layers, name), { recursive: true, force: true })
    }
    return bytes
  }

  /** Least recently used go first. */
  #remember(digest: string, image: StoredImage): void {
    this.#cache.delete(digest)
    this.#cache.set(digest, image)
    let bytes = 0
    for (const [key, one] of [...this.#cache].reverse()) {
      bytes += one.source.length + (one.sourceMap?.length ?? 0)
      if (bytes > CACHE_MAX_BYTES) this.#cache.delete(key)
    }
  }
}

async function readBlob(folder: string, digest: string): Promise<string> {
  let text: string
  try {
    text = await readFile(join(folder, hexOf(digest)), 'utf8')
  } catch (error) {
    throw new RuntimeError('IMAGE_CORRUPT', `blob ${digest} is missing`, { cause: error })
  }
  if (digestOf(text) !== digest) throw new RuntimeError('IMAGE_CORRUPT', `blob ${digest} has other content`)
  return text
}

function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
