// Every command of the lane is made to fail once, in every way: steps × faults. A life of calls (queued, run, tried again, dead,
// redriven, delayed, cancelled, given back) goes on behind a proxy that harms one command of one kind; in the end every call has
// ended as it should, ran as often as it should, and nothing of any is left in the queue.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createCallbacks } from '../../worker/queue/callbacks/deliverer.ts'
import * as deliveryScripts from '../../worker/queue/callbacks/delivery-store.ts'
import * as deadLetterScripts from '../../worker/queue/dead-letter-store.ts'
import { createDurableLane } from '../../worker/queue/durable-lane.ts'
import * as invocationScripts from '../../worker/queue/invocation-scripts.ts'
import * as jobScripts from '../../worker/queue/job-scripts.ts'
import * as reconcileScripts from '../../worker/queue/reconcile-scripts.ts'
import { RETRY_DEFAULTS } from '../../worker/queue/retry-policy.ts'
import { connectRedis, type RedisStore } from '../../worker/store/connect.ts'
import { createFakeWorker } from '../support/fake-worker.ts'
import { submissionOf } from '../support/lane.ts'
import { eventually, realClock, silentLogger, startTestRedis, type TestRedis } from '../support/redis.ts'
import { type CommandFault, openRedisProxy } from '../support/redis-proxy.ts'
import { versionOf } from '../support/samples.ts'

/** Several lives go on at once, each on a Redis of its own. */
const AT_ONCE = 4
/** Locks are renewed three times in so long; one call runs longer than that takes. */
const LOCK_MS = 450
const LONG_MS = 250

const FAULTS: Readonly<Record<string, CommandFault>> = {
  'is refused for want of memory': {
    kind: 'refused',
    error: "OOM command not allowed when used memory > 'maxmemory'.",
  },
  'is refused by a replica': { kind: 'refused', error: "READONLY You can't write against a read only replica." },
  'is refused by a server that loads': { kind: 'refused', error: 'LOADING Redis is loading the dataset in memory' },
  'is refused by a server whose disk fails': { kind: 'refused', error: 'MISCONF Errors writing to the AOF file' },
  'does not arrive': { kind: 'lost request' },
  'is executed and its answer lost': { kind: 'lost answer' },
  'is answered late': { kind: 'delayed', ms: 40 },
}

const NAMES = new Map<string, string>()
for (const scripts of [invocationScripts, jobScripts, reconcileScripts, deadLetterScripts, deliveryScripts])
  for (const [name, text] of Object.entries(scripts))
    if (typeof text === 'string') NAMES.set(createHash('sha1').update(text).digest('hex'), name)

/** Which step of the lane a command is. */
function stepOf(words: readonly string[]): string {
  const [verb = '', what = ''] = words
  const name = verb.toUpperCase()
  if (name === 'EVAL') return scriptOf(createHash('sha1').update(what).digest('hex'))
  if (name === 'EVALSHA') return scriptOf(what)
  return name === 'CONFIG' || name === 'CLIENT' ? `${name} ${what.toUpperCase()}` : name
}
function scriptOf(sha: string): string {
  return NAMES.get(sha) ?? 'a script of BullMQ'
}

interface Life {
  /** Steps in the order in which they were first seen. */
  readonly steps: readonly string[]
  readonly wrong: readonly string[]
  readonly struck: boolean
}

/** One life of calls. `at`: the step that is harmed, at its `nth` time (from 1). */
async function live(redis: TestRedis, at: { step: string; nth: number; fault: CommandFault } | null): Promise<Life> {
  const direct = connectRedis({ socketPath: redis.socketPath }, silentLogger)
  await direct.waitAvailable(5_000)
  await direct.command('FLUSHALL')
  const seen = new Map<string, number>()
  let struck = false
  const socketPath = join(redis.stateDir, 'proxy.sock')
  const proxy = await openRedisProxy({
    socketPath,
    target: redis.socketPath,
    judge: (words) => {
      const step = stepOf(words)
      const times = (seen.get(step) ?? 0) + 1
      seen.set(step, times)
      if (at === null || struck || step !== at.step || times !== at.nth) return null
      struck = true
      return at.fault
    },
  })
  try {
    const wrong = await liveBehind(socketPath, redis, direct, at?.step ?? null)
    return { steps: [...seen.keys()], wrong, struck }
  } finally {
    await proxy.close()
    await direct.close()
  }
}

