// Schedules on a real Redis with time by hand: fired once each by however many platforms, after an outage as told, gone when
// removed, and kept over a restart.
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ScheduleSpec, Schedules, Submission } from '../../worker/queue/api.ts'
import { QueueError } from '../../worker/queue/api.ts'
import { ScheduleStore } from '../../worker/queue/schedules/schedule-store.ts'
import { createSchedules } from '../../worker/queue/schedules/scheduler.ts'
import type { FunctionEntry } from '../../worker/registry/api.ts'
import { RegistryError } from '../../worker/registry/api.ts'
import type { Quotas } from '../../worker/registry/quotas.ts'
import { connectRedis, type RedisStore } from '../../worker/store/connect.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { quotasInMemory } from '../support/quota-book.ts'
import { eventually, silentLogger, startTestRedis, type TestRedis } from '../support/redis.ts'
import { versionOf } from '../support/samples.ts'

const MINUTE = 60_000
let redis: TestRedis
let store: RedisStore
let clock: FakeClock
let submitted: Submission[]
let refuse: Error | null
const opened: Schedules[] = []

let quotas: Quotas | null
beforeEach(async () => {
  redis = await startTestRedis()
  store = connectRedis({ socketPath: redis.socketPath }, silentLogger)
  await store.waitAvailable(5_000)
  clock = new FakeClock()
  submitted = []
  refuse = null
  quotas = null
})
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close()
  await store.close()
  await redis.close()
})

function open(known = ['hello']): Schedules {
  const made = createSchedules({
    redis: store,
    clock,
    logger: silentLogger,
    ...(quotas === null ? {} : { quotas }),
    registry: {
      list: () => known.map((name) => ({ name }) as FunctionEntry),
      resolve: (_namespace, name) => {
        if (known.includes(name)) return versionOf(name)
        throw new RegistryError('FUNCTION_NOT_FOUND', `unknown function ${name}`)
      },
    },
    lane: {
      submit: async (submission) => {
        if (refuse !== null) throw refuse
        submitted.push(submission)
        return { id: submission.id, duplicate: false, durability: 'disk' as const }
      },
    },
  })
  opened.push(made)
  return made
}

function spec(changes: Partial<ScheduleSpec> = {}): ScheduleSpec {
  return {
    cron: '* * * * *',
    timeZone: 'UTC',
    method: 'POST',
    path: '/',
    contentType: null,
    payload: { a: 1 },
    missed: 'run-once',
    paused: false,
    ...changes,
  }
}

/** Moves time in small steps: Redis answers in real time. */
async function until(what: string, stepMs: number, ask: () => boolean | Promise<boolean>): Promise<void> {
  await eventually(what, async () => {
    if (await ask()) return true
    await clock.advance(stepMs)
    return false
  })
}

test('a schedule queues its call with body, headers and an id that follows from its time', async () => {
  const keeper = open()
  keeper.start()
  const { schedule, created } = await keeper.set('default', 'hello', 'nightly', spec({ path: '/x?y=1' }))
  expect(created).toBe(true)
  expect(schedule.nextAt).toBe('2026-01-01T00:01:00.000Z')
  await until('it fired', 5_000, () => submitted.length > 0)
  const call = submitted[0]!
  expect(call).toMatchObject({ method: 'POST', target: '/x?y=1', caller: 'schedule' })
  expect(String(call.body)).toBe('{"a":1}')
  expect(call.headers).toEqual(
    expect.arrayContaining(['Content-Type', 'application/json', 'Fn-Schedule', 'nightly', '2026-01-01T00:01:00.000Z']),
  )
  expect(call.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab]/)
  await eventually('it is written down', async () => (await keeper.get('default', 'hello', 'nightly')).last !== null)
  expect((await keeper.get('default', 'hello', 'nightly')).last).toMatchObject({ invocation: call.id, skipped: null })
})

test('two platforms on one Redis queue each time once', async () => {
  const first = open()
  const second = open()
  first.start()
  second.start()
  await first.set('default', 'hello', 'often', spec())
  await until('five runs', 5_000, () => new Set(submitted.map(({ id }) => id)).size >= 5)
  const ids = submitted.map(({ id }) => id)
  expect(new Set(ids).size).toBe(ids.length)
})

