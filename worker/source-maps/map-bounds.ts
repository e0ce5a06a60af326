// How large a source map may be, in proportion to the bundle it describes. A deploy brings the map, and the platform decodes
// it: every part has a bound. Pure.

/** Bounds of one map. */
export interface MapBounds {
  readonly bytes: number
  /** Entries of `sources`, and of `names`. */
  readonly sources: number
  readonly names: number
  /** Bytes of one entry of either. */
  readonly nameBytes: number
  /** Segments of `mappings`, and lines: a bundle has no more of either than bytes. */
  readonly segments: number
  readonly lines: number
  /** Parts of an index map. */
  readonly sections: number
}

export type MapBound = keyof MapBounds

const MIB = 1024 ** 2
/** The highest of any map, in a file of an upload as well. */
const MOST_MAP_BYTES = 64 * MIB
const MOST_SEGMENTS = 6_000_000

/** Bounds for the map of a bundle of so many bytes. What esbuild writes has 1 to 2 bytes and a tenth of a segment for each byte of
 *  the bundle; with the text of all sources in it (`sourcesContent`) a map of a minified bundle has some 6 bytes. */
export function mapBoundsFor(bundleBytes: number): MapBounds {
  return {
    bytes: Math.min(MOST_MAP_BYTES, MIB + 8 * bundleBytes),
    sources: Math.min(100_000, 1000 + Math.floor(bundleBytes / 32)),
    names: Math.min(1_000_000, 10_000 + Math.floor(bundleBytes / 4)),
    nameBytes: 4096,
    segments: Math.min(MOST_SEGMENTS, 10_000 + bundleBytes),
    lines: Math.min(MOST_SEGMENTS, 10_000 + bundleBytes),
    sections: 1000,
  }
}

const WHAT: Readonly<Record<MapBound, string>> = {
  bytes: 'bytes',
  sources: 'sources',
  names: 'names',
  nameBytes: 'bytes in the name of one source',
  segments: 'segments in mappings',
  lines: 'lines in mappings',
  sections: 'sections',
}

/** Why a map is not taken. */
export class SourceMapError extends Error {
  readonly code = 'SOURCE_MAP_INVALID'
  constructor(message: string) {
    super(message)
    this.name = 'SourceMapError'
  }
}

/** Throws SourceMapError that names the bound, its value, what came, and the way out. */
export function expectMapBound(bounds: MapBounds, bound: MapBound, value: number): void {
  if (value <= bounds[bound]) return
  throw new SourceMapError(
    `the source map has ${value} ${WHAT[bound]}; at most ${bounds[bound]} are taken for a bundle of this size: ` +
      'build it without the text of its sources (sourcesContent), or deploy without index.cjs.map',
  )
}