async function liveBehind(
  socketPath: string,
  redis: TestRedis,
  direct: RedisStore,
  step: string | null,
): Promise<string[]> {
  const runs = new Map<string, number>()
  const isMended = { now: false }
  const worker = createFakeWorker(async ({ request }) => {
    const { name } = request.version
    const times = (runs.get(request.id) ?? 0) + 1
    runs.set(request.id, times)
    if (name === 'long') await new Promise((resolve) => setTimeout(resolve, LONG_MS))
    if (name === 'again' && times === 1) return { status: 500 }
    return { status: name === 'doomed' && !isMended.now ? 500 : 200 }
  })
  const reconcile = { everyMs: 150, pageMs: 1, unchangedMs: 300 }
  const base = { worker, stateDir: redis.stateDir, clock: realClock, logger: silentLogger, chance: () => 0, reconcile }
  const lane = await createDurableLane({ ...base, target: { socketPath }, soleOwner: true, lockMs: LOCK_MS })
  const finished = new Set<string>()
  lane.onFinished(({ id }) => void finished.add(id))
  const store = connectRedis({ socketPath }, silentLogger)
  const registry = { resolve: (_: string, name: string) => versionOf(name) }
  const callbacks = createCallbacks({
    redis: store,
    lane,
    registry,
    clock: realClock,
    logger: silentLogger,
    allow: ALLOW,
  })
  try {
    await insist(() => lane.start())
    callbacks.start()
    const retry = { ...RETRY_DEFAULTS, backoffMs: 20 }
    const notify = { onSuccess: 'told', onFailure: null, callback: null, depth: 0 }
    const calls = {
      keyed: submissionOf('plain', { idempotencyKey: 'k', notify }),
      again: submissionOf('again', { version: versionOf('again', { retry }), maxAttempts: 3 }),
      doomed: submissionOf('doomed', { maxAttempts: 1 }),
      long: submissionOf('long'),
      delayed: submissionOf('plain', { delayMs: 80 }),
      first: submissionOf('plain', { priority: 5 }),
      cancelled: submissionOf('plain', { delayMs: 3_600_000 }),
    }
    for (const call of Object.values(calls)) await insist(() => lane.submit(call))
    await insist(() => lane.cancel(calls.cancelled.id).catch(unless('NOT_CANCELLABLE')))
    const end = (id: string) =>
      eventually(`${id} ended`, async () => {
        const { pending, record } = await insist(() => lane.result(id, 100))
        return pending ? null : record
      })
    const wrong: string[] = []
    const expectEnd = async (name: keyof typeof calls, state: string, times: number): Promise<void> => {
      const { id } = calls[name]
      const record = await end(id)
      if (record.state !== state) wrong.push(`${name} ended ${record.state}: ${record.error?.message}`)
      if ((runs.get(id) ?? 0) !== times) wrong.push(`${name} ran ${runs.get(id) ?? 0} times, not ${times}`)
    }
    await expectEnd('keyed', 'succeeded', 1)
    await expectEnd('again', 'succeeded', 2)
    await expectEnd('delayed', 'succeeded', 1)
    await expectEnd('long', 'succeeded', 1)
    await expectEnd('first', 'succeeded', 1)
    await expectEnd('cancelled', 'cancelled', 0)
    await expectEnd('doomed', 'failed', 1)
    isMended.now = true
    await insist(() =>
      lane.deadLetters.redrive('default', 'doomed', calls.doomed.id).catch(unless('DEAD_LETTER_NOT_FOUND')),
    )
    await eventually(
      'it was redriven',
      async () => (await insist(() => lane.record(calls.doomed.id)))?.state === 'succeeded',
    )
    await expectEnd('doomed', 'succeeded', 2)
    if ((await insist(() => lane.submit({ ...calls.keyed, id: submissionOf('plain').id }))).id !== calls.keyed.id)
      wrong.push('one key became two calls')
    // Locks are renewed, queues swept and calls compared at least once.
    for (const [name, { id }] of Object.entries(calls))
      if (name !== 'cancelled' && !finished.has(id)) wrong.push(`nobody was told that ${name} ended`)
    // One that was taken by an answer that got lost is tried again when its hold runs out: it is still due.
    const isOwed = async () => (await direct.command('ZCARD', '{thaw}:deliveries:due:default')) === 1
    const told = () => worker.calls.filter(({ request }) => request.version.name === 'told').length
    await eventually('what follows was called', async () => told() > 0 || (step === 'TAKE' && (await isOwed())))
    if (told() > 1) wrong.push(`what follows was called ${told()} times`)
    await eventually('nothing is left in the queue', async () => (await leftIn(direct)) === '')
    return wrong
  } catch (error) {
    return [(error as Error).message, `left: ${await leftIn(direct)}`]
  } finally {
    await callbacks.close()
    await lane.close()
    await store.close()
  }
}

