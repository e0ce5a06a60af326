// Which images there are and which blobs each has: OCI's index.json, with a log of what changed since (text-map-file.ts). A stopped
// store leaves index.json whole; while one runs, the newest images may only be in the log.
import { RuntimeError } from '../errors.ts'
import { type TextChange, TextMapFile, type TextMapForm } from '../host/text-map-file.ts'
import { type Blob, type Descriptor, EMPTY_INDEX, MANIFEST_TYPE, parseIndex, parseManifest } from './manifest.ts'

/** Annotations of an entry: digests of its blobs, itself included, so that counting their uses reads no manifest, and what each takes on
 *  the disk, in the same order. */
const BLOBS = 'thaw.blobs'
const BYTES = 'thaw.bytes'
/** Annotation of the index: the first log that belongs to it. */
const LOG = 'thaw.log'

interface Entry extends Descriptor {
  readonly annotations?: Readonly<Record<string, string>>
}

/** A blob with what was unpacked of it. */
export interface StoredBlob extends Blob {
  readonly unpackedBytes?: number
}

/** What a blob takes on the disk, with what was unpacked of it. */
export interface DiskBytes {
  readonly blob: string
  readonly bytes: number
}

export class ImageIndex {
  readonly #entries = new Map<string, Entry>()
  /** How many images have a blob. */
  readonly #uses = new Map<string, number>()
  readonly #annotations: Record<string, string>
  readonly #readManifest: (digest: string) => Promise<string>
  #file: TextMapFile | null = null
  #epoch = 0
  /** Entries of an earlier release, whose blobs only their manifests tell. */
  #uncounted: Entry[] = []

  private constructor(annotations: Record<string, string>, readManifest: (digest: string) => Promise<string>) {
    this.#annotations = annotations
    this.#readManifest = readManifest
  }

  /** Throws RuntimeError `IMAGE_CORRUPT`. */
  static async open(path: string, readManifest: (digest: string) => Promise<string>): Promise<ImageIndex> {
    const annotations: Record<string, string> = {}
    const index = new ImageIndex(annotations, readManifest)
    const { file, found } = await TextMapFile.open({
      path,
      form: formOf(annotations),
      texts: () => index.#texts(),
      // The log holds what the whole does not: the next change tries again.
      warn: () => {},
    })
    index.#file = file
    index.#epoch = found?.epoch ?? 0
    if (found === null) await file.rewrite(0)
    for (const [digest, text] of found?.texts ?? []) {
      const entry = JSON.parse(text) as Entry
      index.#entries.set(digest, entry)
      if (entry.annotations?.[BYTES] === undefined) index.#uncounted.push(entry)
      else index.#count(entry, 1)
    }
    return index
  }

  get annotations(): Readonly<Record<string, string>> {
    return this.#annotations
  }

  has(digest: string): boolean {
    return this.#entries.has(digest)
  }

  /** What an image takes on the disk, by blob; empty for one that is not here, or that an earlier release put here before `known`. */
  bytesOf(digest: string): readonly DiskBytes[] {
    const { annotations } = this.#entries.get(digest) ?? {}
    const bytes = annotations?.[BYTES]?.split(' ') ?? []
    return (annotations?.[BLOBS]?.split(' ') ?? []).map((blob, at) => ({ blob, bytes: Number(bytes[at] ?? 0) }))
  }

