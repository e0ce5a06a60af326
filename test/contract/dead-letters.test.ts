// Dead letters, pausing and the outbox of the durable lane, on a real Redis.
import { randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { v7 } from 'uuid'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { DurableLane } from '../../worker/queue/api.ts'
import { DeadLetterStore } from '../../worker/queue/dead-letter-store.ts'
import { connectRedis } from '../../worker/store/connect.ts'
import { createFakeWorker, type FakeWorker } from '../support/fake-worker.ts'
import { openLane, submissionOf, threw } from '../support/lane.ts'
import { eventually, silentLogger, startTestRedis, type TestRedis } from '../support/redis.ts'

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
  worker = createFakeWorker(() => ({ failure: threw('always') }))
  lane = await openLane(redis, worker)
  await lane.start()
  name = `d${++functions}`
})
afterEach(() => lane.close())

/** A call that fails for good. */
async function die(changes: Parameters<typeof submissionOf>[1] = {}): Promise<string> {
  const { id } = await lane.submit(submissionOf(name, { maxAttempts: 1, ...changes }))
  expect((await lane.result(id, 10_000)).record.state).toBe('failed')
  return id
}
const idsOf = async (more: object = {}): Promise<string[]> =>
  (await lane.deadLetters.list('default', name, { limit: 10, ...more })).map((letter) => letter.id)

describe('a dead letter', () => {
  test('appears together with the failure and keeps the error of every attempt', async () => {
    worker.handle = ({ request }) => ({ failure: threw(`attempt ${request.attempt}`) })
    const { id } = await lane.submit(submissionOf(name, { maxAttempts: 2, target: '/x?y=1' }))
    expect((await lane.result(id, 10_000)).record).toMatchObject({ state: 'failed', attempt: 2 })
    const letter = await lane.deadLetters.show('default', name, id)
    expect(letter).toMatchObject({ id, function: name, version: 1, state: 'failed', target: '/x?y=1', bodyBytes: 5 })
    expect(letter.attempts.map(({ attempt, error }) => [attempt, error?.message])).toEqual([
      [1, 'attempt 1'],
      [2, 'attempt 2'],
    ])
    for (const { startedAt, endedAt } of letter.attempts)
      expect(Date.parse(startedAt!)).toBeLessThanOrEqual(Date.parse(endedAt))
    expect(letter.diedAt >= letter.createdAt).toBe(true)
  })

  test('is not made of a call that succeeded, was cancelled or expired', async () => {
    worker.handle = () => ({ status: 200 })
    const fine = await lane.submit(submissionOf(name))
    await lane.result(fine.id, 10_000)
    const cancelled = await lane.submit(submissionOf(name, { delayMs: 60_000 }))
    await lane.cancel(cancelled.id)
    expect(await idsOf()).toEqual([])
  })

  test('is listed newest first and page by page, of its own function alone', async () => {
    const ids = [await die(), await die(), await die()].reverse()
    expect(await idsOf()).toEqual(ids)
    expect(await idsOf({ limit: 2 })).toEqual(ids.slice(0, 2))
    expect(await idsOf({ limit: 2, after: ids[1]! })).toEqual(ids.slice(2))
    expect(await lane.deadLetters.list('default', 'other', { limit: 10 })).toEqual([])
    expect(await lane.deadLetters.list('elsewhere', name, { limit: 10 })).toEqual([])
  })

  test('is read with few others when it is large, and nothing of it is kept that is not shown', async () => {
    const ids: string[] = []
    const body = Buffer.alloc(60_000, 'x')
    for (let count = 0; count < 24; count++) ids.unshift(await die({ body }))
    const connection = connectRedis({ socketPath: redis.socketPath }, silentLogger)
    await connection.waitAvailable(5000)
    const replies: number[] = []
    const counted = {
      ...connection,
      command: connection.command.bind(connection),
      script: async (...args: Parameters<typeof connection.script>) => {
        const reply = await connection.script(...args)
        replies.push(JSON.stringify(reply).length)
        return reply
      },
    }
    const store = new DeadLetterStore(counted, 60_000)
    const seen: number[] = []
    const listed = await store.list(`default/${name}`, 30, null, ({ id, text }) => {
      seen.push(text.length)
      return id
    })
    expect(listed).toEqual(ids)
    expect(await store.list(`default/${name}`, 5, ids[15]!, ({ id }) => id)).toEqual(ids.slice(16, 21))
    expect(Math.min(...seen)).toBeGreaterThan(80_000)
    expect(replies.length).toBeGreaterThan(2)
    expect(Math.max(...replies)).toBeLessThan(1024 ** 2 + 200_000)
    await connection.close()
  })

  test('is unknown under another id or function', async () => {
    const id = await die()
    const missing = { code: 'DEAD_LETTER_NOT_FOUND' }
    await expect(lane.deadLetters.show('default', name, v7())).rejects.toMatchObject(missing)
    await expect(lane.deadLetters.show('default', 'other', id)).rejects.toMatchObject(missing)
    await expect(lane.deadLetters.redrive('default', 'other', id)).rejects.toMatchObject(missing)
    await expect(lane.deadLetters.purge('default', name, v7())).rejects.toMatchObject(missing)
  })
})

