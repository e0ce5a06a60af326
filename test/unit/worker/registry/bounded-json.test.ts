import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MOST_JSON_DEPTH, parseBoundedJson } from '../../../../worker/registry/bounded-json.ts'

test('JSON is taken up to a depth, and refused above it before it is parsed', () => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
  expect(parseBoundedJson(nested(MOST_JSON_DEPTH))).toBeInstanceOf(Array)
  expect(() => parseBoundedJson(nested(MOST_JSON_DEPTH + 1))).toThrow(/deeper than 32 levels.*make it flatter/)
  expect(() => parseBoundedJson('{"a":'.repeat(500_000))).toThrow(/deeper than 32 levels/)
  expect(() => parseBoundedJson('{')).toThrow(SyntaxError)
})

test('brackets in texts are no depth, and all other JSON is what JSON.parse makes of it', () => {
  expect(parseBoundedJson(JSON.stringify('[{"\\'.repeat(100)))).toBe('[{"\\'.repeat(100))
  fc.assert(
    fc.property(fc.json({ maxDepth: 8 }), (text) => {
      expect(parseBoundedJson(text)).toEqual(JSON.parse(text))
    }),
  )
})
