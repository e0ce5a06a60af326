// The response of an asynchronous call as it is kept.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Invocation, ResponseHead } from '../../../../worker/api.ts'
import { ResponseCollector } from '../../../../worker/queue/response-collector.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'thaw-results-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

const phases = { queueMs: 0, startMs: 0, thawMs: 0, initMs: 0, runMs: 0 }
const head: ResponseHead = { status: 200, headers: ['a', 'b'], start: 'warm', phases }

function setUp(maxBytes = 1_000_000, place = folder) {
  const collector = new ResponseCollector(place, maxBytes)
  const seen = { resumed: 0, aborted: 0 }
  const waiting: (() => void)[] = []
  collector.attach({
    id: 'id',
    resume() {
      seen.resumed++
      waiting.shift()?.()
    },
    abort: () => seen.aborted++,
    done: new Promise(() => {}),
  } as unknown as Invocation)
  const resumed = () => new Promise<void>((resolve) => waiting.push(resolve))
  return { collector, seen, resumed }
}

test('a small one is kept in memory and never held back', async () => {
  const { collector, seen } = setUp()
  collector.head(head)
  expect(collector.data(Buffer.from('he'))).toBe(true)
  expect(collector.data(Buffer.from('llo'))).toBe(true)
  collector.end()
  expect(collector.status).toBe(200)
  expect(await collector.result('r-1')).toEqual({
    status: 200,
    headers: ['a', 'b'],
    bodyBytes: 5,
    base64: Buffer.from('hello').toString('base64'),
    file: null,
  })
  expect(seen).toEqual({ resumed: 0, aborted: 0 })
})

test('a large one goes to a file, chunk by chunk', async () => {
  const { collector, resumed } = setUp()
  collector.head(head)
  const chunk = Buffer.alloc(50_000, 'x')
  expect(collector.data(chunk)).toBe(true)
  for (let i = 0; i < 3; i++) {
    const room = resumed()
    expect(collector.data(chunk)).toBe(false)
    await room
  }
  collector.end()
  expect(await collector.result('r-1')).toMatchObject({ bodyBytes: 200_000, base64: null, file: 'r-1' })
  expect((await readFile(join(folder, 'r-1'))).length).toBe(200_000)
})

test('one that fails after its head is no result, and leaves no file', async () => {
  const { collector } = setUp()
  collector.head(head)
  collector.data(Buffer.alloc(100_000))
  collector.failed({ code: 'FUNCTION_CRASHED', component: 'function', message: 'exited' })
  expect(await collector.result('r-1')).toBeNull()
  expect(collector.status).toBeNull()
  expect(collector.failure?.code).toBe('FUNCTION_CRASHED')
  expect(await readdir(folder)).toEqual([])
})

test('one that is too large is refused and its call ended', async () => {
  const { collector, seen } = setUp(1_000)
  collector.head(head)
  expect(collector.data(Buffer.alloc(1_001))).toBe(true)
  collector.failed({ code: 'CANCELLED', component: 'worker', message: 'cancelled' })
  expect(seen.aborted).toBe(1)
  expect(collector.failure).toMatchObject({ code: 'FUNCTION_INVALID_RESPONSE', component: 'function' })
  expect(await collector.result('r-1')).toBeNull()
})

test('one that the disk does not take is a fault of the queue, not of the function', async () => {
  // A name that is too long for any file system: the folder cannot be made.
  const { collector, seen } = setUp(1_000_000, join(folder, 'x'.repeat(300)))
  collector.head(head)
  collector.data(Buffer.alloc(100_000))
  expect(await collector.result('r-1')).toBeNull()
  expect(collector.failure).toMatchObject({ code: 'HOST_FULL', component: 'queue' })
  expect(seen.aborted).toBe(1)
})
