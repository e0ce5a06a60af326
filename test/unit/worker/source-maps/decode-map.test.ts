import { readFileSync } from 'node:fs'
import { SourceMap, type SourceMapPayload } from 'node:module'
import { build, transformSync } from 'esbuild'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeMap } from '../../../../worker/source-maps/decode-map.ts'
import { positionIn } from '../../../../worker/source-maps/decoded-map.ts'
import { mapBoundsFor } from '../../../../worker/source-maps/map-bounds.ts'

const bytes = (map: unknown) => Buffer.from(JSON.stringify(map))
const plain = (changes: object = {}) => ({ version: 3, sources: ['a.ts'], names: [], mappings: 'AAAA', ...changes })
const decode = (changes: object = {}, bundleBytes = 1000) => decodeMap(bytes(plain(changes)), bundleBytes)

describe('a position', () => {
  test('is that of the segment at or before it on its line', () => {
    const map = decode({ mappings: 'AAAA,IACA;;EAAE' })
    expect(positionIn(map, 1, 1)).toEqual({ source: 'a.ts', line: 1, column: 1 })
    expect(positionIn(map, 1, 4)).toEqual({ source: 'a.ts', line: 1, column: 1 })
    expect(positionIn(map, 1, 5)).toEqual({ source: 'a.ts', line: 2, column: 1 })
    expect(positionIn(map, 1, 5000)).toEqual({ source: 'a.ts', line: 2, column: 1 })
    expect(positionIn(map, 2, 1)).toBeNull()
    expect(positionIn(map, 3, 1)).toBeNull()
    expect(positionIn(map, 3, 3)).toEqual({ source: 'a.ts', line: 2, column: 3 })
  })

  test('outside of the map is none, however large its numbers', () => {
    const map = decode()
    for (const line of [0, -1, 2, 2 ** 32, 1e300, Number.NaN, Number.POSITIVE_INFINITY])
      expect(positionIn(map, line, 1)).toBeNull()
    for (const column of [0, -5, Number.NaN]) expect(positionIn(map, 1, column)).toBeNull()
    expect(positionIn(map, 1, Number.POSITIVE_INFINITY)).not.toBeNull()
  })

  test('of a segment without a source, or of a source without a name, is none', () => {
    expect(positionIn(decode({ mappings: 'A' }), 1, 1)).toBeNull()
    expect(positionIn(decode({ sources: [null] }), 1, 1)).toBeNull()
  })

  test('is found where the segments of a line are not in order', () => {
    const map = decode({ mappings: 'IAAA,JACA' })
    expect(positionIn(map, 1, 1)?.line).toBe(2)
    expect(positionIn(map, 1, 5)?.line).toBe(1)
  })

  test.each([
    ['src', 'src/a.ts'],
    ['src/', 'src/a.ts'],
    ['', 'a.ts'],
  ])('has its source behind the root %j', (sourceRoot, source) => {
    expect(positionIn(decode({ sourceRoot }), 1, 1)?.source).toBe(source)
  })

  test.each(['/etc/a.ts', 'webpack:///a.ts', 'C:\\a.ts'])(
    'of the absolute source %s has no root before it',
    (source) => {
      expect(positionIn(decode({ sourceRoot: 'src', sources: [source] }), 1, 1)?.source).toBe(source)
    },
  )

  test('has a source in any script, without what ends a line or steers a terminal', () => {
    expect(positionIn(decode({ sources: ['größe/文件 😀.ts'] }), 1, 1)?.source).toBe('größe/文件 😀.ts')
    const hostile = 'a\n{"level":50}\u001b[2J\u2028b\u0000'
    expect(positionIn(decode({ sources: [hostile] }), 1, 1)?.source).not.toMatch(/[\p{Cc}\u2028]/u)
  })

  test('is the same as Node finds, for maps that esbuild writes', () => {
    const text = readFileSync(new URL('../../../../runtime/node/reply.ts', import.meta.url), 'utf8')
    for (const minify of [false, true]) {
      const built = transformSync(text, { loader: 'ts', sourcemap: 'external', sourcefile: 'reply.ts', minify })
      const map = decodeMap(Buffer.from(built.map), built.code.length)
      const node = new SourceMap(JSON.parse(built.map) as SourceMapPayload)
      const lines = built.code.split('\n')
      let compared = 0
      for (const [index, line] of lines.entries()) {
        for (let column = 0; column < line.length; column += 3) {
          const found = positionIn(map, index + 1, column + 1)
          const entry = node.findEntry(index, column)
          // Node looks on the lines before as well.
          if (!('originalSource' in entry) || entry.generatedLine !== index) expect(found).toBeNull()
          else {
            const { originalSource: source, originalLine, originalColumn } = entry
            expect(found).toEqual({ source, line: originalLine + 1, column: originalColumn + 1 })
            compared++
          }
        }
      }
      expect(compared).toBeGreaterThan(1000)
    }
  })
})

