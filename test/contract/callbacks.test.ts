// Callbacks on a real Redis: a receiver that does not answer holds up no shutdown, and the next platform sends it at once.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { planFollowUps } from '../../worker/queue/api.ts'
import { createCallbacks } from '../../worker/queue/callbacks/deliverer.ts'
import { parseAllowList } from '../../worker/registry/destinations.ts'
import { connectRedis } from '../../worker/store/connect.ts'
import { createFakeWorker } from '../support/fake-worker.ts'
import { openLane, submissionOf } from '../support/lane.ts'
import { eventually, realClock, silentLogger, startTestRedis } from '../support/redis.ts'
import { versionOf } from '../support/samples.ts'

test('a try that waits for its receiver ends with the platform and is made again by the next, uncounted', async () => {
  const ids: unknown[] = []
  const receiver = createServer((incoming, outgoing) => {
    incoming.resume()
    ids.push(incoming.headers['webhook-id'])
    if (ids.length > 1) outgoing.writeHead(204).end()
  })
  await new Promise<void>((done) => receiver.listen(0, '127.0.0.1', done))
  const redis = await startTestRedis()
  const store = connectRedis({ socketPath: redis.socketPath }, silentLogger)
  const lane = await openLane(redis, createFakeWorker())
  const open = () => {
    const registry = { resolve: () => versionOf('hello') }
    const allow = parseAllowList(['127.0.0.1'])
    const made = createCallbacks({ redis: store, lane, registry, clock: realClock, logger: silentLogger, allow })
    made.start()
    return made
  }
  await store.waitAvailable(5_000)
  await lane.start()
  const first = open()
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`
  const { id } = await lane.submit(submissionOf('hello', { notify: planFollowUps({}, url, 0) }))
  await eventually('it was sent', () => ids.length === 1)
  await first.close()
  expect(await first.deliveries(id)).toMatchObject([{ state: 'pending', tries: 0 }])
  const second = open()
  await eventually('it is told', async () => (await second.deliveries(id))[0]?.state === 'delivered')
  expect(ids).toEqual([ids[0], ids[0]])
  await second.close()
  await lane.close()
  await store.close()
  await redis.close()
  receiver.closeAllConnections()
  receiver.close()
}, 30_000)

test.each(['waits', 'runs'] as const)('the callback of a cancelled call that %s is told of it', async (when) => {
  const told: unknown[] = []
  const receiver = createServer(async (incoming, outgoing) => {
    told.push(JSON.parse(Buffer.concat(await incoming.toArray()).toString()))
    outgoing.writeHead(204).end()
  })
  await new Promise<void>((done) => receiver.listen(0, '127.0.0.1', done))
  const redis = await startTestRedis()
  const store = connectRedis({ socketPath: redis.socketPath }, silentLogger)
  const worker = createFakeWorker(() => new Promise(() => {}))
  const lane = await openLane(redis, worker)
  await store.waitAvailable(5_000)
  const registry = { resolve: () => versionOf('hello') }
  const allow = parseAllowList(['127.0.0.1'])
  const callbacks = createCallbacks({ redis: store, lane, registry, clock: realClock, logger: silentLogger, allow })
  callbacks.start()
  if (when === 'runs') await lane.start()
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`
  const { id } = await lane.submit(submissionOf('hello', { notify: planFollowUps({ onFailure: 'other' }, url, 0) }))
  if (when === 'runs') await eventually('it runs', async () => (await lane.record(id))?.state === 'running')
  await lane.cancel(id)
  await eventually('it is told', () => told.length > 0)
  expect(told).toMatchObject([{ type: 'thaw.invocation.cancelled', subject: id }])
  expect((await callbacks.deliveries(id)).map(({ kind }) => kind)).toEqual(['callback'])
  await callbacks.close()
  await lane.close()
  await store.close()
  await redis.close()
  receiver.closeAllConnections()
  receiver.close()
})

