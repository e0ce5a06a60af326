// The durable lane on a Redis that reaches maxmemory: nothing more is accepted before it is full, and what was accepted ends.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { DurableLane } from '../../worker/queue/api.ts'
import { connectRedis, type RedisStore } from '../../worker/store/connect.ts'
import { createFakeWorker, type FakeAnswer, type FakeWorker } from '../support/fake-worker.ts'
import { startGatewayMember, startWorkerMember } from '../support/fleet.ts'
import { openLane, submissionOf } from '../support/lane.ts'
import { eventually, silentLogger, startTestRedis, type TestRedis } from '../support/redis.ts'

const MIB = 1024 ** 2

let redis: TestRedis
let worker: FakeWorker
let lane: DurableLane
let store: RedisStore

beforeEach(async () => {
  redis = await startTestRedis()
  worker = createFakeWorker()
  store = connectRedis({ socketPath: redis.socketPath }, silentLogger)
  await store.waitAvailable(5_000)
  lane = await openLane(redis, worker)
})
afterEach(async () => {
  await lane.close()
  await store.close()
  await redis.close()
})

const setMaximum = (bytes: number) => store.command('CONFIG', 'SET', 'maxmemory', bytes)
async function usedBytes(): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(String(await store.command('INFO', 'memory')))?.[1])
}
function held(): { readonly answer: Promise<FakeAnswer>; release(): void } {
  let release = () => {}
  const answer = new Promise<FakeAnswer>(
    (resolve) => (release = () => resolve({ status: 200, body: Buffer.alloc(9_000) })),
  )
  return { answer, release: () => release() }
}
async function reopen(): Promise<void> {
  await lane.close()
  lane = await openLane(redis, worker)
}
const refusal = () =>
  lane.submit(submissionOf('hello')).then(
    () => null,
    (error: { code: string; message: string; retryAfterS: number }) => error,
  )

describe('accepted calls end although Redis is full', () => {
  test('those that run, with their results; those that wait run when there is room', async () => {
    const call = held()
    worker.handle = () => call.answer
    await lane.start()
    const running = await Promise.all(Array.from({ length: 4 }, () => lane.submit(submissionOf('hello'))))
    await eventually('they run', () => worker.calls.length === 4)
    await lane.pauseFunction('default', 'waiting', true)
    const waiting = await lane.submit(submissionOf('waiting'))
    await setMaximum(1)
    await lane.pauseFunction('default', 'waiting', false)
    call.release()
    for (const { id } of running) {
      const { record, result } = await lane.result(id, 10_000)
      expect([record.state, result?.bodyBytes]).toEqual(['succeeded', 9_000])
    }
    expect((await lane.record(waiting.id))?.state).toBe('queued')
    await setMaximum(0)
    expect((await lane.result(waiting.id, 10_000)).record.state).toBe('succeeded')
    expect(await lane.queueState('default', 'hello')).toMatchObject({ waiting: 0, delayed: 0, active: 0 })
  })

  test('those that fail become dead letters, those to be tried again are', async () => {
    const call = held()
    let runs = 0
    worker.handle = async ({ request }) => {
      await call.answer
      return request.version.name === 'doomed' || ++runs === 1 ? { status: 500 } : { status: 200 }
    }
    await lane.start()
    const doomed = await lane.submit(submissionOf('doomed', { maxAttempts: 1 }))
    const again = await lane.submit(submissionOf('again', { maxAttempts: 2 }))
    await eventually('both run', () => worker.calls.length === 2)
    await setMaximum(1)
    call.release()
    expect((await lane.result(doomed.id, 10_000)).record.state).toBe('failed')
    expect(await lane.deadLetters.list('default', 'doomed', { limit: 5 })).toMatchObject([{ id: doomed.id }])
    await eventually('it waits for its next attempt', async () => (await lane.record(again.id))?.state === 'queued')
    await setMaximum(0)
    expect((await lane.result(again.id, 10_000)).record).toMatchObject({ state: 'succeeded', attempt: 2 })
  })

  test('one that waits can be cancelled', async () => {
    const { id } = await lane.submit(submissionOf('hello'))
    await setMaximum(1)
    expect((await lane.cancel(id)).state).toBe('cancelled')
    expect(await lane.backlog('default', 'hello')).toBe(0)
  })
})

