// Records of asynchronous calls over time: pages that neither repeat nor skip, and all that goes when its time is over.
import { randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Clock } from '../../runtime/api.ts'
import type { DurableLane } from '../../worker/queue/api.ts'
import { InvocationStore } from '../../worker/queue/invocation-store.ts'
import { connectRedis, type RedisStore } from '../../worker/store/connect.ts'
import { createFakeWorker, type FakeWorker } from '../support/fake-worker.ts'
import { openLane, submissionOf } from '../support/lane.ts'
import { eventually, realClock, silentLogger, startTestRedis, type TestRedis } from '../support/redis.ts'

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

describe('the list of records', () => {
  test('page by page shows each call once, also while others are accepted', async () => {
    const ids: string[] = []
    for (let i = 0; i < 1_200; i += 100) {
      const more = await Promise.all(
        Array.from({ length: 100 }, () => lane.submit(submissionOf(`f${i % 3}`, { body: null }))),
      )
      ids.push(...more.map(({ id }) => id))
    }
    const seen: string[] = []
    let after: string | undefined
    for (;;) {
      const page = await lane.records({ namespace: 'default', limit: 70, ...(after === undefined ? {} : { after }) })
      seen.push(...page.records.map(({ id }) => id))
      await lane.submit(submissionOf('late', { body: null }))
      if (page.records.length < 70) break
      after = seen.at(-1)!
    }
    expect(seen).toEqual([...ids].sort().reverse())
    const queued = await lane.records({ namespace: 'default', function: 'f0', state: 'queued', limit: 1_000 })
    expect(queued.records.length).toBe(400)
    expect(await lane.records({ namespace: 'default', state: 'failed', limit: 5 })).toEqual({ records: [], next: null })
  })

  test('a call that only a newer release can read hides no other, and is not run by this one', async () => {
    const newer = await lane.submit(submissionOf('newer', { body: null }))
    const own = await lane.submit(submissionOf('own', { body: null }))
    const [job] = (await store.command('KEYS', `*:newer:${newer.id}`)) as [string]
    const text = String(await store.command('HGET', job, 'data'))
    await store.command('HSET', job, 'data', text.replace('"base":1', '"base":2'))
    const listed = await lane.records({ namespace: 'default', limit: 10 })
    expect(listed.records.map(({ id }) => id)).toEqual([own.id])
    await lane.start()
    await eventually(
      'it was asked for, and waits for a newer one',
      async () => (await store.command('ZCARD', job.replace(newer.id, 'delayed'))) === 1,
    )
    await lane.result(own.id, 10_000)
    expect(worker.calls.map(({ request }) => request.version.name)).toEqual(['own'])
    expect(await store.command('EXISTS', job)).toBe(1)
  })
})

describe('what is over', () => {
  test('is forgotten after its time: record, result, its file and its place in the list', async () => {
    await lane.close()
    // Files and lists go by the platform's clock, keys by Redis's own: the one is put forward, the other given little.
    let aheadMs = 0
    const clock: Clock = { ...realClock, now: () => Date.now() + aheadMs }
    lane = await openLane(redis, worker, { keptMs: 2_500, clock })
    await lane.start()
    worker.handle = ({ request }) => ({ status: request.target === '/bad' ? 400 : 200, body: randomBytes(100_000) })
    const good = await lane.submit(submissionOf('f', { body: randomBytes(100_000) }))
    await lane.result(good.id, 10_000)
    const bad = await lane.submit(submissionOf('f', { target: '/bad' }))
    const later = await lane.submit(submissionOf('f', { delayMs: 3_600_000 }))
    await lane.result(bad.id, 10_000)
    const results = () => readdir(join(redis.stateDir, 'results'))
    expect((await results()).length).toBe(2)
    await eventually('its record is gone', async () => (await lane.record(good.id)) === null)
    aheadMs = 3_600_000 - 60_000
    await lane.tidy()
    expect(await results()).toEqual([`${bad.id}-1`])
    expect(await store.command('ZRANGE', '{thaw}:invs:default', 0, -1)).toEqual([bad.id, later.id])
    // A dead letter keeps its record and result; purged, they go as well.
    await lane.deadLetters.purge('default', 'f')
    await eventually('its record is gone', async () => (await lane.record(bad.id)) === null)
    await lane.tidy()
    expect(await store.command('ZRANGE', '{thaw}:invs:default', 0, -1)).toEqual([later.id])
    expect((await lane.record(later.id))?.state).toBe('queued')
  })

  test('leaves the due index when its queue holds nothing; a queue of delayed calls is due with the first', async () => {
    const nowMs = Date.now()
    await lane.start()
    const done = await lane.submit(submissionOf('empty'))
    await lane.result(done.id, 10_000)
    await lane.submit(submissionOf('delayed', { delayMs: 7_200_000 }))
    await lane.submit(submissionOf('delayed', { delayMs: 3_600_000 }))
    await lane.pauseFunction('default', 'waiting', true)
    await lane.submit(submissionOf('waiting'))
    const invocations = new InvocationStore(store)
    await eventually(
      'the empty queue has let its job go',
      async () => (await lane.queueState('default', 'empty')).active === 0,
    )
    await invocations.settleDue(nowMs + 3_600_000)
    expect((await invocations.queueKeys()).sort()).toEqual(['default/delayed', 'default/waiting'])
    await invocations.settleDue(nowMs + 9_000_000)
    const score = Number(await store.command('ZSCORE', '{thaw}:due', 'default/delayed'))
    expect(Math.abs(score - nowMs - 3_600_000)).toBeLessThan(60_000)
  })
})
