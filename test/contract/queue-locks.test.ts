// Locks of running calls, with two workers on one Redis and short locks: who runs a call, who takes it over, who lets it go.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { DurableLane } from '../../worker/queue/api.ts'
import { JobQueues } from '../../worker/queue/job-queues.ts'
import { QUEUES_PREFIX } from '../../worker/queue/job-scripts.ts'
import { connectRedis } from '../../worker/store/connect.ts'
import { createFakeWorker, type FakeAnswer, type FakeWorker } from '../support/fake-worker.ts'
import { openLane, submissionOf } from '../support/lane.ts'
import { eventually, realClock, silentLogger, startTestRedis, type TestRedis } from '../support/redis.ts'
import { versionOf } from '../support/samples.ts'

// Long enough that a busy machine does not hold a process up for as long.
const LOCK_MS = 1_500
const SHARED = { soleOwner: false, lockMs: LOCK_MS }

let redis: TestRedis
let first: FakeWorker
let second: FakeWorker
const lanes: DurableLane[] = []

beforeEach(async () => {
  redis = await startTestRedis()
  first = createFakeWorker()
  second = createFakeWorker()
})
afterEach(async () => {
  for (const lane of lanes.splice(0)) await lane.close()
  await redis.close()
})

async function startLane(worker: FakeWorker, changes: object = SHARED): Promise<DurableLane> {
  const lane = await openLane(redis, worker, changes)
  lanes.push(lane)
  await lane.start()
  return lane
}
function held(): { readonly answer: Promise<FakeAnswer>; release(): void } {
  let release = () => {}
  const answer = new Promise<FakeAnswer>((resolve) => (release = () => resolve({ status: 200 })))
  return { answer, release: () => release() }
}
const after = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

describe('a call', () => {
  test('longer than its lock does not run twice', async () => {
    const call = held()
    first.handle = second.handle = () => call.answer
    const lane = await startLane(first)
    await startLane(second)
    const { id } = await lane.submit(submissionOf('long'))
    await eventually('it runs', () => first.calls.length + second.calls.length === 1)
    // Time itself is what is tested: several locks pass.
    await after(2.5 * LOCK_MS)
    call.release()
    expect((await lane.result(id, 10_000)).record).toMatchObject({ state: 'succeeded', attempt: 1 })
    expect(first.calls.length + second.calls.length).toBe(1)
  })

  test('of a worker that died runs elsewhere, as the same attempt', async () => {
    first.handle = () => new Promise(() => {})
    const dying = await startLane(first)
    const { id } = await dying.submit(submissionOf('dies'))
    await eventually('it runs', () => first.calls.length === 1)
    await dying.close()
    const lane = await startLane(second)
    expect((await lane.result(id, 20_000)).record).toMatchObject({ state: 'succeeded', attempt: 1 })
    expect(second.calls.map(({ request }) => [request.id, request.attempt])).toEqual([[id, 1]])
  })

  test('whose lock cannot be renewed is ended where it runs, and runs again once Redis is back', async () => {
    let runs = 0
    first.handle = () => (++runs === 1 ? new Promise(() => {}) : { status: 200 })
    const lane = await startLane(first)
    const { id } = await lane.submit(submissionOf('fenced'))
    await eventually('it runs', () => first.calls.length === 1)
    process.kill(redis.server.pid()!, 'SIGSTOP')
    try {
      await eventually('it is ended', () => first.calls[0]!.signal.aborted)
    } finally {
      process.kill(redis.server.pid()!, 'SIGCONT')
    }
    const record = await eventually(
      'it ran again',
      async () => {
        const current = await lane.record(id).catch(() => null)
        return current?.state === 'succeeded' && current
      },
      30_000,
    )
    expect(record.attempt).toBe(1)
  })

  test('that another worker took over is not ended by the one that lost it', async () => {
    const call = held()
    let runs = 0
    first.handle = () => (++runs === 1 ? call.answer : { status: 201 })
    const lane = await startLane(first)
    const { id } = await lane.submit(submissionOf('taken'))
    await eventually('it runs', () => first.calls.length === 1)
    const other = connectRedis({ socketPath: redis.socketPath }, silentLogger)
    await other.waitAvailable(5_000)
    await other.command('SET', `${QUEUES_PREFIX}:default:taken:${id}:lock`, 'of another', 'PX', LOCK_MS)
    call.release()
    // The other one dies without a word, and its lock runs out.
    const { record } = await lane.result(id, 30_000)
    expect([record.state, record.status, runs]).toEqual(['succeeded', 201, 2])
    await other.close()
  })

  test('under which workers died again and again ends as their fault, a dead letter', async () => {
    const store = connectRedis({ socketPath: redis.socketPath }, silentLogger)
    await store.waitAvailable(5_000)
    const jobs = new JobQueues(store, silentLogger, realClock)
    const waiting = await openLane(redis, first)
    const { id } = await waiting.submit(submissionOf('poison'))
    await waiting.close()
    for (let death = 0; death < 21; death++) {
      expect((await jobs.fetch('default/poison', `t${death}`, Date.now())).fetched).toMatchObject({ poisoned: false })
      expect(await jobs.requeue('default/poison', [id])).toBe(1)
    }
    await jobs.close()
    await store.close()
    const lane = await startLane(first, {})
    const { record } = await lane.result(id, 10_000)
    expect(record).toMatchObject({ state: 'failed', error: { component: 'worker' } })
    expect(first.calls).toEqual([])
    expect(await lane.deadLetters.list('default', 'poison', { limit: 5 })).toMatchObject([{ id, state: 'failed' }])
  })
})

test('a thousand functions are served over the connections of one, and a slow one keeps nobody waiting', async () => {
  const call = held()
  first.handle = ({ request }) => (request.version.name === 'slow' ? call.answer : { status: 200 })
  const lane = await startLane(first, {})
  const other = connectRedis({ socketPath: redis.socketPath }, silentLogger)
  await other.waitAvailable(5_000)
  const connections = async () =>
    String(await other.command('CLIENT', 'LIST'))
      .trim()
      .split('\n').length
  await lane.submit(submissionOf('f0'))
  await eventually('it ran', () => first.calls.length === 1)
  const before = await connections()
  const slow = versionOf('slow')
  for (let i = 0; i < 200; i++) await lane.submit(submissionOf('slow', { version: slow }))
  let done = 0
  lane.onFinished(({ function: name }) => name !== 'slow' && done++)
  for (let i = 0; i < 1_000; i += 50) {
    await Promise.all(Array.from({ length: 50 }, (_, n) => lane.submit(submissionOf(`f${i + n}`))))
  }
  await eventually('all but the slow ones are through', () => done === 1_000, 60_000)
  expect(await connections()).toBe(before)
  call.release()
  await other.close()
}, 90_000)