describe('an index map', () => {
  const section = (line: number, column: number, source: string, mappings = 'AAAA') => ({
    offset: { line, column },
    map: plain({ sources: [source], mappings }),
  })

  test('has the positions of its sections, each where it begins', () => {
    const map = decodeMap(
      bytes({ version: 3, sections: [section(0, 0, 'a.ts', 'AAAA;AACA;AACA'), section(1, 10, 'b.ts', 'AAAA;AACA')] }),
      1000,
    )
    expect(positionIn(map, 1, 1)?.source).toBe('a.ts')
    expect(positionIn(map, 2, 5)).toEqual({ source: 'a.ts', line: 2, column: 1 })
    expect(positionIn(map, 2, 11)).toEqual({ source: 'b.ts', line: 1, column: 1 })
    expect(positionIn(map, 3, 1)).toEqual({ source: 'b.ts', line: 2, column: 1 })
  })

  test.each([
    ['in another', [{ offset: { line: 0, column: 0 }, map: { version: 3, sections: [] } }]],
    ['out of order', [section(5, 0, 'a.ts'), section(1, 0, 'b.ts')]],
    ['at a line below zero', [section(-1, 0, 'a.ts')]],
    ['at half a column', [section(0, 0.5, 'a.ts')]],
    ['without a map', [{ offset: { line: 0, column: 0 } }]],
    ['that is null', [null]],
  ])('with a section %s is refused', (_what, sections) => {
    expect(() => decodeMap(bytes({ version: 3, sections }), 1000)).toThrow(/source map/)
  })

  test('cannot claim lines that the bundle does not have', () => {
    expect(() => decodeMap(bytes({ version: 3, sections: [section(0x7fffffff, 0, 'a.ts')] }), 1000)).toThrow(
      /lines in mappings; at most 11000 are taken/,
    )
  })
})

describe('a map is refused that', () => {
  test.each([
    ['is no JSON', '{'],
    ['is a list', '[]'],
    ['is null', 'null'],
    ['is nested a million deep', '['.repeat(1_000_000)],
    ['has no version', '{"sources":[],"mappings":""}'],
    ['has sources that are no list', '{"version":3,"sources":{"length":1e9},"mappings":""}'],
    ['has keys of a prototype', '{"version":3,"__proto__":{"sources":["a"],"mappings":"AAAA"}}'],
    ['has a source that is a number', '{"version":3,"sources":[1],"mappings":""}'],
    ['has mappings that are a list', '{"version":3,"sources":[],"mappings":[]}'],
    ['has other characters in its mappings', JSON.stringify(plain({ mappings: 'AA!A' }))],
    ['has a number that does not end', JSON.stringify(plain({ mappings: 'AAAg' }))],
    ['has a number of 100 digits', JSON.stringify(plain({ mappings: 'g'.repeat(100) }))],
    ['has a segment of two numbers', JSON.stringify(plain({ mappings: 'AA' }))],
    ['has a segment of six numbers', JSON.stringify(plain({ mappings: 'AAAAAA' }))],
    ['points to a source that is not there', JSON.stringify(plain({ mappings: 'ACAA' }))],
    ['points before the first line', JSON.stringify(plain({ mappings: 'AADA' }))],
    ['points before the first column', JSON.stringify(plain({ mappings: 'DAAA' }))],
    ['counts lines above 2^31', JSON.stringify(plain({ mappings: 'AA+/////D,AA+/////D' }))],
  ])('%s', (_what, json) => {
    expect(() => decodeMap(Buffer.from(json), 1_000_000)).toThrow(/^the source map .*index\.cjs\.map/)
  })

  const bounds = mapBoundsFor(1000)
  test.each([
    ['bytes', { sourcesContent: ['x'.repeat(bounds.bytes)] }, bounds.bytes],
    ['sources', { sources: Array(bounds.sources + 1).fill('') }, bounds.sources],
    ['names', { names: Array(bounds.names + 1).fill('') }, bounds.names],
    ['bytes in the name of one source', { sources: ['A'.repeat(4097)] }, 4096],
    ['bytes in the name of one source', { names: ['A'.repeat(4097)] }, 4096],
    ['bytes in the name of one source', { sources: ['é'.repeat(2049)] }, 4096],
    ['segments in mappings', { mappings: 'AAAA,'.repeat(bounds.segments + 1) }, bounds.segments],
    ['lines in mappings', { mappings: ';'.repeat(bounds.lines + 1) }, bounds.lines],
  ])('has more %s than its bundle can need: the bound is named', (what, changes, bound) => {
    expect(() => decode(changes)).toThrow(
      new RegExp(`${what}; at most ${bound} are taken.*deploy without index.cjs.map`),
    )
  })

  test('has any bytes in it: it decodes or is refused with a sentence, and nothing else', () => {
    const json = fc.oneof(
      fc.json(),
      fc
        .record({ version: fc.constant(3), sources: fc.array(fc.string()), mappings: fc.string() })
        .map((map) => JSON.stringify(map)),
      fc
        .array(fc.constantFrom('A', 'C', 'D', 'g', '/', ',', ';', 'AAAA'), { maxLength: 60 })
        .map((parts) => JSON.stringify(plain({ mappings: parts.join('') }))),
    )
    fc.assert(
      fc.property(json, fc.nat(50), fc.nat(50), (text, line, column) => {
        try {
          positionIn(decodeMap(Buffer.from(text), 100), line, column)
        } catch (error) {
          expect((error as Error).name).toBe('SourceMapError')
        }
      }),
      { numRuns: 500 },
    )
  })
})

test('maps that our bundler writes for large real programs pass', async () => {
  for (const minify of [false, true]) {
    const result = await build({
      stdin: {
        contents: "import 'bullmq'; import 'fast-check'; import 'hono'; import 'ioredis'; import 'zod'",
        resolveDir: process.cwd(),
      },
      bundle: true,
      platform: 'node',
      format: 'cjs',
      outfile: '/out.cjs',
      write: false,
      sourcemap: 'external',
      sourcesContent: true,
      minify,
      logLevel: 'silent',
    })
    const code = result.outputFiles.find((file) => file.path.endsWith('.cjs'))!.contents
    const map = result.outputFiles.find((file) => file.path.endsWith('.map'))!.contents
    expect(code.length).toBeGreaterThan(300_000)
    expect(decodeMap(map, code.length).generatedColumns.length).toBeGreaterThan(10_000)
  }
})
