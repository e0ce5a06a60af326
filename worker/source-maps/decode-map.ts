// Decodes a source map (ECMA-426, version 3, index maps included) under bounds. Its bytes are hostile: nothing is allocated before it is
// counted. Runs in the map thread; pure.
import { type DecodedMap, NO_SOURCE } from './decoded-map.ts'
import { expectMapBound, type MapBounds, mapBoundsFor, SourceMapError } from './map-bounds.ts'

interface Plain {
  readonly sources: readonly (string | null)[]
  readonly mappings: string
  /** Where its first line and column lie in the bundle, from 0. */
  readonly line: number
  readonly column: number
}

/** The map of a bundle of `bundleBytes`. Throws SourceMapError. */
export function decodeMap(json: Uint8Array, bundleBytes: number): DecodedMap {
  const bounds = mapBoundsFor(bundleBytes)
  expectMapBound(bounds, 'bytes', json.length)
  const parts = partsOf(parse(json), bounds)
  let sources = 0
  let segments = 0
  let lines = 0
  for (const part of parts) {
    const counted = count(part.mappings)
    sources += part.sources.length
    segments += counted.segments
    lines = Math.max(lines, part.line + counted.lines)
  }
  expectMapBound(bounds, 'sources', sources)
  expectMapBound(bounds, 'segments', segments)
  expectMapBound(bounds, 'lines', lines)
  const builder = new Builder(segments, lines)
  for (const [index, part] of parts.entries()) builder.add(part, parts[index + 1] ?? null)
  return builder.finish()
}

function parse(json: Uint8Array): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(json.buffer, json.byteOffset, json.byteLength).toString('utf8'))
  } catch (error) {
    throw invalid(`is not JSON: ${(error as Error).message.slice(0, 200)}`)
  }
  return objectOf(value, 'the source map')
}

/** The map itself, or the parts of an index map in order. */
function partsOf(map: Record<string, unknown>, bounds: MapBounds): Plain[] {
  if (map.version !== 3) throw invalid('is not one of version 3')
  if (map.sections === undefined) return [plainOf(map, 0, 0, bounds)]
  const sections = listOf(map.sections, 'sections')
  expectMapBound(bounds, 'sections', sections.length)
  const parts = sections.map((each) => {
    const section = objectOf(each, 'a section')
    const offset = objectOf(section.offset, 'the offset of a section')
    const inner = objectOf(section.map, 'the map of a section')
    if (inner.sections !== undefined) throw invalid('has sections in a section')
    const [line, column] = [offset.line, offset.column]
    if (!isIndex(line) || !isIndex(column)) throw invalid('has a section whose offset is not two whole numbers')
    return plainOf(inner, line, column, bounds)
  })
  for (const [index, part] of parts.entries()) {
    const before = parts[index - 1]
    if (before !== undefined && (part.line < before.line || (part.line === before.line && part.column < before.column)))
      throw invalid('has sections that are not in order')
  }
  return parts
}

function plainOf(map: Record<string, unknown>, line: number, column: number, bounds: MapBounds): Plain {
  const { mappings, sourceRoot = '', names = [] } = map
  if (typeof mappings !== 'string' || !/^[A-Za-z0-9+/,;]*$/.test(mappings))
    throw invalid('has no mappings, or characters in them that do not belong there')
  const root = typeof sourceRoot === 'string' ? sourceRoot : ''
  const given = listOf(map.sources, 'sources')
  const known = listOf(names, 'names')
  expectMapBound(bounds, 'sources', given.length)
  expectMapBound(bounds, 'names', known.length)
  for (const name of known) expectName(name, bounds)
  expectName(root, bounds)
  const sources = given.map((source) => {
    if (source === null) return null
    expectName(source, bounds)
    return shown(root, source)
  })
  return { sources, mappings, line, column }
}

function expectName(name: unknown, bounds: MapBounds): asserts name is string {
  if (typeof name !== 'string') throw invalid('has a source or a name that is not a text')
  // Below a third no text can be above it in bytes.
  const bytes = name.length * 3 > bounds.nameBytes ? Buffer.byteLength(name) : 0
  expectMapBound(bounds, 'nameBytes', bytes)
}

/** A source as it is printed: behind its root where it is a relative one, and without characters that steer a terminal or end a line. */
function shown(root: string, source: string): string {
  const relative = root !== '' && !/^([a-z][a-z0-9+.-]*:|\/)/i.test(source)
  const whole = relative ? `${root.endsWith('/') ? root : `${root}/`}${source}` : source
  return whole.replace(/[\p{Cc}\u2028\u2029]/gu, '\ufffd')
}

/** From the separators. */
function count(mappings: string): { readonly segments: number; readonly lines: number } {
  let segments = 0
  let lines = 1
  let before = COMMA
  for (let at = 0; at < mappings.length; at++) {
    const code = mappings.charCodeAt(at)
    if (code === SEMICOLON) lines++
    else if (code !== COMMA && (before === COMMA || before === SEMICOLON)) segments++
    before = code
  }
  return { segments, lines }
}