test('one that was being fired when its platform died is fired by the next, as the same call', async () => {
  const first = open()
  await first.set('default', 'hello', 'often', spec())
  refuse = new QueueError('QUEUE_UNAVAILABLE', 'away')
  first.start()
  await until('it was tried', 5_000, () => clock.now() > Date.UTC(2026, 0, 1, 0, 1, 5))
  await first.close()
  expect(submitted).toEqual([])
  refuse = null
  open().start()
  await until('it fired', 1_000, () => submitted.length > 0)
  expect(submitted[0]!.headers).toContain('2026-01-01T00:01:00.000Z')
})

test('after an outage run-once runs one time and skip none', async () => {
  const before = open()
  await before.set('default', 'hello', 'once', spec({ cron: '0 * * * *' }))
  await before.set('default', 'hello', 'never', spec({ cron: '0 * * * *', missed: 'skip' }))
  await before.close()
  await clock.advance(5 * 60 * MINUTE + 30 * MINUTE)
  const after = open()
  after.start()
  const last = async (name: string) => (await after.get('default', 'hello', name)).last
  await eventually('both were looked at', async () => (await last('once')) !== null && (await last('never')) !== null)
  expect(submitted.map((call) => call.headers[call.headers.indexOf('Fn-Schedule') + 1])).toEqual(['once'])
  expect(await last('once')).toMatchObject({ scheduledAt: '2026-01-01T05:00:00.000Z', skipped: null })
  expect(await last('never')).toMatchObject({ invocation: null, skipped: 'missed' })
  expect((await after.get('default', 'hello', 'never')).nextAt).toBe('2026-01-01T06:00:00.000Z')
})

test('a paused one does not fire and goes on from now when it is resumed', async () => {
  const keeper = open()
  keeper.start()
  const paused = await keeper.set('default', 'hello', 'often', spec({ paused: true }))
  expect(paused.schedule.nextAt).toBeNull()
  await clock.advance(10 * MINUTE)
  const resumed = await keeper.set('default', 'hello', 'often', spec())
  expect(resumed.created).toBe(false)
  expect(Date.parse(resumed.schedule.nextAt!)).toBeGreaterThan(clock.now())
  expect(submitted).toEqual([])
})

test('one of an unknown function makes no call and says so', async () => {
  const keeper = open([])
  await keeper.set('default', 'gone', 'often', spec())
  keeper.start()
  await until('it was tried', 5_000, async () => (await keeper.get('default', 'gone', 'often')).last !== null)
  expect((await keeper.get('default', 'gone', 'often')).last?.skipped).toMatch(/unknown function gone/)
  expect(submitted).toEqual([])
})

test('removed ones are gone, one or all of a function, and an unknown one says so', async () => {
  const keeper = open()
  for (const name of ['a', 'b', 'c']) await keeper.set('default', 'hello', name, spec())
  expect((await keeper.list('default', 'hello')).map(({ name }) => name)).toEqual(['a', 'b', 'c'])
  await keeper.remove('default', 'hello', 'b')
  await expect(keeper.remove('default', 'hello', 'b')).rejects.toMatchObject({ code: 'SCHEDULE_NOT_FOUND' })
  expect(await keeper.removeAll('default', 'hello')).toBe(2)
  keeper.start()
  await clock.advance(5 * MINUTE)
  expect(await keeper.list('default', 'hello')).toEqual([])
  expect(submitted).toEqual([])
})

test('a function has at most a hundred', async () => {
  const keeper = open()
  for (let index = 0; index < 100; index++) await keeper.set('default', 'hello', `s${index}`, spec())
  await expect(keeper.set('default', 'hello', 'one-more', spec())).rejects.toMatchObject({ code: 'SCHEDULE_INVALID' })
  await expect(keeper.set('default', 'hello', 's7', spec())).resolves.toMatchObject({ created: false })
})

test('large ones of a function are read in parts, all of them and in order', async () => {
  const keeper = open()
  const names = Array.from({ length: 40 }, (_, at) => `s${String(at).padStart(2, '0')}`)
  const payload = 'x'.repeat(60_000)
  for (const name of names.toReversed()) await keeper.set('default', 'hello', name, spec({ payload }))
  const replies: number[] = []
  const connection = store
  const asked = new ScheduleStore({
    ...connection,
    script: async (...args) => {
      const reply = await connection.script(...args)
      replies.push(JSON.stringify(reply).length)
      return reply
    },
  })
  expect((await asked.readAll('default', 'hello')).map(({ stored }) => stored.name)).toEqual(names)
  expect(replies.length).toBeGreaterThan(3)
  expect(Math.max(...replies)).toBeLessThan(1024 ** 2)
  expect((await keeper.list('default', 'hello')).map(({ name }) => name)).toEqual(names)
})

