// JSON in portions: the same text as JSON.stringify gives, cut between parts, with the event loop's turns in between.
import { Hono } from 'hono'
import { expect, test } from 'vitest'
import { answerJson, portionsOf } from '../../../gateway/json-portions.ts'
import type { ControlContext } from '../../../gateway/routes/route.ts'

const VALUES: readonly unknown[] = [
  [],
  {},
  null,
  'text',
  0,
  [1, 'two', null, [], {}],
  { a: undefined, b: 1, c: { d: undefined, e: [{ f: [{ g: { h: ['"', '\n', '\u2028'] } }] }] } },
  [undefined],
  { toString: 1, '': 2, __proto__: { x: 1 } },
]

test.each(VALUES.map((value) => [JSON.stringify(value), value] as const))('%s is what it was', (text, value) => {
  expect([...portionsOf(value)].join('')).toBe(text)
})

/** Four functions with 50 versions of 8 KiB each. */
const LARGE = Array.from({ length: 4 }, (_, at) => ({
  name: `f${at}`,
  versions: Array.from({ length: 50 }, (_, version) => ({ version, config: { env: { A: 'x'.repeat(8192) } } })),
}))

test('what is large comes in portions, none of which is much larger than one part', () => {
  const portions = [...portionsOf(LARGE)]
  expect(portions.join('')).toBe(JSON.stringify(LARGE))
  expect(portions.length).toBeGreaterThan(20)
  expect(Math.max(...portions.map((portion) => portion.length))).toBeLessThan(64 * 1024 + 9000)
})

test('an answer is made while it is read: what no reader takes is not made, and others have their turn', async () => {
  let made = 0
  const counted = LARGE.map((one) => ({
    ...one,
    versions: one.versions.map((version) => ({
      get counted() {
        made++
        return version
      },
    })),
  }))
  const app = new Hono().get('/', (context) => answerJson(context as unknown as ControlContext, counted))
  const answer = await app.request('/')
  expect(answer.headers.get('content-type')).toBe('application/json')
  const reader = answer.body!.getReader()
  let turns = 0
  const immediate = (): void => {
    turns++
    next = setImmediate(immediate)
  }
  let next = setImmediate(immediate)
  const chunks: Uint8Array[] = []
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    if (chunks.length === 0) expect(made).toBeLessThan(50)
    chunks.push(chunk.value)
  }
  clearImmediate(next)
  expect(turns).toBeGreaterThanOrEqual(chunks.length - 1)
  expect(made).toBe(200)
  const told = JSON.parse(Buffer.concat(chunks).toString()) as typeof counted
  expect(told[3]!.versions[49]).toEqual({ counted: LARGE[3]!.versions[49] })
})
