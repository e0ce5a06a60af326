// A decoded source map as flat arrays (16 bytes a segment), so that it costs nothing to hand it from thread to thread and a look-up is
// a binary search. Does not decode; decode-map.ts does.

/** What a look-up gives: numbers count from 1, as in stacks. */
export interface OriginalPosition {
  readonly source: string
  readonly line: number
  readonly column: number
}

/** Of segments without a source. */
export const NO_SOURCE = 0xffffffff

/** Segments in order of the generated line and column; `starts[line]` is the first segment of a line, and has one entry more than lines. */
export interface DecodedMap {
  readonly sources: readonly (string | null)[]
  readonly starts: Uint32Array
  readonly generatedColumns: Uint32Array
  readonly sourceIndexes: Uint32Array
  readonly lines: Uint32Array
  readonly columns: Uint32Array
}

/** What it takes in memory, about. */
export function bytesOf(map: DecodedMap): number {
  let bytes = map.starts.byteLength + 4 * map.generatedColumns.byteLength
  for (const source of map.sources) bytes += 32 + 2 * (source?.length ?? 0)
  return bytes
}

/** The segment at or before a position (both numbers from 1) on the same line; null where the map knows nothing. */
export function positionIn(map: DecodedMap, line: number, column: number): OriginalPosition | null {
  const { starts, generatedColumns, sourceIndexes, sources } = map
  if (!(line >= 1 && line < starts.length && column >= 1)) return null
  let low = starts[line - 1]!
  let high = starts[line]!
  while (low < high) {
    const middle = (low + high) >>> 1
    if (generatedColumns[middle]! < column) low = middle + 1
    else high = middle
  }
  const found = low - 1
  if (found < starts[line - 1]!) return null
  const source = sources[sourceIndexes[found]!]
  if (source === undefined || source === null) return null
  return { source, line: map.lines[found]! + 1, column: map.columns[found]! + 1 }
}