  digests(): string[] {
    return [...this.#entries.keys()]
  }

  /** Whether an image has the blob. Only after `known`. */
  isUsed(blob: string): boolean {
    return this.#uses.has(blob)
  }

  /** Resolves when the blobs of all images are known: reads the manifests of those an earlier release put here. */
  async known(): Promise<void> {
    const uncounted = this.#uncounted
    this.#uncounted = []
    for (const [at, entry] of uncounted.entries()) {
      try {
        const manifest = parseManifest(await this.#readManifest(entry.digest))
        const blobs = [entry, manifest.config, ...manifest.layers]
        const counted = { ...entry, annotations: { ...entry.annotations, ...annotationsOf(blobs) } }
        this.#entries.set(entry.digest, counted)
        this.#count(counted, 1)
      } catch (error) {
        this.#uncounted = uncounted.slice(at)
        throw error
      }
    }
  }

  /** `blobs`: all its blobs, its manifest included. Throws RuntimeError `DISK_FULL`. */
  async add({ digest, size }: Blob, blobs: readonly StoredBlob[]): Promise<void> {
    if (this.has(digest)) return
    const annotations = annotationsOf(blobs)
    const entry: Entry = { mediaType: MANIFEST_TYPE, digest, size, annotations }
    // ORDER: what is written as a whole is read from here, so it is here first.
    this.#put(entry)
    await this.#write([[digest, JSON.stringify(entry)]], () => this.#drop(entry))
  }

  /** Answers the blobs that no image has any more. Throws RuntimeError `DISK_FULL` | `IMAGE_CORRUPT`. */
  async remove(digests: readonly string[]): Promise<string[]> {
    await this.known()
    const entries = [...new Set(digests)].flatMap((digest) => this.#entries.get(digest) ?? [])
    if (entries.length === 0) return []
    for (const entry of entries) this.#drop(entry)
    await this.#write(
      entries.map(({ digest }) => [digest, null]),
      () => entries.forEach((entry) => void this.#put(entry)),
    )
    return [...new Set(entries.flatMap(blobsOf))].filter((blob) => !this.isUsed(blob))
  }

  async forgetAnnotation(key: string): Promise<void> {
    if (this.#annotations[key] === undefined) return
    delete this.#annotations[key]
    await this.#file?.rewrite(this.#epoch)
  }

  async close(): Promise<void> {
    await this.#file?.close()
  }

  async #write(changes: readonly TextChange[], undo: () => void): Promise<void> {
    try {
      await this.#file?.append(++this.#epoch, changes)
    } catch (error) {
      undo()
      throw error
    }
  }

  #put(entry: Entry): void {
    this.#entries.set(entry.digest, entry)
    this.#count(entry, 1)
  }

  #drop(entry: Entry): void {
    this.#entries.delete(entry.digest)
    this.#count(entry, -1)
  }

  #count(entry: Entry, by: 1 | -1): void {
    for (const blob of blobsOf(entry)) {
      const uses = (this.#uses.get(blob) ?? 0) + by
      if (uses > 0) this.#uses.set(blob, uses)
      else this.#uses.delete(blob)
    }
  }

  *#texts(): Generator<[string, string]> {
    for (const [digest, entry] of this.#entries) yield [digest, JSON.stringify(entry)]
  }
}

function blobsOf({ annotations }: Entry): string[] {
  return annotations?.[BLOBS]?.split(' ') ?? []
}

function annotationsOf(blobs: readonly StoredBlob[]): Record<string, string> {
  const each = [...new Map(blobs.map((blob) => [blob.digest, blob])).values()]
  return {
    [BLOBS]: each.map(({ digest }) => digest).join(' '),
    [BYTES]: each.map(({ size, unpackedBytes = 0 }) => size + unpackedBytes).join(' '),
  }
}

/** `annotations`: of the index; filled by `parse`, read by `render`. */
function formOf(annotations: Record<string, string>): TextMapForm {
  return {
    parse(text) {
      const index = parseIndex(text)
      const { [LOG]: log, ...others } = index.annotations
      Object.assign(annotations, others)
      const isEntry = (entry: Entry) => typeof entry?.digest === 'string'
      if (!index.manifests.every(isEntry)) throw new RuntimeError('IMAGE_CORRUPT', 'index.json names no digest')
      const texts = new Map(index.manifests.map((entry) => [entry.digest, JSON.stringify(entry)]))
      return { epoch: 0, texts, firstLog: log === undefined ? null : Number(log) }
    },
    *render(_epoch, firstLog, texts) {
      const { mediaType, schemaVersion } = EMPTY_INDEX
      yield `{"annotations":${JSON.stringify({ ...annotations, [LOG]: String(firstLog) })},"manifests":[`
      let separator = ''
      for (const [, text] of texts) {
        yield separator + text
        separator = ','
      }
      yield `],"mediaType":${JSON.stringify(mediaType)},"schemaVersion":${schemaVersion}}\n`
    },
  }
}
