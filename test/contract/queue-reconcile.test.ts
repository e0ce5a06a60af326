// A call whose record and job disagree is put right, whatever made them: each pair of states, on a real Redis. What takes no harm
// (neighbours that run, calls on their way) is in the same Redis.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { DurableLane, Submission } from '../../worker/queue/api.ts'
import { QUEUES_PREFIX } from '../../worker/queue/job-scripts.ts'
import { ReconcileStore } from '../../worker/queue/reconcile-store.ts'
import { connectRedis, type RedisStore } from '../../worker/store/connect.ts'
import { createFakeWorker, type FakeWorker } from '../support/fake-worker.ts'
import { openLane, submissionOf } from '../support/lane.ts'
import { eventually, silentLogger, startTestRedis, type TestRedis } from '../support/redis.ts'

/** A call is left alone for so long. */
const UNCHANGED_MS = 150
const reconcile = { everyMs: 100, pageMs: 1, unchangedMs: UNCHANGED_MS }
const QUEUE = `${QUEUES_PREFIX}:default:f`

let redis: TestRedis
let worker: FakeWorker
let store: RedisStore
const lanes: DurableLane[] = []

beforeEach(async () => {
  redis = await startTestRedis()
  worker = createFakeWorker()
  store = connectRedis({ socketPath: redis.socketPath }, silentLogger)
  await store.waitAvailable(5_000)
})
afterEach(async () => {
  for (const lane of lanes.splice(0)) await lane.close()
  await store.close()
  await redis.close()
})

async function open(changes: object = {}): Promise<DurableLane> {
  const lane = await openLane(redis, worker, { reconcile, ...changes })
  lanes.push(lane)
  return lane
}
const command = (...words: readonly [string, ...(string | number)[]]) => store.command(...words)

/** A call in the state that is to be found, by a lane that runs nothing. */
async function accept(changes: Partial<Submission> = {}): Promise<string> {
  const lane = await open({ runs: false })
  const { id } = await lane.submit(submissionOf('f', changes))
  await lane.start()
  return id
}
/** As if it ran: its record says so, its job is handed out, its lock held for `lockMs` or not at all. */
async function markRunning(id: string, lockMs: number): Promise<void> {
  const lane = lanes[0]!
  const record = await lane.record(id)
  await command('SET', `{thaw}:inv:${id}`, JSON.stringify({ ...record, state: 'running', attempt: 1 }), 'PX', 3_600_000)
  await command('LREM', `${QUEUE}:wait`, 0, id)
  await command('LPUSH', `${QUEUE}:active`, id)
  if (lockMs > 0) await command('SET', `${QUEUE}:${id}:lock`, 'of another', 'PX', lockMs)
}
async function ran(lane: DurableLane, id: string): Promise<void> {
  expect((await lane.result(id, 10_000)).record.state).toBe('succeeded')
  expect(worker.calls.map(({ request }) => request.id)).toEqual([id])
}
async function endedLost(lane: DurableLane, id: string): Promise<void> {
  const { record } = await lane
    .result(id, 10_000)
    .catch(async () => eventually('it is found', () => lane.result(id, 10_000).catch(() => null)))
  expect(record).toMatchObject({ state: 'failed', function: 'f', error: { code: 'JOB_LOST', component: 'queue' } })
  expect(await lane.deadLetters.show('default', 'f', id)).toMatchObject({ id, state: 'failed', method: null })
  await expect(lane.deadLetters.redrive('default', 'f', id)).rejects.toMatchObject({ code: 'NOT_REDRIVABLE' })
  expect(await lane.deadLetters.redriveAll('default', 'f')).toBe(0)
  expect(worker.calls).toEqual([])
  expect(await command('KEYS', `${QUEUE}:${id}*`)).toEqual([])
}

describe('a record without a job', () => {
  test('of a call that never ran ends as lost, a dead letter that cannot be redriven', async () => {
    const id = await accept()
    await command('DEL', `${QUEUE}:${id}`)
    await command('DEL', `${QUEUE}:wait`)
    await endedLost(lanes[0]!, id)
  })

  test('that waited for its next attempt likewise, with what is known of it', async () => {
    const id = await accept()
    const record = await lanes[0]!.record(id)
    await command('SET', `{thaw}:inv:${id}`, JSON.stringify({ ...record, attempt: 2 }), 'PX', 3_600_000)
    await command('DEL', `${QUEUE}:${id}`, `${QUEUE}:wait`)
    await endedLost(lanes[0]!, id)
    expect(await lanes[0]!.record(id)).toMatchObject({ attempt: 2, version: 1 })
  })

  test('that says running while no process runs it ends in the same way; while a lock is held it stays', async () => {
    const id = await accept()
    await markRunning(id, 600)
    await command('DEL', `${QUEUE}:${id}`, `${QUEUE}:active`)
    await eventually('the lock ran out', async () => {
      const held = await command('EXISTS', `${QUEUE}:${id}:lock`)
      const record = await lanes[0]!.record(id)
      // ORDER: asked before the record: it may run out between.
      if (held === 1) expect(record?.state).toBe('running')
      return held === 0
    })
    await endedLost(lanes[0]!, id)
  })

  test('of a call with a waiting caller ends without a dead letter', async () => {
    const id = await accept({ awaited: true })
    await command('DEL', `${QUEUE}~:${id}`, `${QUEUE}~:wait`)
    const lane = lanes[0]!
    await eventually('it ended', async () => (await lane.record(id))?.state === 'failed')
    expect(await lane.deadLetters.list('default', 'f', { limit: 5 })).toEqual([])
  })
})