test('two hundred callbacks that hang, in one namespace, hold up none of another', async () => {
  const hanging = createServer(() => {})
  await new Promise<void>((done) => hanging.listen(0, '0.0.0.0', done))
  const { port } = hanging.address() as AddressInfo
  const told: string[] = []
  const receiver = createServer((incoming, outgoing) => {
    incoming.resume()
    told.push(incoming.url ?? '')
    outgoing.writeHead(204).end()
  })
  await new Promise<void>((done) => receiver.listen(0, '127.0.0.1', done))
  const redis = await startTestRedis()
  const store = connectRedis({ socketPath: redis.socketPath }, silentLogger)
  const lane = await openLane(redis, createFakeWorker())
  await store.waitAvailable(5_000)
  const callbacks = createCallbacks({
    redis: store,
    lane,
    registry: { resolve: () => versionOf('hello') },
    clock: realClock,
    logger: silentLogger,
    allow: parseAllowList(['127.0.0.0/8']),
    atOnce: () => 25,
  })
  callbacks.start()
  await lane.start()
  const loud = { ...versionOf('hello'), namespace: 'loud' }
  const calm = { ...versionOf('hello'), namespace: 'calm' }
  const url = (index: number) => `http://127.0.${1 + (index >> 2)}.1:${port}/`
  const submit = (version: typeof loud, to: string) =>
    lane.submit(submissionOf('hello', { version, notify: planFollowUps({}, to, 0) }))
  await Promise.all(Array.from({ length: 200 }, (_none, index) => submit(loud, url(index))))
  await eventually('the loud are at their bound', () => callbacks.underWay('loud') === 25)
  const to = (index: number) => `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/${index}`
  for (let index = 0; index < 5; index++) await submit(calm, to(index))
  // The loud ones take 15 s each: eight rounds of them before the last.
  await eventually('the calm are told', () => told.length === 5)
  expect(told.toSorted()).toEqual(['/0', '/1', '/2', '/3', '/4'])
  expect(callbacks.underWay('loud')).toBe(25)
  await callbacks.close()
  await lane.close()
  await store.close()
  await redis.close()
  for (const server of [hanging, receiver]) {
    server.closeAllConnections()
    server.close()
  }
}, 30_000)

test('follow-ups that an earlier release left in one list are sent', async () => {
  const told: unknown[] = []
  const receiver = createServer((incoming, outgoing) => {
    incoming.resume()
    told.push(incoming.headers['webhook-id'])
    outgoing.writeHead(204).end()
  })
  await new Promise<void>((done) => receiver.listen(0, '127.0.0.1', done))
  const redis = await startTestRedis()
  const store = connectRedis({ socketPath: redis.socketPath }, silentLogger)
  const lane = await openLane(redis, createFakeWorker())
  await store.waitAvailable(5_000)
  const destination = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`
  const { id } = await lane.submit(submissionOf('hello', {}))
  const record = await lane.record(id)
  const old = {
    id: 'old-1',
    invocation: id,
    kind: 'callback',
    destination,
    state: 'pending',
    tries: 0,
    record,
    depth: 1,
  }
  await store.command('SET', '{thaw}:delivery:old-1', JSON.stringify(old))
  await store.command('SADD', `{thaw}:deliveries:of:${id}`, 'old-1')
  await store.command('ZADD', '{thaw}:deliveries:due', 1, 'old-1', 1, 'gone')
  const callbacks = createCallbacks({
    redis: store,
    lane,
    registry: { resolve: () => versionOf('hello') },
    clock: realClock,
    logger: silentLogger,
    allow: parseAllowList(['127.0.0.1']),
  })
  callbacks.start()
  await eventually('it is told', async () => (await callbacks.deliveries(id))[0]?.state === 'delivered')
  expect(told).toEqual(['old-1'])
  expect(await store.command('EXISTS', '{thaw}:deliveries:due')).toBe(0)
  await callbacks.close()
  await lane.close()
  await store.close()
  await redis.close()
  receiver.closeAllConnections()
  receiver.close()
})
