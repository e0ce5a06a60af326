import { transformSync } from 'esbuild'
import { describe, expect, test } from 'vitest'
import { ownFrames, SourcePositions } from '../../../worker/source-map.ts'

const SOURCE = `// one
type Greeting = { text: string }
export function greet(): Greeting {
  throw new Error('no')
}
`

describe('positions', () => {
  const built = transformSync(SOURCE, { loader: 'ts', sourcemap: 'external', sourcefile: 'hello.ts', format: 'cjs' })
  const positions = new SourcePositions(Buffer.from(built.map))
  const lines = built.code.split('\n')
  const line = lines.findIndex((text) => text.includes('throw')) + 1
  const column = lines[line - 1]!.indexOf('new Error') + 1

  test('in the bundle become the author’s own', () => {
    expect(positions.apply(`Error: no\n    at greet (/code/hello.js:${line}:${column})`)).toBe(
      'Error: no\n    at greet (hello.ts:4:9)',
    )
    expect(positions.apply(`see file:///code/hello.js:${line}:${column}, and /code/hello.js:${line}:${column}`)).toBe(
      'see hello.ts:4:9, and hello.ts:4:9',
    )
  })

  test('elsewhere stay as they are', () => {
    for (const text of ['nothing', 'at /code/node_modules/x/y.js:1:1', 'at node:fs:1:1', '/code/hello.js'])
      expect(positions.apply(text)).toBe(text)
  })

  test('stay as they are without a map, or with one that is none', () => {
    const text = 'at /code/hello.js:1:1'
    expect(new SourcePositions(null).apply(text)).toBe(text)
    const broken = new SourcePositions(Buffer.from('{'))
    expect(broken.apply(text)).toBe(text)
    expect(broken.apply(text)).toBe(text)
  })
})

describe('a stack', () => {
  test('loses the frames of the platform that called the handler', () => {
    const stack = 'Error: no\n    at f (/code/a.js:1:1)\n    at /runtime/bootstrap.cjs:1:2\n    at node:vm:1:1'
    expect(ownFrames(stack)).toBe('Error: no\n    at f (/code/a.js:1:1)')
    expect(ownFrames('Error: no')).toBe('Error: no')
  })
})
