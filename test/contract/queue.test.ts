// The durable lane on a real Redis: what it accepts runs, and its fate can be asked for by id.
import { createHash, randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { v7 } from 'uuid'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { DurableLane, Submission } from '../../worker/queue/api.ts'
import type { DurableLaneOptions } from '../../worker/queue/durable-lane.ts'
import { createFakeWorker, type FakeWorker } from '../support/fake-worker.ts'
import { openLane as openLaneOn, submissionOf } from '../support/lane.ts'
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
afterAll(async () => {
  await redis.close()
})
beforeEach(async () => {
  worker = createFakeWorker()
  lane = await openLane()
  await lane.start()
  name = `f${++functions}`
})
afterEach(async () => {
  await lane.close()
})

function openLane(changes: Partial<DurableLaneOptions> = {}): Promise<DurableLane> {
  return openLaneOn(redis, worker, changes)
}

function submission(changes: Partial<Submission> = {}): Submission {
  const headers = ['content-type', 'text/plain', 'x-latin', 'gr\u00fc\u00df']
  return submissionOf(name, { target: '/path?x=1', headers, ...changes })
}

async function bytesOf(body: Buffer | Readable): Promise<Buffer> {
  if (Buffer.isBuffer(body)) return body
  const chunks: Buffer[] = []
  for await (const chunk of body) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

describe('an accepted call', () => {
  test('runs as it was sent, and its record and result can be asked for by id', async () => {
    const sent = submission()
    const accepted = await lane.submit(sent)
    expect(accepted).toEqual({ id: sent.id, duplicate: false, durability: 'disk' })
    const { pending, record, result } = await lane.result(sent.id, 10_000)
    expect(pending).toBe(false)
    expect(record).toMatchObject({
      id: sent.id,
      state: 'succeeded',
      attempt: 1,
      status: 200,
      function: name,
      error: null,
    })
    expect(result).toMatchObject({ status: 200, bodyBytes: 5 })
    expect((await bytesOf(result!.body)).toString()).toBe('hello')
    const { request } = worker.calls[0]!
    expect(request).toMatchObject({
      id: sent.id,
      attempt: 1,
      method: 'POST',
      target: '/path?x=1',
      headers: sent.headers,
    })
    expect(request.version).toEqual(sent.version)
  })

  test('is pending until it ended, and queued before a slot is free', async () => {
    let release = () => {}
    worker.handle = () => new Promise((resolve) => (release = () => resolve({ status: 204 })))
    const version = versionOf(name, { concurrency: 1 })
    const first = await lane.submit(submission({ version }))
    const second = await lane.submit(submission({ version }))
    await eventually('the first call runs', () => worker.calls.length === 1)
    expect(await lane.result(first.id, 0)).toMatchObject({ pending: true, record: { state: 'running' }, result: null })
    expect((await lane.record(second.id))?.state).toBe('queued')
    expect(await lane.backlog('default', name)).toBe(1)
    release()
    await eventually('the second call runs', () => worker.calls.length === 2)
    release()
    expect((await lane.result(second.id, 10_000)).record.state).toBe('succeeded')
  })

  test('has no record under an unknown id', async () => {
    expect(await lane.record(v7())).toBeNull()
    await expect(lane.result(v7(), 0)).rejects.toMatchObject({ code: 'INVOCATION_NOT_FOUND' })
    await expect(lane.cancel(v7())).rejects.toMatchObject({ code: 'INVOCATION_NOT_FOUND' })
  })

  test('keeps large bodies and responses whole, in files that go when they are of no use', async () => {
    const body = randomBytes(3 * 1024 ** 2)
    const { id } = await lane.submit(submission({ body: Readable.from([body.subarray(0, 100), body.subarray(100)]) }))
    const { result } = await lane.result(id, 10_000)
    expect(result!.bodyBytes).toBe(body.length)
    const hash = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
    expect(hash(await bytesOf(result!.body))).toBe(hash(body))
    expect(worker.calls[0]!.body.length).toBe(body.length)
    const isEmpty = async () => (await readdir(join(redis.stateDir, 'bodies'))).length === 0
    await eventually('the bodies are gone', isEmpty)
  })

  test('waits for its delay', async () => {
    const { id } = await lane.submit(submission({ delayMs: 400 }))
    const { record } = await lane.result(id, 10_000)
    expect(Date.parse(record.startedAt!) - Date.parse(record.createdAt)).toBeGreaterThanOrEqual(400)
  })

  test('runs before one of a higher priority number', async () => {
    await lane.close()
    lane = await openLane()
    const version = versionOf(name, { concurrency: 1 })
    const submitted = []
    for (const priority of [9, 3, 5])
      submitted.push(await lane.submit(submission({ version, priority, target: `/${priority}` })))
    await lane.start()
    for (const { id } of submitted) await lane.result(id, 10_000)
    expect(worker.calls.map((call) => call.request.target)).toEqual(['/3', '/5', '/9'])
  })

  test('that is older than its maximum age expires without running', async () => {
    await lane.close()
    lane = await openLane()
    const { id } = await lane.submit(submission({ maxAgeMs: 1 }))
    await eventually('its age passes', () => Date.now() > Date.parse(timeOf(id)) + 50)
    await lane.start()
    expect((await lane.result(id, 10_000)).record).toMatchObject({ state: 'expired', attempt: 0, startedAt: null })
    expect(worker.calls).toEqual([])
  })

  test('is listed, newest first, by function and state', async () => {
    const ids = []
    for (let i = 0; i < 3; i++) ids.push((await lane.submit(submission())).id)
    for (const id of ids) await lane.result(id, 10_000)
    const list = async (more: object) =>
      (await lane.records({ namespace: 'default', function: name, limit: 10, ...more })).records.map(({ id }) => id)
    expect(await list({})).toEqual([...ids].reverse())
    expect(await list({ limit: 1 })).toEqual([ids[2]])
    expect(await list({ after: ids[2] })).toEqual([ids[1], ids[0]])
    expect(await list({ state: 'failed' })).toEqual([])
    expect(await list({ sinceMs: Date.now() + 1_000 })).toEqual([])
    expect(await list({ namespace: 'other' })).toEqual([])
  })
})

function timeOf(id: string): string {
  return new Date(Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)).toISOString()
}

describe('cancel', () => {
  test('a queued call never runs', async () => {
    const { id } = await lane.submit(submission({ delayMs: 60_000 }))
    expect(await lane.cancel(id)).toMatchObject({ state: 'cancelled', error: { code: 'CANCELLED' } })
    await expect(lane.cancel(id)).rejects.toMatchObject({ code: 'NOT_CANCELLABLE' })
    expect(await lane.backlog('default', name)).toBe(0)
    expect(worker.calls).toEqual([])
  })

  test('a running call is aborted and not tried again', async () => {
    worker.handle = () => new Promise(() => {})
    const { id } = await lane.submit(submission())
    await eventually('it runs', () => worker.calls.length === 1)
    expect((await lane.cancel(id)).state).toBe('cancelled')
    expect(worker.calls[0]!.signal.aborted).toBe(true)
    expect(await lane.backlog('default', name)).toBe(0)
  })

  test('wakes who waits for the result', async () => {
    const { id } = await lane.submit(submission({ delayMs: 60_000 }))
    const waiting = lane.result(id, 30_000)
    await lane.cancel(id)
    expect((await waiting).record.state).toBe('cancelled')
  })
})

describe('an idempotency key', () => {
  test('gives the same call for the same request, also when it is over', async () => {
    const first = await lane.submit(submission({ idempotencyKey: 'k' }))
    const second = await lane.submit(submission({ idempotencyKey: 'k' }))
    expect(second).toMatchObject({ id: first.id, duplicate: true })
    await lane.result(first.id, 10_000)
    expect(await lane.submit(submission({ idempotencyKey: 'k' }))).toMatchObject({ id: first.id, duplicate: true })
    expect(worker.calls.length).toBe(1)
  })

  test('is refused with another body', async () => {
    await lane.submit(submission({ idempotencyKey: 'k' }))
    const other = submission({ idempotencyKey: 'k', body: Buffer.from('other') })
    await expect(lane.submit(other)).rejects.toMatchObject({ code: 'IDEMPOTENCY_MISMATCH' })
  })

  test('belongs to its caller', async () => {
    const first = await lane.submit(submission({ idempotencyKey: 'k', caller: 'a' }))
    const second = await lane.submit(submission({ idempotencyKey: 'k', caller: 'b' }))
    expect(second).toMatchObject({ duplicate: false })
    expect(second.id).not.toBe(first.id)
  })
})

describe('refusals', () => {
  test('a body that ends early is not accepted, and leaves no file', async () => {
    const body = new Readable({ read() {} })
    body.push(randomBytes(200_000))
    const refused = expect(lane.submit(submission({ body }))).rejects.toMatchObject({ code: 'BODY_ABORTED' })
    await eventually('a file is begun', async () => (await readdir(join(redis.stateDir, 'bodies'))).length === 1)
    body.destroy(new Error('gone'))
    await refused
    expect(await readdir(join(redis.stateDir, 'bodies'))).toEqual([])
  })

  test('a draining lane accepts nothing and gives running calls back, uncounted', async () => {
    worker.handle = () => new Promise(() => {})
    const { id } = await lane.submit(submission())
    await eventually('it runs', () => worker.calls.length === 1)
    await lane.drain(50)
    await expect(lane.submit(submission())).rejects.toMatchObject({ code: 'DRAINING' })
    await lane.close()
    worker.handle = () => ({ status: 200 })
    lane = await openLane()
    expect(await lane.record(id)).toMatchObject({ state: 'queued', attempt: 0 })
    await lane.start()
    expect((await lane.result(id, 10_000)).record).toMatchObject({ state: 'succeeded', attempt: 1 })
  })
})

describe('after the death', () => {
  test('of the platform, a running call runs again with the same attempt number', async () => {
    worker.handle = () => new Promise(() => {})
    const { id } = await lane.submit(submission())
    await eventually('it runs', () => worker.calls.length === 1)
    await lane.close()
    expect(await redisState(id)).toBe('running')
    worker.handle = () => ({ status: 200 })
    lane = await openLane()
    await lane.start()
    expect((await lane.result(id, 10_000)).record).toMatchObject({ state: 'succeeded', attempt: 1 })
    expect(worker.calls.map((call) => call.request.attempt)).toEqual([1, 1])
  })

  test('of Redis, calls are refused until it is back, and nothing accepted is lost', async () => {
    let release = () => {}
    const gate = new Promise<void>((resolve) => (release = resolve))
    worker.handle = async () => {
      await gate
      return { status: 200 }
    }
    const version = versionOf(name, { concurrency: 4 })
    const accepted: string[] = []
    for (let i = 0; i < 12; i++) accepted.push((await lane.submit(submission({ version }))).id)
    redis.kill()
    await eventually('it is refused', async () => {
      try {
        accepted.push((await lane.submit(submission({ version }))).id)
        return false
      } catch (error) {
        return (error as { code?: string }).code === 'QUEUE_UNAVAILABLE'
      }
    })
    release()
    await eventually('it is accepted again', async () => {
      try {
        return accepted.push((await lane.submit(submission({ version }))).id)
      } catch {
        return false
      }
    })
    for (const id of accepted) expect((await lane.result(id, 30_000)).record.state).toBe('succeeded')
    const ran = worker.calls.map((call) => call.request.id)
    expect(new Set(ran)).toEqual(new Set(accepted))
  }, 60_000)
})

async function redisState(id: string): Promise<string | undefined> {
  const other = await openLane()
  try {
    return await eventually('redis answers', async () => (await other.record(id).catch(() => null))?.state)
  } finally {
    await other.close()
  }
}
