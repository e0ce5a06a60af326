import { transformSync } from 'esbuild'
import { describe, expect, test } from 'vitest'
import { decodeMap } from '../../../../worker/source-maps/decode-map.ts'
import type { DecodedMap } from '../../../../worker/source-maps/decoded-map.ts'
import { SourcePositions } from '../../../../worker/source-maps/source-positions.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

const SOURCE = `// one
type Greeting = { text: string }
export function greet(): Greeting {
  throw new Error('no')
}
`
const KEY = { image: 'sha256:1', namespace: 'default' }
const built = transformSync(SOURCE, { loader: 'ts', sourcemap: 'external', sourcefile: 'hello.ts', format: 'cjs' })
const lines = built.code.split('\n')
const line = lines.findIndex((text) => text.includes('throw')) + 1
const column = lines[line - 1]!.indexOf('new Error') + 1
const position = `/code/hello.js:${line}:${column}`

function positionsOf(map: DecodedMap | null | Promise<DecodedMap | null>, clock = new FakeClock()): SourcePositions {
  return new SourcePositions({ get: () => map }, KEY, clock)
}
const known = (clock?: FakeClock) => positionsOf(decodeMap(Buffer.from(built.map), built.code.length), clock)

describe('positions', () => {
  test('in the bundle become the author’s own', () => {
    expect(known().apply(`Error: no\n    at greet (${position})`)).toBe('Error: no\n    at greet (hello.ts:4:9)')
    expect(known().apply(`see file://${position}, and ${position}`)).toBe('see hello.ts:4:9, and hello.ts:4:9')
  })

  test('elsewhere stay as they are, and no map is asked for', () => {
    const positions = new SourcePositions({ get: () => expect.unreachable() }, KEY, new FakeClock())
    for (const text of ['nothing', 'at /code/node_modules/x/y.js:1:1', 'at node:fs:1:1', '/code/hello.js'])
      expect(positions.apply(text)).toBe(text)
  })

  test('with numbers that no bundle has stay as they are', () => {
    for (const text of ['/code/a.js:99999999999999999999:1', `/code/a.js:1:${'9'.repeat(5000)}`, '/code/a.js:0:0'])
      expect(known().apply(text)).toBe(text)
  })

  test('stay as they are without a map, or with one that cannot be used', async () => {
    expect(new SourcePositions(null, KEY, new FakeClock()).apply(position)).toBe(position)
    expect(positionsOf(null).apply(position)).toBe(position)
    expect(await positionsOf(Promise.resolve(null)).apply(position)).toBe(position)
  })

  test('come later when the map has to be decoded first', async () => {
    const positions = positionsOf(Promise.resolve(decodeMap(Buffer.from(built.map), built.code.length)))
    expect(positions.apply('nothing')).toBe('nothing')
    expect(await positions.apply(position)).toBe('hello.ts:4:9')
  })
})

describe('of very many positions', () => {
  test('in one line, a hundred are looked up and the rest is counted', () => {
    const positions = known()
    const text = positions.apply(`${position} `.repeat(1000)) as string
    expect(text.match(/hello\.ts:4:9/g)).toHaveLength(100)
    expect(text.match(/\/code\/hello\.js/g)).toHaveLength(900)
    expect(positions.takeLeftOut()).toBe(900)
    expect(positions.takeLeftOut()).toBe(0)
  })

  test('in a second, 2,000 are looked up, and as many again in the next', async () => {
    const clock = new FakeClock()
    const positions = known(clock)
    const mapped = () => {
      let count = 0
      for (let index = 0; index < 100; index++)
        count += (positions.apply(`${position} `.repeat(50)) as string).match(/hello\.ts/g)?.length ?? 0
      return count
    }
    expect(mapped()).toBe(2000)
    expect(positions.takeLeftOut()).toBe(3000)
    await clock.advance(1000)
    expect(mapped()).toBe(2000)
  })

  test('with long names, a line grows by little more than 16 KiB', () => {
    const map = decodeMap(
      Buffer.from(JSON.stringify({ version: 3, sources: ['A'.repeat(4096)], names: [], mappings: 'AAAA' })),
      1000,
    )
    const text = '/code/x.js:1:1 '.repeat(1000)
    const mapped = positionsOf(map).apply(text) as string
    expect(mapped).toContain('AAAA:1:1')
    expect(mapped.length).toBeLessThan(text.length + 16 * 1024 + 4200)
  })
})