const COMMA = 44
const SEMICOLON = 59
const DIGITS = new Int8Array(128).fill(-1)
for (const [value, char] of [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'].entries())
  DIGITS[char.charCodeAt(0)] = value

/** Puts segments into flat arrays of a size known before. */
class Builder {
  readonly #sources: (string | null)[] = []
  readonly #starts: Uint32Array
  readonly #fields: readonly [Uint32Array, Uint32Array, Uint32Array, Uint32Array]
  #segments = 0
  /** Lines whose start is known. */
  #line = 0
  /** Of the line being filled, whether its columns ascend. */
  #sorted = true

  constructor(segments: number, lines: number) {
    this.#starts = new Uint32Array(lines + 1)
    const field = () => new Uint32Array(segments)
    this.#fields = [field(), field(), field(), field()]
  }

  /** Decodes one part; what lies at or behind the beginning of the next is the next one's. */
  add(part: Plain, next: Plain | null): void {
    const base = this.#sources.length
    for (const source of part.sources) this.#sources.push(source)
    const { mappings } = part
    const values = [0, 0, 0, 0, 0]
    let line = part.line
    values[0] = part.column
    this.#beginLine(line)
    for (let at = 0; at < mappings.length; ) {
      const code = mappings.charCodeAt(at)
      if (code === COMMA || code === SEMICOLON) {
        at++
        if (code === COMMA) continue
        values[0] = 0
        line++
        if (next !== null && line > next.line) return
        this.#beginLine(line)
        continue
      }
      let fields = 0
      while (at < mappings.length && DIGITS[mappings.charCodeAt(at)]! >= 0) {
        if (fields === 5) throw invalid('has a segment of more than five numbers')
        at = readNumber(mappings, at, values, fields++)
      }
      if (fields === 2 || fields === 3) throw invalid(`has a segment of ${fields} numbers`)
      const isNext = next !== null && line === next.line && values[0]! >= next.column
      if (!isNext) this.#push(values, fields, base, part.sources.length)
    }
  }

  finish(): DecodedMap {
    this.#beginLine(this.#starts.length - 1)
    const [generatedColumns, sourceIndexes, lines, columns] = this.#fields.map((field) =>
      field.subarray(0, this.#segments),
    ) as [Uint32Array, Uint32Array, Uint32Array, Uint32Array]
    return { sources: this.#sources, starts: this.#starts, generatedColumns, sourceIndexes, lines, columns }
  }

  #push(values: readonly number[], fields: number, base: number, sources: number): void {
    const [generated, source, line, column] = values as [number, number, number, number]
    if (generated < 0) throw invalid('has a segment before the beginning of its line')
    if (fields > 1 && (source < 0 || source >= sources || line < 0 || column < 0))
      throw invalid('has a segment that points to no source')
    const at = this.#segments++
    if (at > this.#starts[this.#line]! && this.#fields[0][at - 1]! > generated) this.#sorted = false
    this.#fields[0][at] = generated
    this.#fields[1][at] = fields > 1 ? base + source : NO_SOURCE
    this.#fields[2][at] = line
    this.#fields[3][at] = column
  }

  #beginLine(line: number): void {
    if (!this.#sorted) this.#sortLine()
    this.#sorted = true
    while (this.#line < line) this.#starts[++this.#line] = this.#segments
  }

  #sortLine(): void {
    const from = this.#starts[this.#line]!
    const [generated] = this.#fields
    const order = Array.from({ length: this.#segments - from }, (_, index) => from + index)
    order.sort((a, b) => generated[a]! - generated[b]!)
    for (const field of this.#fields)
      field.set(
        order.map((at) => field[at]!),
        from,
      )
  }
}

/** Adds the number in base 64 that begins at `at` to a value; returns where it ends. */
function readNumber(text: string, at: number, values: number[], field: number): number {
  let value = 0
  for (let shift = 0; ; shift += 5) {
    const digit = at < text.length ? DIGITS[text.charCodeAt(at)]! : -1
    // ECMA-426: 32 bits, of which the lowest is the sign.
    if (digit < 0 || shift > 30) throw invalid('has a number in its mappings that does not end, or is too large')
    at++
    value += (digit & 31) * 2 ** shift
    if (digit < 32) break
  }
  const size = Math.floor(value / 2)
  const sum = values[field]! + (value % 2 === 1 ? -size : size)
  if (Math.abs(sum) > 0x7fffffff) throw invalid('has a number in its mappings that is too large')
  values[field] = sum
  return at
}

function isIndex(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0x7fffffff
}

function listOf(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(`has no list of ${what}`)
  return value
}

function objectOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid(`is not valid: ${what} is not an object`)
  return value as Record<string, unknown>
}

function invalid(what: string): SourceMapError {
  return new SourceMapError(`the source map ${what}; deploy without index.cjs.map if it cannot be mended`)
}
