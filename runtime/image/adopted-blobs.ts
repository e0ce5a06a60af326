// Blobs of one image on their way from another store: each written to a file of its own, its digest checked, then moved under
// the name it gives. Knows nothing of where they come from.
import { createHash, randomUUID } from 'node:crypto'
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { RuntimeError } from '../errors.ts'
import { diskFull, syncFolder } from '../host/durable-file.ts'
import { hexOf, parseManifest } from './manifest.ts'

const DIGEST = /^sha256:[0-9a-f]{64}$/
/** An image has a manifest, a configuration and few layers. */
const MOST_BLOBS = 64

export class AdoptedBlobs {
  readonly #folder: string
  readonly #read: (blob: string) => Promise<Readable>
  /** Digest → file, of those that are to be moved. */
  readonly #files = new Map<string, string>()

  constructor(parent: string, read: (blob: string) => Promise<Readable>) {
    this.#folder = join(parent, randomUUID())
    this.#read = read
  }

  /** Fetches what is not here yet. Resolves to all blobs of the image, and the size of its manifest. */
  async fetchImage(
    digest: string,
    isHere: (blob: string) => Promise<boolean>,
  ): Promise<{ readonly digests: readonly string[]; readonly bytes: number }> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    // The manifest is asked for even where it is here: a blob without its image in the index proves nothing.
    const manifestFile = await this.#fetch(digest)
    const text = await readFile(manifestFile, 'utf8')
    const manifest = parseManifest(text)
    const parts = [manifest.config.digest, ...manifest.layers.map((layer) => layer.digest)]
    if (parts.length > MOST_BLOBS || !parts.every((part) => DIGEST.test(part)))
      throw new RuntimeError('IMAGE_CORRUPT', `image ${digest} names blobs that cannot be`)
    for (const part of parts) if (!this.#files.has(part) && !(await isHere(part))) await this.#fetch(part)
    return { digests: [digest, ...parts], bytes: Buffer.byteLength(text) }
  }

  /** Under their own names there, on disk when it resolves. */
  async moveTo(folder: string): Promise<void> {
    for (const [digest, file] of this.#files) await rename(file, join(folder, hexOf(digest)))
    this.#files.clear()
    await syncFolder(folder)
  }

  async discard(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true })
  }

  async #fetch(digest: string): Promise<string> {
    const path = join(this.#folder, hexOf(digest))
    const source = await this.#read(digest)
    const hash = createHash('sha256')
    try {
      const file = await open(path, 'w', 0o600)
      try {
        for await (const chunk of source) {
          hash.update(chunk as Buffer)
          await file.writeFile(chunk as Buffer)
        }
        await file.sync()
      } finally {
        await file.close()
      }
    } catch (error) {
      throw diskFull(error, path)
    } finally {
      source.destroy()
    }
    const actual = `sha256:${hash.digest('hex')}`
    if (actual !== digest)
      throw new RuntimeError('IMAGE_CORRUPT', `blob ${digest} arrived with the content of ${actual}`)
    this.#files.set(digest, path)
    return path
  }
}
