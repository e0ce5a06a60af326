// What a namespace may have queued and kept, on a real Redis: counted exactly through every end of a call, over restarts too, refused
// at the bound, and of no concern to another namespace.
import { randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { DurableLane, Submission } from '../../worker/queue/api.ts'
import type { DurableLaneOptions } from '../../worker/queue/durable-lane.ts'
import type { QuotaBounds } from '../../worker/registry/quota-table.ts'
import { connectRedis, type RedisStore } from '../../worker/store/connect.ts'
import { createFakeWorker, type FakeWorker } from '../support/fake-worker.ts'
import { openLane, submissionOf, threw } from '../support/lane.ts'
import { quotasInMemory } from '../support/quota-book.ts'
import { eventually, silentLogger, startTestRedis, type TestRedis } from '../support/redis.ts'
import { versionOf } from '../support/samples.ts'

let redis: TestRedis
let worker: FakeWorker
let lane: DurableLane
let store: RedisStore

beforeEach(async () => {
  redis = await startTestRedis()
  worker = createFakeWorker()
  store = connectRedis({ socketPath: redis.socketPath }, silentLogger)
  await store.waitAvailable(5_000)
})
afterEach(async () => {
  await lane.close()
  await store.close()
  await redis.close()
})

async function open(bounds: Partial<QuotaBounds>, changes: Partial<DurableLaneOptions> = {}): Promise<void> {
  lane = await openLane(redis, worker, { quotas: quotasInMemory(bounds), ...changes })
}

function submit(changes: Partial<Submission> = {}, namespace = 'loud') {
  const version = { ...versionOf('hello'), namespace }
  return lane.submit(submissionOf('hello', { version, ...changes }))
}

async function used(namespace = 'loud'): Promise<Record<'queued' | 'kept' | 'dead', number>> {
  const [queued, kept, dead] = (await store.command(
    'HMGET',
    `{thaw}:use:${namespace}`,
    'queued',
    'kept',
    'dead',
  )) as string[]
  return { queued: Number(queued ?? 0), kept: Number(kept ?? 0), dead: Number(dead ?? 0) }
}

/** Sums of what is counted one by one. */
async function counted(namespace = 'loud'): Promise<Record<'queued' | 'kept' | 'dead', number>> {
  const sums = { queued: 0, kept: 0, dead: 0 }
  const sizes = (await store.command('HVALS', `{thaw}:sizes:${namespace}`)) as string[]
  const names = { q: 'queued', k: 'kept', d: 'dead' } as const
  for (const size of sizes) sums[names[size[0] as 'q']] += Number.parseInt(size.slice(1), 10)
  return sums
}

const ended = (id: string) =>
  eventually(`${id} is over`, async () => !['queued', 'running'].includes((await lane.record(id))?.state ?? ''))
const QUEUED_FULL = { code: 'QUOTA_EXCEEDED', use: { quota: 'queuedBytes' } }

describe('queuedBytes', () => {
  test('refuses what comes above the bound, of however many at once, and nothing of another namespace', async () => {
    await open({ queuedBytes: 200_000 })
    const body = Buffer.alloc(10_000, 'x')
    const answers = await Promise.allSettled(Array.from({ length: 60 }, () => submit({ body })))
    const refused = answers.filter((answer) => answer.status === 'rejected')
    expect(refused.length).toBeGreaterThan(40)
    for (const { reason } of refused) expect(reason).toMatchObject(QUEUED_FULL)
    expect(refused[0]!.reason.retryAfterS).toBeGreaterThan(0)
    const { queued } = await used()
    expect(queued).toBeLessThanOrEqual(200_000)
    expect(queued).toBeGreaterThan(150_000)
    await submit({ body }, 'calm')
    // What was refused left nothing: no record, no job.
    expect(await store.command('HLEN', '{thaw}:sizes:loud')).toBe(answers.length - refused.length)
    const page = await lane.records({ namespace: 'loud', limit: 100 })
    expect(page.records.length).toBe(answers.length - refused.length)
    await lane.start()
    await eventually('all have ended', async () => (await used()).queued === 0)
    await submit({ body })
  })

  test('bounds the number of calls: one without a body counts, too', async () => {
    await open({ queuedBytes: 50_000 })
    const answers = await Promise.allSettled(Array.from({ length: 50 }, () => submit({ body: null })))
    const accepted = answers.filter(({ status }) => status === 'fulfilled').length
    expect(accepted).toBeGreaterThan(10)
    expect(accepted).toBeLessThan(34)
  })

  test('comes to nothing after every kind of end, and after a restart in between', async () => {
    await open({}, { keptMs: 60_000 })
    const kinds: Partial<Submission>[] = [
      {},
      { body: randomBytes(100_000) },
      { idempotencyKey: 'a' },
      { target: '/throws' },
      { target: '/again', maxAttempts: 3 },
      { maxAgeMs: 1 },
      { delayMs: 3_600_000, target: '/cancelled' },
    ]
    const ids: string[] = []
    for (const kind of kinds) ids.push((await submit(kind)).id)
    const again = await submit({ idempotencyKey: 'a' })
    expect(again).toMatchObject({ duplicate: true, id: ids[2] })
    expect(await counted()).toEqual(await used())
    const before = await used()
    expect(before.queued).toBeGreaterThan(100_000)
    await lane.close()
    let fails = 2
    worker = createFakeWorker(({ request, body }) => {
      if (request.target === '/throws') return { failure: threw('no') }
      if (request.target === '/again' && fails-- > 0)
        return { failure: { ...threw('later'), code: 'FUNCTION_CRASHED' } }
      return { status: 200, body }
    })
    await open({}, { keptMs: 60_000 })
    expect(await used()).toEqual(before)
    await lane.start()
    await lane.cancel(ids[6]!)
    for (const id of ids) await ended(id)
    expect(await used()).toMatchObject({ queued: 0 })
    expect(await counted()).toEqual(await used())
    expect((await used()).dead).toBeGreaterThan(0)
    await lane.deadLetters.redriveAll('loud', 'hello')
    await eventually('it is dead again', async () => (await used()).queued === 0)
    expect(await counted()).toEqual(await used())
    await lane.deadLetters.purge('loud', 'hello')
    expect(await used()).toMatchObject({ queued: 0, dead: 0 })
    expect(await counted()).toEqual(await used())
  })

  test('takes back all of a refused call: its body’s file and its idempotency key', async () => {
    await open({ queuedBytes: 200_000 })
    await submit({ body: randomBytes(90_000) })
    const large = randomBytes(150_000)
    await expect(submit({ body: large, idempotencyKey: 'once' })).rejects.toMatchObject(QUEUED_FULL)
    expect((await readdir(join(redis.stateDir, 'bodies'))).length).toBe(1)
    expect(await store.command('KEYS', '{thaw}:idem:*')).toEqual([])
    await lane.start()
    await eventually('there is room', async () => (await used()).queued === 0)
    expect(await submit({ body: large, idempotencyKey: 'once' })).toMatchObject({ duplicate: false })
  })

  test('stops receiving bodies whose bytes are above the bound together', async () => {
    await open({ queuedBytes: 300_000 })
    const answers = await Promise.allSettled([1, 2, 3, 4].map(() => submit({ body: randomBytes(140_000) })))
    expect(answers.filter(({ status }) => status === 'fulfilled').length).toBeLessThanOrEqual(2)
    expect((await used()).queued).toBeLessThanOrEqual(300_000)
  })

  test('keeps of a key that a client chose no more than a digest', async () => {
    await open({})
    await submit({ idempotencyKey: 'k'.repeat(4_000), target: `/${'t'.repeat(8_000)}` })
    const [key] = (await store.command('KEYS', '{thaw}:idem:*')) as string[]
    expect(String(await store.command('GET', key!)).length).toBeLessThan(300)
  })
})

describe('resultBytes', () => {
  test('the oldest results go first, with their files, and nothing of another namespace', async () => {
    await open({ resultBytes: 400_000 })
    await lane.start()
    const other = await submit({ body: randomBytes(100_000) }, 'calm')
    await ended(other.id)
    const ids: string[] = []
    for (let index = 0; index < 8; index++) {
      const { id } = await submit({ body: randomBytes(100_000) })
      ids.push(id)
      await ended(id)
    }
    const { kept } = await used()
    expect(kept).toBeLessThanOrEqual(400_000)
    expect(kept).toBeGreaterThan(200_000)
    expect(await lane.record(ids[0]!)).toBeNull()
    expect((await lane.result(ids[7]!, 0)).result?.bodyBytes).toBe(100_000)
    expect((await lane.result(other.id, 0)).result?.bodyBytes).toBe(100_000)
    await eventually('their files went', async () => (await readdir(join(redis.stateDir, 'results'))).length === 4)
    expect(await counted()).toEqual(await used())
    expect((await lane.records({ namespace: 'loud', limit: 100 })).records.length).toBe(3)
  })

  test('dead letters take at most half of it: results go on being kept', async () => {
    await open({ resultBytes: 100_000 })
    worker.handle = ({ request, body }) =>
      request.target === '/dies' ? { failure: threw('no') } : { status: 200, body }
    await lane.start()
    for (let index = 0; index < 12; index++) {
      const { id } = await submit({ body: Buffer.alloc(9_000), target: '/dies', maxAttempts: 1 })
      await ended(id)
    }
    const { dead } = await used()
    expect(dead).toBeLessThanOrEqual(50_000)
    const letters = await lane.deadLetters.list('loud', 'hello', { limit: 100 })
    expect(letters.length).toBeGreaterThan(1)
    expect(letters.length).toBeLessThan(6)
    const { id } = await submit({ body: Buffer.alloc(9_000) })
    await ended(id)
    expect((await lane.result(id, 0)).result?.bodyBytes).toBe(9_000)
  })

  test('what has expired is counted no longer', async () => {
    await open({}, { keptMs: 300 })
    await lane.start()
    const ids: string[] = []
    for (let index = 0; index < 5; index++) ids.push((await submit()).id)
    for (const id of ids) await ended(id)
    await eventually('they have expired', async () =>
      (await Promise.all(ids.map((id) => lane.record(id)))).every((one) => one === null),
    )
    await ended((await submit()).id)
    expect((await store.command('HLEN', '{thaw}:sizes:loud')) as number).toBe(1)
    expect(await counted()).toEqual(await used())
  })

  test('a response above all of it is refused, not kept', async () => {
    await open({ resultBytes: 100_000 })
    await lane.start()
    const { id } = await submit({ body: randomBytes(200_000) })
    await ended(id)
    expect(await lane.record(id)).toMatchObject({ state: 'failed', error: { code: 'FUNCTION_INVALID_RESPONSE' } })
  })
})

test('counts that were changed by hand are put right by maintenance', async () => {
  await open({})
  const { id: waiting } = await submit({ delayMs: 3_600_000 })
  const { id: lost } = await submit({ delayMs: 3_600_000 })
  await store.command('HSET', '{thaw}:use:loud', 'queued', 123_456_789, 'kept', -5)
  await store.command('DEL', `{thaw}:inv:${lost}`)
  await lane.tidy()
  expect(await counted()).toEqual(await used())
  expect(await store.command('HKEYS', '{thaw}:sizes:loud')).toEqual([waiting])
  expect((await used()).queued).toBeGreaterThan(1_500)
})
