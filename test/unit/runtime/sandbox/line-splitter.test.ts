import { expect, test } from 'vitest'
import { LineSplitter } from '../../../../runtime/sandbox/line-splitter.ts'

function split(...pieces: string[]): { lines: string[]; told: number } {
  const lines: string[] = []
  const splitter = new LineSplitter((line) => lines.push(line))
  let told = 0
  for (const piece of pieces) told += splitter.push(piece)
  splitter.flush()
  return { lines, told }
}

test.each([
  ['whole', ['one\ntwo\n'], ['one', 'two']],
  ['in pieces', ['o', 'ne\nt', 'w', 'o\n'], ['one', 'two']],
  ['empty', ['\n\n'], ['', '']],
  ['without an end', ['one\ntw'], ['one', 'tw']],
  [
    'longer than a line may be',
    ['a'.repeat(16_000), `${'b'.repeat(1000)}\nc`],
    [`${'a'.repeat(16_000)}${'b'.repeat(384)}`, 'b'.repeat(616), 'c'],
  ],
  ['of exactly the most', [`${'a'.repeat(16_384)}\n`], ['a'.repeat(16_384)]],
])('lines that come %s are the same lines', (_how, pieces, lines) => {
  expect(split(...pieces).lines).toEqual(lines)
})

test('tells how many lines a text gave', () => {
  expect(split('a\nb\n', 'c').told).toBe(2)
  expect(split('x'.repeat(40_000)).told).toBe(2)
})

test('a line byte by byte is never searched again', () => {
  let searched = 0
  const piece = (text: string) => {
    const wrapped = Object.assign(Object(text), {
      indexOf: (needle: string, from?: number) => {
        searched += text.length
        return text.indexOf(needle, from)
      },
    })
    return wrapped as string
  }
  const splitter = new LineSplitter(() => {})
  for (let byte = 0; byte < 16_000; byte++) splitter.push(piece('x'))
  expect(searched).toBe(16_000)
})
