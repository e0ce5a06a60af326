// What of an asynchronous call is tried again, when and how often, on a real Redis.
import type { Readable } from 'node:stream'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { DurableLane } from '../../worker/queue/api.ts'
import { createFakeWorker, type FakeWorker } from '../support/fake-worker.ts'
import { openLane, submissionOf, threw } from '../support/lane.ts'
import { eventually, startTestRedis, type TestRedis } from '../support/redis.ts'
import { versionOf } from '../support/samples.ts'

let redis: TestRedis
let lane: DurableLane
let worker: FakeWorker
let name: string
let functions = 0

beforeAll(async () => {
  redis = await startTestRedis()
})
afterAll(() => redis.close())
beforeEach(async () => {
  worker = createFakeWorker()
  lane = await openLane(redis, worker)
  await lane.start()
  name = `r${++functions}`
})
afterEach(() => lane.close())

async function bytesOf(body: Buffer | Readable): Promise<Buffer> {
  return Buffer.isBuffer(body) ? body : Buffer.concat(await body.toArray())
}

describe('retries', () => {
  test('a 500 is tried again until it succeeds', async () => {
    worker.handle = ({ request }) => ({ status: request.attempt < 2 ? 500 : 201 })
    const { id } = await lane.submit(submissionOf(name))
    expect((await lane.result(id, 10_000)).record).toMatchObject({ state: 'succeeded', attempt: 2, status: 201 })
    expect(worker.calls.map((call) => [call.request.id, call.request.attempt])).toEqual([
      [id, 1],
      [id, 2],
    ])
  })

  test('between two attempts a call is queued and shows its last error', async () => {
    worker.handle = () => ({ failure: threw('not yet') })
    const { id } = await lane.submit(submissionOf(name))
    const record = await eventually('it is queued again', async () => {
      const current = await lane.record(id)
      return current?.state === 'queued' && current.attempt === 1 && current
    })
    expect(record).toMatchObject({ status: null, error: { code: 'FUNCTION_THREW', message: 'not yet' } })
    expect((await lane.cancel(id)).state).toBe('cancelled')
  })

  test('the last attempt leaves its error in the record, and no result', async () => {
    worker.handle = () => ({ failure: threw('always') })
    const { id } = await lane.submit(submissionOf(name, { maxAttempts: 1 }))
    const { record, result } = await lane.result(id, 10_000)
    expect(record).toMatchObject({ state: 'failed', attempt: 1, error: { code: 'FUNCTION_THREW', message: 'always' } })
    expect(result).toBeNull()
  })

  test('the last 503 of the function itself is its result', async () => {
    worker.handle = () => ({ status: 503, body: 'sorry' })
    const { id } = await lane.submit(submissionOf(name, { maxAttempts: 1 }))
    const { record, result } = await lane.result(id, 10_000)
    expect(record).toMatchObject({ state: 'failed', status: 503 })
    expect((await bytesOf(result!.body)).toString()).toBe('sorry')
  })

  test('a 4xx fails at once', async () => {
    worker.handle = () => ({ status: 404, body: 'no' })
    const { id } = await lane.submit(submissionOf(name))
    expect((await lane.result(id, 10_000)).record).toMatchObject({ state: 'failed', attempt: 1, status: 404 })
    expect(worker.calls.length).toBe(1)
  })

  test('a time-out ends as timed-out', async () => {
    worker.handle = () => ({ failure: { code: 'FUNCTION_TIMEOUT', component: 'function', message: 'too slow' } })
    const { id } = await lane.submit(submissionOf(name, { maxAttempts: 1 }))
    expect((await lane.result(id, 10_000)).record.state).toBe('timed-out')
  })

  test('a full host costs no attempt', async () => {
    let full = 2
    worker.handle = () => {
      if (full-- <= 0) return { status: 200 }
      return { failure: { code: 'HOST_FULL', component: 'worker', message: 'full', retryAfterS: 0.1 } }
    }
    const { id } = await lane.submit(submissionOf(name, { maxAttempts: 1 }))
    expect((await lane.result(id, 10_000)).record).toMatchObject({ state: 'succeeded', attempt: 1, error: null })
    expect(worker.calls.map((call) => call.request.attempt)).toEqual([1, 1, 1])
  })
})

describe('a function that says so itself', () => {
  test('is tried again as its policy says', async () => {
    worker.handle = ({ request }) => ({ status: request.attempt < 3 ? 404 : 200 })
    const retry = { on: ['4xx' as const], backoffMs: 1, maxBackoffMs: 1, maxAgeMs: 60_000 }
    const { id } = await lane.submit(submissionOf(name, { version: versionOf(name, { retry, retryAttempts: 5 }) }))
    expect((await lane.result(id, 10_000)).record).toMatchObject({ state: 'succeeded', attempt: 3 })
  })

  test('is not tried again before its Retry-After', async () => {
    worker.handle = ({ request }) => {
      return request.attempt > 1 ? { status: 200 } : { status: 503, headers: ['retry-after', '2'] }
    }
    const { id } = await lane.submit(submissionOf(name))
    const { record } = await lane.result(id, 20_000)
    expect(record).toMatchObject({ state: 'succeeded', attempt: 2 })
    expect(Date.parse(record.startedAt!) - Date.parse(record.createdAt)).toBeGreaterThanOrEqual(2_000)
  })

  test('begins no more calls in a time than its rate allows, whoever runs them', async () => {
    const version = versionOf(name, { rate: { calls: 3, perMs: 60_000 } })
    const other = await openLane(redis, worker, { soleOwner: false })
    await other.start()
    const ids = []
    for (let i = 0; i < 8; i++) ids.push((await lane.submit(submissionOf(name, { version }))).id)
    await lane.result(ids[2]!, 10_000)
    // Another function goes on; by the time it is through, a fourth call would have begun.
    const { id } = await lane.submit(submissionOf(name, { version: versionOf(`${name}-other`) }))
    await lane.result(id, 10_000)
    await other.close()
    expect(worker.calls.filter(({ request }) => request.version.name === name).length).toBe(3)
    expect(await lane.backlog('default', name)).toBe(5)
  })
})