describe('redrive', () => {
  test('queues the same call again, its attempts counted on, and the letter is gone', async () => {
    const id = await die()
    worker.handle = ({ request, body }) => ({ status: 200, body: `${request.attempt} ${body}` })
    expect(await lane.deadLetters.redrive('default', name, id)).toMatchObject({ id, state: 'queued', attempt: 1 })
    const { record, result } = await lane.result(id, 10_000)
    expect(record).toMatchObject({ state: 'succeeded', attempt: 2, error: null })
    expect(String(result!.body)).toBe('2 hello')
    expect(await idsOf()).toEqual([])
  })

  test('of a call that fails again gives a letter with the earlier attempts too', async () => {
    const id = await die()
    await lane.deadLetters.redrive('default', name, id)
    const letter = await eventually('it is dead again', async () => {
      const [found] = await lane.deadLetters.list('default', name, { limit: 1 })
      return found !== undefined && found.attempts.length === 2 && found
    })
    expect(letter.attempts.map(({ attempt }) => attempt)).toEqual([1, 2])
    expect((await lane.record(id))?.state).toBe('failed')
  })

  test('of one call by two people at once runs it once', async () => {
    const id = await die()
    const before = worker.calls.length
    worker.handle = () => ({ status: 200 })
    const done = await Promise.allSettled([1, 2, 3].map(() => lane.deadLetters.redrive('default', name, id)))
    expect(done.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThanOrEqual(1)
    await lane.result(id, 10_000)
    await eventually('the queue is empty', async () => (await lane.queueState('default', name)).active === 0)
    expect(worker.calls.length).toBe(before + 1)
    expect(await idsOf()).toEqual([])
  })

  test('of all takes what is there, large bodies included', async () => {
    const body = randomBytes(200_000)
    const large = await die({ body })
    const small = await die()
    worker.handle = (call) => ({ status: 200, body: String(call.body.length) })
    expect(await lane.deadLetters.redriveAll('default', name)).toBe(2)
    expect(String((await lane.result(large, 10_000)).result!.body)).toBe('200000')
    expect((await lane.result(small, 10_000)).record.state).toBe('succeeded')
    const isEmpty = async () => (await readdir(join(redis.stateDir, 'bodies'))).length === 0
    await eventually('the bodies are gone', isEmpty)
  })
})

describe('purge', () => {
  test('forgets one or all with their bodies; the records stay', async () => {
    const first = await die({ body: randomBytes(200_000) })
    const second = await die()
    expect(await readdir(join(redis.stateDir, 'bodies'))).toEqual([first])
    expect(await lane.deadLetters.purge('default', name, first)).toBe(1)
    expect(await idsOf()).toEqual([second])
    expect(await lane.deadLetters.purge('default', name)).toBe(1)
    expect(await idsOf()).toEqual([])
    expect(await readdir(join(redis.stateDir, 'bodies'))).toEqual([])
    expect((await lane.record(first))?.state).toBe('failed')
  })
})

describe('a paused function', () => {
  test('accepts calls and runs none until it is resumed, also over a restart', async () => {
    worker.handle = () => ({ status: 200 })
    await lane.pauseFunction('default', name, true)
    const { id } = await lane.submit(submissionOf(name))
    const late = await lane.submit(submissionOf(name, { delayMs: 60_000 }))
    expect(await lane.queueState('default', name)).toEqual({
      waiting: 1,
      delayed: 1,
      active: 0,
      paused: true,
      deadLetters: 0,
    })
    await lane.close()
    lane = await openLane(redis, worker)
    await lane.start()
    const other = await lane.submit(submissionOf(`${name}-other`))
    await lane.result(other.id, 10_000)
    expect(worker.calls.length).toBe(1)
    await lane.pauseFunction('default', name, false)
    expect((await lane.result(id, 10_000)).record.state).toBe('succeeded')
    expect(await lane.queueState('default', name)).toMatchObject({ waiting: 0, paused: false })
    await lane.cancel(late.id)
  })
})

describe('the outbox', () => {
  test('holds the end of a call that somebody is to be told of, until they were', async () => {
    worker.handle = ({ request }) => ({ status: request.target === '/bad' ? 400 : 200 })
    const news: string[] = []
    lane.onFinished((record) => news.push(record.id))
    const silent = await lane.submit(submissionOf(name))
    const good = await lane.submit(submissionOf(name, { notify: { url: 'a' } }))
    const bad = await lane.submit(submissionOf(name, { target: '/bad', notify: { url: 'b' } }))
    for (const { id } of [silent, good, bad]) await lane.result(id, 10_000)
    expect([...news].sort()).toEqual([silent.id, good.id, bad.id].sort())
    const entries = await lane.outbox.list(10)
    const told = entries.map(({ record, notify }) => [record.id, record.state, notify])
    expect(told.sort()).toEqual(
      [
        [good.id, 'succeeded', { url: 'a' }],
        [bad.id, 'failed', { url: 'b' }],
      ].sort(),
    )
    for (const { record } of entries) await lane.outbox.done(record.id)
    expect(await lane.outbox.list(10)).toEqual([])
  })
})
