// Resolving, comparing, changing and suggesting, without a store.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { asRemoved, withAlias, withVersion } from '../../../../worker/registry/changes.ts'
import {
  canonicalJson,
  findSame,
  loadFunction,
  pickVersion,
  type StoredFunction,
} from '../../../../worker/registry/entries.ts'
import { isDnsLabel } from '../../../../worker/registry/names.ts'
import { didYouMean, editDistance, suggest } from '../../../../worker/registry/suggest.ts'
import { versionOf } from '../../../support/samples.ts'

const NOW = '2030-01-01T00:00:00.000Z'

function stored(images: readonly string[]): StoredFunction {
  let current: StoredFunction | undefined
  for (const image of images) {
    const number = (current?.lastVersion ?? 0) + 1
    current = withVersion(
      current && loadFunction(current),
      { ...versionOf('hello'), version: number, image },
      null,
      NOW,
    ).stored
  }
  return current!
}

describe('weights', () => {
  test('get their exact share of all draws', () => {
    const weights = fc
      .array(fc.integer({ min: 0, max: 100 }), { minLength: 1, maxLength: 4 })
      .map((parts) => [...parts.slice(1), 100 - parts.slice(1).reduce((sum, part) => sum + part, 0)])
      .filter((parts) => parts.every((part) => part >= 0))
    fc.assert(
      fc.property(weights, (parts) => {
        const base = stored(parts.map((_, i) => `sha256:${i}`))
        const target = { weights: Object.fromEntries(parts.map((part, i) => [String(i + 1), part])) }
        const loaded = loadFunction(withAlias(base, 'prod', target, NOW))
        const counts = parts.map(() => 0)
        for (let draw = 0; draw < 100; draw++) counts[pickVersion(loaded, 'prod', (draw + 0.5) / 100).version - 1]!++
        expect(counts).toEqual(parts)
      }),
    )
  })

  test('nothing falls between two of them', () => {
    const loaded = loadFunction(withAlias(stored(['a', 'b', 'c']), 'p', { weights: { 1: 33, 2: 33, 3: 34 } }, NOW))
    expect([0, 0.329_999, 0.33, 0.66, 0.999_999_999].map((draw) => pickVersion(loaded, 'p', draw).version)).toEqual([
      1, 1, 2, 3, 3,
    ])
  })
})

describe('a reference', () => {
  const loaded = loadFunction(stored(['a', 'b']))
  test.each([
    ['3', 'function hello has no version 3; it has 1, 2'],
    ['01', 'function hello has no version 01; it has 1, 2'],
    ['lates', 'function hello has no alias "lates"; did you mean latest?'],
    ['__proto__', 'function hello has no alias "__proto__"'],
  ])('%j that nothing has is not found', (reference, message) => {
    expect(() => pickVersion(loaded, reference, 0)).toThrow(message)
  })
})

describe('content', () => {
  test('is the same whatever the order of its keys', () => {
    const version = versionOf('hello', { env: { A: '1', B: '2' } })
    const { stored: kept } = withVersion(undefined, version, null, NOW)
    const shuffled = Object.fromEntries(Object.entries(version.config).reverse()) as typeof version.config
    expect(findSame(loadFunction(kept), version.image, { ...shuffled, env: { B: '2', A: '1' } })?.version).toBe(1)
    expect(findSame(loadFunction(kept), version.image, { ...version.config, timeoutMs: 1 })).toBeUndefined()
    expect(findSame(loadFunction(kept), 'sha256:other', version.config)).toBeUndefined()
  })

  test('as text keeps lists in order', () => {
    expect(canonicalJson({ b: [2, 1], a: { d: null, c: 1 } })).toBe('{"a":{"c":1,"d":null},"b":[2,1]}')
  })

  test('under a number that is taken meanwhile gets the next one', () => {
    const late = { ...versionOf('hello'), version: 1, image: 'sha256:late' }
    const { version, stored: kept } = withVersion(loadFunction(stored(['a', 'b'])), late, 'prod', NOW)
    expect(version.version).toBe(3)
    expect(kept.aliases).toEqual({ latest: { weights: { 3: 100 } }, prod: { weights: { 3: 100 } } })
  })

  test('of a removed function is gone, its last number is not', () => {
    const gone = asRemoved(stored(['a', 'b']), NOW)
    expect(gone).toMatchObject({ removed: true, lastVersion: 2, versions: [], aliases: {} })
    const again = withVersion(loadFunction(gone), { ...versionOf('hello'), version: 3, image: 'a' }, null, NOW)
    expect(again.version.version).toBe(3)
    expect(again.stored.removed).toBe(false)
  })
})

describe('a suggestion', () => {
  test.each([
    ['helo', 'hello'],
    ['hlelo', 'hello'],
    ['HELLO', 'hello'],
    ['thumbnial', 'thumbnail'],
    ['xyz', null],
    ['a', null],
    ['', null],
    ['x'.repeat(1_000), null],
  ])('for %j is %j', (word, expected) => {
    expect(suggest(word, ['hello', 'thumbnail', 'markdown'])).toBe(expected)
  })

  test('is a whole clause or nothing', () => {
    expect(didYouMean('helo', ['hello'])).toBe('; did you mean hello?')
    expect(didYouMean('xyz', ['hello'])).toBe('')
  })

  test('counts edits as a person would', () => {
    expect([
      editDistance('', 'abc'),
      editDistance('abc', 'abc'),
      editDistance('ab', 'ba'),
      editDistance('cat', 'cut'),
    ]).toEqual([3, 0, 1, 1])
  })
})

describe('a DNS label', () => {
  test.each(['a', '0', 'a-b', 'a'.repeat(63), '1a'])('%j is one', (text) => expect(isDnsLabel(text)).toBe(true))
  test.each(['', '-', 'a-', '-a', 'A', 'a_b', 'a.b', 'a\n', 'é', 'a'.repeat(64)])('%j is none', (text) =>
    expect(isDnsLabel(text)).toBe(false),
  )
})
