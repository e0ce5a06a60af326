import { expect, test } from 'vitest'
import { MOST_CHARS, NewestLines } from '../../../../worker/logs/newest-lines.ts'

const text = (nth: number, more: Record<string, unknown> = {}) =>
  JSON.stringify({ line: String(nth), invocation: `i${nth % 2}`, ...more })
const texts = (from: number, to: number, more = {}) =>
  Array.from({ length: to - from }, (_, index) => text(from + index, more))

async function newestOf(lists: readonly (readonly string[])[], invocation: string | null, most: number) {
  const found = new NewestLines(invocation, most)
  for (const list of lists) await found.take(list)
  return found.oldestFirst().map(({ line }) => line)
}

test('the newest are found over several lists, oldest first', async () => {
  expect(await newestOf([texts(4, 8), texts(0, 4)], null, 6)).toEqual(['2', '3', '4', '5', '6', '7'])
  expect(await newestOf([texts(4, 8), texts(0, 4)], 'i1', 3)).toEqual(['3', '5', '7'])
  expect(await newestOf([], null, 3)).toEqual([])
})

test('what does not parse is passed over', async () => {
  expect(await newestOf([[text(0), '{"line":"cut', '', text(1)]], null, 5)).toEqual(['0', '1'])
})

test('no more characters are taken than an answer may have', async () => {
  const padding = 'x'.repeat(1024 ** 2)
  const found = await newestOf([texts(0, 20, { padding })], null, 1000)
  expect(found.length).toBe(Math.ceil(MOST_CHARS / text(10, { padding }).length))
  expect(found.at(-1)).toBe('19')
})

test('the event loop has its turn while many are parsed', async () => {
  let turns = 0
  const timer = setInterval(() => turns++, 0)
  await newestOf([texts(0, 200_000)], 'nobody', 1000)
  clearInterval(timer)
  expect(turns).toBeGreaterThan(10)
})
