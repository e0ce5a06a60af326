// The durable lane while its Redis is killed again and again: nothing acknowledged is lost, nothing that ended runs again.
import { createHash } from 'node:crypto'
import { v7 } from 'uuid'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { DurableLane, Submission } from '../../worker/queue/api.ts'
import { InvocationStore } from '../../worker/queue/invocation-store.ts'
import { QUEUES_PREFIX } from '../../worker/queue/job-scripts.ts'
import { connectRedis } from '../../worker/store/connect.ts'
import { createFakeWorker, type FakeWorker } from '../support/fake-worker.ts'
import { openLane, submissionOf } from '../support/lane.ts'
import { eventually, silentLogger, startTestRedis, type TestRedis } from '../support/redis.ts'

let redis: TestRedis
let worker: FakeWorker
let lane: DurableLane

beforeEach(async () => {
  redis = await startTestRedis()
  worker = createFakeWorker()
  lane = await openLane(redis, worker)
})
afterEach(async () => {
  await lane.close()
  await redis.close()
})

const submission = (changes: Partial<Submission> = {}) => submissionOf('hello', { maxAgeMs: 3_600_000, ...changes })

test('five kills among hundreds of calls lose none and leave none running', async () => {
  await lane.start()
  const accepted: string[] = []
  const submitting = { going: true }
  const submitters = Array.from({ length: 4 }, async () => {
    while (submitting.going) {
      try {
        accepted.push((await lane.submit(submission())).id)
      } catch (error) {
        expect(error).toMatchObject({ code: 'QUEUE_UNAVAILABLE' })
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    }
  })
  for (let kill = 0; kill < 5; kill++) {
    const before = accepted.length
    await eventually('some calls are accepted', () => accepted.length > before + 30)
    const pid = redis.server.pid()
    redis.kill()
    await eventually('a new server answers', () => redis.server.available() && redis.server.pid() !== pid)
  }
  submitting.going = false
  await Promise.all(submitters)
  await eventually('redis answers', () => lane.available())
  const ran = () => new Set(worker.calls.map((call) => call.request.id))
  for (const id of accepted) {
    const record = await eventually(
      `${id} is over`,
      async () => {
        const current = await lane.record(id)
        return current?.state === 'succeeded' && current
      },
      40_000,
    )
    expect(record.attempt).toBe(1)
  }
  expect(accepted.every((id) => ran().has(id))).toBe(true)
  expect(await lane.backlog('default', 'hello')).toBe(0)
}, 120_000)

test('a call refused for a dead Redis leaves no record that never moves', async () => {
  const first = await lane.submit(submission({ delayMs: 60_000 }))
  redis.kill()
  await expect(lane.submit(submission())).rejects.toMatchObject({ code: 'QUEUE_UNAVAILABLE' })
  await eventually('redis answers', () => lane.available())
  await eventually('only what was accepted is listed', async () => {
    const { records } = await lane.records({ namespace: 'default', limit: 10 }).catch(() => ({ records: [] }))
    return records.length === 1 && records[0]!.id === first.id
  })
})

test('a call that ended while its job stayed behind is not run again', async () => {
  const { id } = await lane.submit(submission())
  const store = connectRedis({ socketPath: redis.socketPath }, silentLogger)
  await store.waitAvailable(5_000)
  const queue = `${QUEUES_PREFIX}:default:hello`
  const data = (await store.command('HGET', `${queue}:${id}`, 'data')) as string
  await lane.start()
  expect((await lane.result(id, 10_000)).record.state).toBe('succeeded')
  await eventually('its job is gone', async () => (await lane.backlog('default', 'hello')) === 0)
  // What a restored copy of the queue may bring: the job waits although its call is over.
  await store.command('HSET', `${queue}:${id}`, 'name', 'call', 'data', data, 'opts', '{}', 'timestamp', Date.now())
  await store.command('LPUSH', `${queue}:wait`, id)
  const next = await lane.submit(submission())
  expect((await lane.result(next.id, 10_000)).record.state).toBe('succeeded')
  await eventually('the job is gone', async () => (await store.command('EXISTS', `${queue}:${id}`)) === 0)
  expect(worker.calls.map(({ request }) => request.id)).toEqual([id, next.id])
  expect((await lane.record(id))?.state).toBe('succeeded')
  // Sent once more, it is the same call, and over.
  expect((await lane.submit({ ...submission(), id })).id).toBe(id)
  expect(await lane.backlog('default', 'hello')).toBe(0)
  await store.close()
})

test('a retry that waits survives the platform and keeps its attempt', async () => {
  worker.handle = () => ({ status: 500 })
  await lane.start()
  const { id } = await lane.submit(submission())
  await eventually('it waits for its retry', async () => {
    const record = await lane.record(id)
    return record?.state === 'queued' && record.attempt === 1
  })
  await lane.close()
  worker.handle = () => ({ status: 200 })
  lane = await openLane(redis, worker)
  await lane.start()
  expect((await lane.result(id, 10_000)).record).toMatchObject({ state: 'succeeded', attempt: 2 })
})

test('an idempotency key finds its call after a restart of everything', async () => {
  const first = await lane.submit(submission({ idempotencyKey: 'k' }))
  await lane.close()
  redis.kill()
  await eventually('redis is back', () => redis.server.available())
  lane = await openLane(redis, worker)
  await lane.start()
  expect(await lane.submit(submission({ idempotencyKey: 'k' }))).toMatchObject({ id: first.id, duplicate: true })
  await lane.result(first.id, 10_000)
  expect(worker.calls.length).toBe(1)
})

test('the first call with a key that died before it was queued is completed by the second', async () => {
  // What the first one leaves: its claim on the key, nothing else.
  const body = Buffer.from('x')
  const hash = `POST / ${createHash('sha256').update(body).digest('hex')}`
  const store = connectRedis({ socketPath: redis.socketPath }, silentLogger)
  await store.waitAvailable(5_000)
  const first = v7()
  await new InvocationStore(store).claim(['default', 'hello', 'anonymous', 'k'], { id: first, hash })
  await store.close()
  await lane.start()
  const second = await lane.submit(submission({ idempotencyKey: 'k', body }))
  expect(second).toMatchObject({ id: first, duplicate: true })
  expect((await lane.result(first, 10_000)).record.state).toBe('succeeded')
})

test('a server that may throw calls away takes none, and the lane says why instead of that it is away', async () => {
  expect([lane.available(), lane.refusal()]).toEqual([true, null])
  const store = connectRedis({ socketPath: redis.socketPath }, silentLogger)
  await store.waitAvailable(5_000)
  await store.command('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
  await store.close()
  const other = await openLane(redis, worker)
  const words = /maxmemory-policy allkeys-lru\); set maxmemory-policy noeviction/
  expect([other.available(), other.refusal()]).toEqual([false, expect.stringMatching(words)])
  await expect(other.submit(submission())).rejects.toMatchObject({ code: 'QUEUE_UNAVAILABLE', message: words })
  await other.close()
})