describe('below 85 % of maxmemory calls are accepted, above none', () => {
  test('the refusal says what is full and when to come again, and the lane says it too', async () => {
    const used = await usedBytes()
    await setMaximum(Math.round(used / 0.6))
    await reopen()
    expect([lane.full(), await refusal()]).toEqual([null, null])
    await setMaximum(Math.round(used / 0.9))
    await eventually('it knows', () => lane.full() !== null)
    expect(await refusal()).toMatchObject({
      code: 'QUEUE_FULL',
      message: expect.stringMatching(/^Redis is full \([\d.]+ of [\d.]+ MiB; the last .*maxmemory/),
      retryAfterS: expect.any(Number),
    })
    // What was accepted can be asked for.
    expect(lane.available()).toBe(true)
    expect((await lane.records({ namespace: 'default', limit: 5 })).records.length).toBe(1)
    await setMaximum(0)
    await eventually('it takes calls again', async () => (await refusal()) === null)
  })

  test('a burst between two looks stops there, and not at the bound', async () => {
    await setMaximum((await usedBytes()) + 8 * MIB)
    await reopen()
    const body = Buffer.alloc(60_000)
    const ends = await Promise.allSettled(
      Array.from({ length: 300 }, () => lane.submit(submissionOf('hello', { body }))),
    )
    const refused = ends.flatMap((end) =>
      end.status === 'rejected' ? [end.reason as { code: string; cause?: unknown }] : [],
    )
    expect(refused.length).toBeGreaterThan(100)
    const others = refused.filter(({ code, cause }) => code !== 'QUEUE_FULL' || cause !== undefined)
    expect(others.length).toBe(0)
    const maximum = Number(((await store.command('CONFIG', 'GET', 'maxmemory')) as string[])[1])
    expect(await usedBytes()).toBeLessThan(maximum)
  })

  test('an idempotency key of a refused call is free for the next try', async () => {
    await setMaximum(1)
    await eventually('it knows', () => lane.full() !== null)
    const keyed = submissionOf('hello', { idempotencyKey: 'k' })
    await expect(lane.submit(keyed)).rejects.toMatchObject({ code: 'QUEUE_FULL' })
    await setMaximum(0)
    await eventually('there is room', () => lane.full() === null)
    const { id } = submissionOf('hello')
    expect(await lane.submit({ ...keyed, id })).toMatchObject({ id, duplicate: false })
  })
})

test('processes on a full Redis are not taken for gone', async () => {
  const gateway = await startGatewayMember(redis, 'aaaaaaaa')
  const other = await startWorkerMember(redis, 'bbbbbbbb')
  try {
    await eventually('they know each other', () => gateway.members.workers().length === 1)
    await setMaximum(1)
    await other.members.beatNow()
    const beats = Number(await store.command('PTTL', '{thaw}:fleet:bbbbbbbb'))
    expect(beats).toBeGreaterThan(7_000)
  } finally {
    await setMaximum(0)
    await other.close()
    await gateway.close()
  }
})

describe('a Redis that answers and takes no writes', () => {
  test('as a replica refuses calls with that reason, until it is none', async () => {
    await lane.start()
    await store.command('REPLICAOF', '127.0.0.1', '1')
    await expect(lane.submit(submissionOf('hello'))).rejects.toMatchObject({ code: 'QUEUE_UNAVAILABLE' })
    await eventually('it is said', () => lane.full()?.includes('read-only replica'))
    await store.command('REPLICAOF', 'NO', 'ONE')
    await eventually('it is over', () => lane.available() && lane.full() === null)
    const { id } = await lane.submit(submissionOf('hello'))
    expect((await lane.result(id, 10_000)).record.state).toBe('succeeded')
  })

  test('as a primary without its replicas likewise', async () => {
    await store.command('CONFIG', 'SET', 'min-replicas-to-write', '1')
    await expect(lane.submit(submissionOf('hello'))).rejects.toMatchObject({ code: 'QUEUE_UNAVAILABLE' })
    await eventually('it is said', () => lane.full()?.includes('min-replicas-to-write'))
    await store.command('CONFIG', 'SET', 'min-replicas-to-write', '0')
    await eventually('it is over', () => lane.full() === null)
  })

  test('whose policy is changed to one that evicts takes no more', async () => {
    await store.command('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
    await eventually('it is noticed', () => lane.refusal()?.includes('allkeys-lru'))
    await expect(lane.submit(submissionOf('hello'))).rejects.toMatchObject({ code: 'QUEUE_UNAVAILABLE' })
    await store.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
    await eventually('and that it is over', () => lane.refusal() === null)
  })
})