describe('a job in no list', () => {
  test('of a call that never ran is run', async () => {
    const id = await accept()
    await command('DEL', `${QUEUE}:wait`)
    await ran(await openRunning(), id)
  })

  test('that waits for its time waits on for that', async () => {
    const id = await accept({ delayMs: 3_600_000 })
    await command('DEL', `${QUEUE}:delayed`)
    await eventually('it waits again', async () => (await command('ZCARD', `${QUEUE}:delayed`)) === 1)
    const dueAtMs = Number(await command('ZSCORE', `${QUEUE}:delayed`, id)) / 4096
    expect(Math.abs(dueAtMs - Date.now() - 3_600_000)).toBeLessThan(60_000)
  })

  test('whose record says running is run again, as the same attempt', async () => {
    const id = await accept()
    await markRunning(id, 0)
    await command('DEL', `${QUEUE}:active`)
    const lane = await openRunning()
    await ran(lane, id)
    expect((await lane.record(id))?.attempt).toBe(1)
  })

  test('that must not run twice ends as its worker was lost', async () => {
    const id = await accept({ awaited: true, method: 'POST' })
    const lane = lanes[0]!
    const record = await lane.record(id)
    await command('SET', `{thaw}:inv:${id}`, JSON.stringify({ ...record, state: 'running', attempt: 1 }), 'PX', 60_000)
    await command('DEL', `${QUEUE}~:wait`)
    await openRunning()
    await eventually('it ended', async () => (await lane.record(id))?.error?.code === 'WORKER_LOST')
    expect(worker.calls).toEqual([])
  })
})

describe('a job that was handed out', () => {
  test('whose lock is not renewed goes back', async () => {
    const id = await accept()
    await markRunning(id, 0)
    await eventually('it waits', async () => (await command('LPOS', `${QUEUE}:wait`, id)) !== null)
    expect(await lanes[0]!.record(id)).toMatchObject({ state: 'queued', attempt: 0 })
    await ran(await openRunning(), id)
  })

  test('and is empty ends its call', async () => {
    const id = await accept()
    await command('HDEL', `${QUEUE}:${id}`, 'data')
    const lane = await openRunning()
    await endedLost(lane, id)
  })

  test('and is no envelope ends its call, and does not keep others waiting', async () => {
    const id = await accept()
    await command('HSET', `${QUEUE}:${id}`, 'data', '{"id":')
    const lane = await openRunning()
    const other = await lane.submit(submissionOf('f'))
    expect((await lane.result(other.id, 10_000)).record.state).toBe('succeeded')
    worker.calls.length = 0
    await endedLost(lane, id)
  })
})

describe('a job without a record', () => {
  test('gets one that can be asked for and is listed', async () => {
    const id = await accept({ delayMs: 3_600_000 })
    await command('DEL', `{thaw}:inv:${id}`, '{thaw}:invs:default')
    const lane = lanes[0]!
    const record = await eventually('it has one', () => lane.record(id))
    expect(record).toMatchObject({ id, state: 'queued' })
    expect((await lane.records({ namespace: 'default', limit: 5 })).records.map((one) => one.id)).toEqual([id])
    expect(Number(await command('PTTL', `{thaw}:inv:${id}`))).toBeGreaterThan(3_600_000)
  })

  test('whose queue was missing in the due index is asked for', async () => {
    const id = await accept()
    await command('DEL', '{thaw}:due')
    await ran(await openRunning(), id)
    expect(lanes.some((lane) => lane.mended().due > 0)).toBe(true)
  })
})

describe('a record that says what its job does not', () => {
  test('running, though it waits in a paused queue: it says queued', async () => {
    const id = await accept()
    const lane = lanes[0]!
    await lane.pauseFunction('default', 'f', true)
    await markRunning(id, 0)
    await command('DEL', `${QUEUE}:active`)
    await command('RPUSH', `${QUEUE}:wait`, id)
    await eventually('it says so', async () => (await lane.record(id))?.state === 'queued')
    expect(await lane.queueState('default', 'f')).toMatchObject({ waiting: 1, paused: true })
  })

  test('over, though its job is there: the job goes, in a paused queue, too', async () => {
    const id = await accept()
    const lane = lanes[0]!
    await lane.pauseFunction('default', 'f', true)
    const record = await lane.record(id)
    await command('SET', `{thaw}:inv:${id}`, JSON.stringify({ ...record, state: 'succeeded' }), 'PX', 3_600_000)
    await eventually('it is gone', async () => (await lane.backlog('default', 'f')) === 0)
    expect(await command('KEYS', `${QUEUE}:${id}*`)).toEqual([])
    expect((await lane.record(id))?.state).toBe('succeeded')
  })
})