test('a namespace has at most its quota, paused ones included, however many are set at once; another has its own', async () => {
  quotas = quotasInMemory({ schedules: 3 })
  const keeper = open(['hello', 'other'])
  const adding = Array.from({ length: 6 }, (_, index) =>
    keeper.set('shop', index % 2 === 0 ? 'hello' : 'other', `s${index}`, spec({ paused: index === 0 })),
  )
  const settled = await Promise.allSettled(adding)
  expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(3)
  for (const one of settled)
    if (one.status === 'rejected')
      expect(one.reason).toMatchObject({ code: 'QUOTA_EXCEEDED', use: { quota: 'schedules', bound: 3, inUse: 3 } })
  expect((await quotas.view('shop')).schedules).toMatchObject({ bound: 3, inUse: 3 })
  await expect(keeper.set('shop', 'hello', 's0', spec())).resolves.toMatchObject({ created: false })
  await expect(keeper.set('mall', 'hello', 's9', spec())).resolves.toMatchObject({ created: true })
  await keeper.remove('shop', 'hello', 's0')
  await expect(keeper.set('shop', 'hello', 's9', spec())).resolves.toMatchObject({ created: true })
})

test('three hundred every-second schedules of one namespace delay another’s by less than a second, and are put off', async () => {
  quotas = quotasInMemory({ firesPerSecond: 50 })
  const keeper = open()
  for (let index = 0; index < 300; index++)
    await keeper.set('loud', `hello`, `s${index}`, spec({ cron: '* * * * * *' })).catch(() => {})
  await keeper.set('calm', 'hello', 'five', spec({ cron: '*/5 * * * * *' }))
  const firedAt: number[] = []
  const seen = new Set<string>()
  keeper.start()
  await until('the calm one fired six times', 100, () => {
    for (const { id, headers } of submitted) {
      if (seen.has(id)) continue
      seen.add(id)
      if (headers[headers.indexOf('Fn-Schedule') + 1] !== 'five') continue
      firedAt.push(clock.now() - Date.parse(headers[headers.indexOf('Fn-Scheduled-At') + 1]!))
    }
    return firedAt.length >= 6
  })
  expect(Math.max(...firedAt)).toBeLessThan(1_000)
  const elapsedS = (clock.now() - Date.UTC(2026, 0, 1)) / 1_000
  expect(submitted.length - firedAt.length).toBeLessThanOrEqual(50 * (elapsedS + 2))
  expect(
    [...quotas.refusals()].some(({ namespace, quota }) => namespace === 'loud' && quota === 'firesPerSecond'),
  ).toBe(true)
})

test('one whose next time was lost gets it back, and so does a namespace that was not asked any more', async () => {
  const schedules = open()
  await schedules.set('default', 'hello', 'lost', spec())
  await schedules.set('default', 'hello', 'resting', spec({ paused: true }))
  await schedules.set('other', 'hello', 'unasked', spec())
  await store.command('DEL', '{thaw}:schedules:due:default')
  await store.command('ZREM', '{thaw}:schedules:namespaces', 'default', 'other')
  schedules.start()
  const nextOf = async (namespace: string, name: string) => (await schedules.get(namespace, 'hello', name)).nextAt
  await eventually('it has a time again', async () => (await nextOf('default', 'lost')) !== null)
  expect(await nextOf('default', 'resting')).toBeNull()
  const asked = async () => (await store.command('ZRANGE', '{thaw}:schedules:namespaces', 0, -1)) as string[]
  await eventually('both namespaces are asked', async () => (await asked()).length === 2)
  await clock.advance(MINUTE)
  await eventually('both have fired', () => submitted.length === 2)
})

test('one that cannot be read keeps no other waiting', async () => {
  const schedules = open()
  await schedules.set('default', 'hello', 'broken', spec())
  await schedules.set('default', 'hello', 'whole', spec())
  await store.command('HSET', '{thaw}:schedules:of:default/hello', 'broken', '{"cron":')
  schedules.start()
  await clock.advance(MINUTE)
  await eventually('the other has fired', () => submitted.length === 1)
  expect((await schedules.list('default', 'hello')).map(({ name }) => name)).toEqual(['whole'])
})
