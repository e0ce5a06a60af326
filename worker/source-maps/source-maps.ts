// Decoded source maps of this worker's versions: decoded in a thread of their own when a position occurs, kept up to a bound of bytes.
// A map that cannot be decoded is as good as none.
import type { Clock, Logger } from '../../runtime/api.ts'
import { bytesOf, type DecodedMap } from './decoded-map.ts'
import { expectMapBound, mapBoundsFor, SourceMapError } from './map-bounds.ts'
import { MapThread } from './map-thread.ts'

/** What of an image is read when its map is wanted. */
export interface MappedCode {
  readonly source: Buffer
  readonly sourceMap: Buffer | null
}

/** Which map: of an image, and the namespace whose turn it takes. */
export interface MapKey {
  readonly image: string
  readonly namespace: string
}

export interface SourceMapsOptions {
  readonly clock: Clock
  readonly logger: Logger
  /** Reads the code of an image. */
  readonly codeOf: (image: string) => Promise<MappedCode>
  readonly thread?: Pick<MapThread, 'decode' | 'close'>
  /** What decoded maps may take together. */
  readonly cacheBytes?: number
}

const CACHE_BYTES = 128 * 1024 ** 2
/** Images known to have no map that can be used; each costs its name. */
const MOST_WITHOUT = 10_000
/** How long a text waits for its map: then it stays as it is. */
const WAIT_MS = 3000

export class SourceMaps {
  readonly #options: SourceMapsOptions
  readonly #thread: Pick<MapThread, 'decode' | 'close'>
  /** In order of their last use. */
  readonly #kept = new Map<string, { readonly map: DecodedMap; readonly bytes: number }>()
  readonly #without = new Set<string>()
  readonly #underWay = new Map<string, Promise<DecodedMap | null>>()
  #bytes = 0

  constructor(options: SourceMapsOptions) {
    this.#options = options
    this.#thread = options.thread ?? new MapThread(options.clock)
  }

  /** Bytes of the maps kept. */
  get bytes(): number {
    return this.#bytes
  }

  /** Whether the map of a deploy will do. Rejects with SourceMapError that names bound, value and way out. */
  async check(map: Buffer, bundleBytes: number, namespace: string): Promise<void> {
    // The cheap one first: nothing that is too large is copied to the thread.
    expectMapBound(mapBoundsFor(bundleBytes), 'bytes', map.length)
    await this.#thread.decode(`deploys of ${namespace}`, async () => ({ map, bundleBytes, wanted: false }))
  }

  /** The map, or null when there is none; a promise when it has to be decoded first, which takes at most 3 s and never rejects. */
  get({ image, namespace }: MapKey): DecodedMap | null | Promise<DecodedMap | null> {
    const kept = this.#kept.get(image)
    if (kept !== undefined) {
      // Used last: it goes last.
      this.#kept.delete(image)
      this.#kept.set(image, kept)
      return kept.map
    }
    if (this.#without.has(image)) return null
    let underWay = this.#underWay.get(image)
    if (underWay === undefined) {
      underWay = this.#decode(image, namespace).finally(() => this.#underWay.delete(image))
      this.#underWay.set(image, underWay)
    }
    return this.#inTime(underWay)
  }

  /** What waits for a map gets none. */
  close(): Promise<void> {
    return this.#thread.close()
  }

  async #decode(image: string, namespace: string): Promise<DecodedMap | null> {
    try {
      // Look-ups and deploys of a namespace do not wait for each other.
      const map = await this.#thread.decode(`positions of ${namespace}`, async () => {
        const { source, sourceMap } = await this.#options.codeOf(image)
        if (sourceMap === null) throw new SourceMapError('the image has no source map')
        expectMapBound(mapBoundsFor(source.length), 'bytes', sourceMap.length)
        return { map: sourceMap, bundleBytes: source.length, wanted: true }
      })
      if (map !== null) this.#keep(image, map)
      return map
    } catch (error) {
      // What was full or closing may do later.
      if (error instanceof SourceMapError) {
        if (this.#without.size < MOST_WITHOUT) this.#without.add(image)
        this.#options.logger.info({ image, namespace, reason: error.message }, 'a source map is not used')
      }
      return null
    }
  }

  #keep(image: string, map: DecodedMap): void {
    const bytes = bytesOf(map)
    this.#kept.set(image, { map, bytes })
    this.#bytes += bytes
    for (const [oldest, { bytes: freed }] of this.#kept) {
      if (this.#bytes <= (this.#options.cacheBytes ?? CACHE_BYTES)) break
      this.#kept.delete(oldest)
      this.#bytes -= freed
    }
  }

  #inTime(map: Promise<DecodedMap | null>): Promise<DecodedMap | null> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(WAIT_MS, () => resolve(null))
      void map.then((found) => {
        cancel()
        resolve(found)
      })
    })
  }
}