test('what has changed since it was seen stays as it is', async () => {
  const lane = await open({ runs: false })
  const { id } = await lane.submit(submissionOf('f', { delayMs: 3_600_000 }))
  await command('DEL', `${QUEUE}:${id}`)
  const mender = new ReconcileStore(store, 3_600_000)
  const { pairs } = await mender.look([['', id]])
  expect(pairs).toMatchObject([{ queueKey: 'default/f', id, record: 'accepted', job: 'none', listed: true }])
  const before = await command('GET', `{thaw}:inv:${id}`)
  await command('SET', `{thaw}:inv:${id}`, '{"state":"succeeded"}')
  expect(await mender.mend(pairs[0]!, 'end', null, Date.now())).toBe(false)
  await command('SET', `{thaw}:inv:${id}`, String(before))
  await command('SET', `${QUEUE}:${id}:lock`, 'of another')
  expect(await mender.mend(pairs[0]!, 'end', null, Date.now())).toBe(false)
  await command('DEL', `${QUEUE}:${id}:lock`)
  expect(await mender.mend(pairs[0]!, 'end', null, Date.now())).toBe(true)
  expect((await lane.record(id))?.error?.code).toBe('JOB_LOST')
})

test('an entry of the outbox that cannot be read keeps no other waiting', async () => {
  const lane = await openRunning()
  await command('HSET', '{thaw}:outbox', 'poison', '{"record":')
  const { id } = await lane.submit(submissionOf('f', { notify: { callback: 'http://localhost/' } }))
  await lane.result(id, 10_000)
  expect((await lane.outbox.list(10)).map(({ record }) => record.id)).toEqual([id])
  expect(await command('HKEYS', '{thaw}:outbox')).toEqual([id])
})

test('a call whose body is gone from the disk ends, and says so', async () => {
  const id = await accept({ body: Buffer.alloc(100_000) })
  await rm(join(redis.stateDir, 'bodies', id))
  const lane = await openRunning()
  expect((await lane.result(id, 10_000)).record).toMatchObject({ state: 'failed', error: { code: 'JOB_LOST' } })
  expect(worker.calls).toEqual([])
})

test('the record of a call that runs long outlives it', async () => {
  const running = { now: false }
  worker.handle = () => {
    running.now = true
    return new Promise(() => {})
  }
  const lane = await openRunning()
  const { id } = await lane.submit(submissionOf('f', { awaited: true, timeoutMs: 3_600_000, maxAgeMs: 60_000 }))
  await eventually('it runs', () => running.now)
  expect(Number(await command('PTTL', `{thaw}:inv:${id}`))).toBeGreaterThan(3_600_000)
})

test('calls on their way are not touched: many run once each while two platforms look all the time', async () => {
  const busy = { reconcile: { everyMs: 0, pageMs: 0, unchangedMs: 0 }, soleOwner: false }
  const first = await open(busy)
  const second = await open(busy)
  await Promise.all([first.start(), second.start()])
  worker.handle = async () => {
    await new Promise((resolve) => setTimeout(resolve, 5))
    return { status: 200 }
  }
  const ids = await Promise.all(Array.from({ length: 100 }, async () => (await first.submit(submissionOf('f'))).id))
  for (const id of ids)
    expect((await first.result(id, 20_000)).record).toMatchObject({ state: 'succeeded', attempt: 1 })
  expect(worker.calls.map(({ request }) => request.id).sort()).toEqual([...ids].sort())
  for (const lane of [first, second]) expect(lane.mended()).toMatchObject({ requeue: 0, end: 0, drop: 0 })
})

test('many at once are put right in pages, and said in one line', async () => {
  const lines: object[] = []
  const logger = { ...silentLogger, warn: (fields: object) => void lines.push(fields) }
  const lane = await open({ runs: false, logger })
  const ids = await Promise.all(Array.from({ length: 300 }, async () => (await lane.submit(submissionOf('f'))).id))
  await command('DEL', `${QUEUE}:wait`)
  await lane.start()
  await eventually('all wait again', async () => (await lane.backlog('default', 'f')) === ids.length, 20_000)
  await eventually('it is said', () => lines.length > 0)
  expect(lines).toMatchObject([{ queuedAgain: 300, ended: 0 }])
}, 30_000)

async function openRunning(): Promise<DurableLane> {
  const lane = await open()
  await lane.start()
  return lane
}
