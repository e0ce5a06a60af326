// A date that is moved while calls are delayed, against a real Redis: nobody waits longer than his own delay for a date that has
// gone back. BullMQ reads the date by itself, so the date is moved for the whole process.
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { makeEnvelope } from '../../worker/queue/envelope.ts'
import { InvocationStore } from '../../worker/queue/invocation-store.ts'
import { type FetchedJob, JobQueues } from '../../worker/queue/job-queues.ts'
import { requeuedRecord } from '../../worker/queue/records.ts'
import { connectRedis, type RedisStore } from '../../worker/store/connect.ts'
import { submissionOf } from '../support/lane.ts'
import { realClock, silentLogger, startTestRedis, type TestRedis } from '../support/redis.ts'

const QUEUE = 'default/hello'
const TWO_HOURS_MS = 2 * 3_600_000
const realNow = Date.now
let movedMs = 0
let redis: TestRedis
let store: RedisStore
let jobs: JobQueues

beforeEach(async () => {
  movedMs = 0
  vi.spyOn(Date, 'now').mockImplementation(() => realNow() + movedMs)
  redis = await startTestRedis()
  store = connectRedis({ socketPath: redis.socketPath }, silentLogger)
  await store.waitAvailable(5_000)
  jobs = new JobQueues(store, silentLogger, realClock)
})
afterEach(async () => {
  vi.restoreAllMocks()
  await jobs.close()
  await store.close()
  await redis.close()
})

async function add(delayMs: number): Promise<string> {
  const submission = submissionOf('hello', { delayMs })
  if (delayMs > 0) jobs.noteClock()
  const envelope = makeEnvelope(submission.id, submission, { kind: 'none' }, Date.now())
  await new InvocationStore(store).accept(envelope, QUEUE, 60_000, Date.now())
  return submission.id
}
/** How long until the next call is due, ms. */
async function nextInMs(): Promise<number> {
  const { nextAtMs } = await jobs.fetch(QUEUE, 'token', Date.now())
  return (nextAtMs ?? Number.POSITIVE_INFINITY) - Date.now()
}

test('a call delayed by a date that then goes back waits for its delay, not for the date to come again', async () => {
  movedMs = TWO_HOURS_MS
  await add(5_000)
  expect(jobs.clockWentBack()).toBe(false)
  movedMs = 0
  expect(await nextInMs()).toBeGreaterThan(TWO_HOURS_MS - 60_000)
  expect(jobs.clockWentBack()).toBe(true)
  expect(await jobs.bringForward(QUEUE)).toBe(1)
  expect(await nextInMs()).toBeLessThanOrEqual(5_000)
  expect(jobs.clockWentBack()).toBe(false)
})

test('a retry is brought forward like a delay, and calls that wait as long as they asked stay where they are', async () => {
  await add(2 * TWO_HOURS_MS)
  movedMs = TWO_HOURS_MS
  await add(0)
  const { fetched } = await jobs.fetch(QUEUE, 'token', Date.now())
  jobs.noteClock()
  const { queueKey, token, envelope } = fetched as FetchedJob
  const settled = await new InvocationStore(store).settle({
    record: requeuedRecord(envelope, 1, null, null),
    result: null,
    hold: { queueKey, token },
    move: { how: 'retry', atMs: Date.now() + 1_000, delayMs: 1_000 },
    keptMs: 60_000,
    failed: null,
    dead: null,
    notify: null,
  })
  expect(settled).toBe('written')
  movedMs = 0
  expect([jobs.clockWentBack(), await jobs.bringForward(QUEUE)]).toEqual([true, 1])
  expect(await nextInMs()).toBeLessThanOrEqual(1_000)
  expect(await jobs.bringForward(QUEUE)).toBe(0)
})

test('more calls than one page are all brought forward', async () => {
  movedMs = TWO_HOURS_MS
  await Promise.all(Array.from({ length: 600 }, () => add(60_000)))
  movedMs = 0
  expect(await jobs.bringForward(QUEUE)).toBe(600)
  expect(await jobs.bringForward(QUEUE)).toBe(0)
})