const ALLOW = { hosts: [], networks: [] } as unknown as Parameters<typeof createCallbacks>[0]['allow']
const ID = /[0-9a-f]{8}-[0-9a-f]{4}-7/

/** Jobs and records of calls that are not over. */
async function leftIn(direct: RedisStore): Promise<string> {
  const keys = (await direct.command('KEYS', '{thaw}:*')) as string[]
  const jobs = keys.filter((key) => key.startsWith('{thaw}:queue:') && ID.test(key))
  const records = keys.filter((key) => key.startsWith('{thaw}:inv:'))
  const open: string[] = []
  for (const key of records) {
    const text = String(await direct.command('GET', key))
    if (text.startsWith('@') || /"state":"(queued|running)"/.test(text)) open.push(key)
  }
  return [...jobs, ...open].join(' ')
}

/** As a client does: what the platform could not do is asked for again. */
async function insist<T>(ask: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + 8_000
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      const { code } = error as { code?: string }
      if ((code !== 'QUEUE_UNAVAILABLE' && code !== 'QUEUE_FULL') || performance.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
}
function unless(code: string): (error: unknown) => null {
  return (error) => {
    if ((error as { code?: string }).code !== code) throw error
    return null
  }
}

const servers: TestRedis[] = []
let steps: readonly string[]

beforeAll(async () => {
  servers.push(...(await Promise.all(Array.from({ length: AT_ONCE }, () => startTestRedis()))))
  const life = await live(servers[0]!, null)
  expect(life.wrong).toEqual([])
  steps = life.steps.filter((step) => !PASSED.has(step))
})
afterAll(async () => {
  for (const redis of servers) await redis.close()
})

/** Of the connection, not of the lane. */
const PASSED = new Set(['HELLO', 'CLIENT SETINFO', 'CLIENT SETNAME', 'READONLY', 'QUIT'])

describe('whichever command of the lane', () => {
  test('steps that matter are among those that are tried', () => {
    const wanted = ['ACCEPT', 'CLAIM', 'a script of BullMQ', 'BEGIN', 'SETTLE', 'CANCELLED', 'REDRIVE', 'RENEW', 'LOOK']
    expect(steps).toEqual(expect.arrayContaining(wanted))
  })

  for (const [name, fault] of Object.entries(FAULTS))
    test(`${name}, all calls end as they should, once`, async () => {
      const cases = [...steps]
      const wrong: string[] = []
      const walk = async (redis: TestRedis): Promise<void> => {
        for (let step = cases.shift(); step !== undefined; step = cases.shift()) {
          const life = await live(redis, { step, nth: 1, fault })
          wrong.push(...life.wrong.map((line) => `${step}: ${line}`))
        }
      }
      await Promise.all(servers.map(walk))
      expect(wrong).toEqual([])
    }, 60_000)
})
