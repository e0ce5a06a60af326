// What one namespace may take of the host from another: quotas of sandboxes and memory, whose idle sandboxes go, who is started next,
// and who waits.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { FunctionVersion } from '../../../../worker/api.ts'
import type { Quotas } from '../../../../worker/registry/quotas.ts'
import type { WorkerOptions } from '../../../../worker/worker.ts'
import { settle } from '../../../support/fake-clock.ts'
import { limitsWith } from '../../../support/fake-runtime.ts'
import { quotasInMemory } from '../../../support/quota-book.ts'
import { versionOf } from '../../../support/samples.ts'
import { TestWorker } from '../../../support/test-worker.ts'

const MIB = 1024 ** 2
let quotas: Quotas
let host: TestWorker
beforeEach(() => {
  quotas = quotasInMemory()
})
afterEach(() => host.close())

function start(options: Partial<WorkerOptions> = {}): void {
  host = new TestWorker({ quotas, cores: 4, ...options })
}

function functionOf(namespace: string, name: string, changes: Partial<FunctionVersion['config']> = {}) {
  return { ...versionOf(name, { limits: limitsWith({ memory: 128 * MIB }), ...changes }), namespace }
}
const live = (namespace: string) => host.worker.sandboxes(namespace).length
const states = (namespace: string) =>
  host.worker
    .sandboxes(namespace)
    .map(({ function: name }) => name)
    .sort()

/** Idle sandboxes of so many functions. */
async function warm(namespace: string, count: number): Promise<FunctionVersion[]> {
  const all = Array.from({ length: count }, (_, index) => functionOf(namespace, `${namespace}-${index}`))
  for (const version of all) {
    await host.warm(version)
    await host.clock.advance(10)
  }
  return all
}

describe('at the quota of sandboxes', () => {
  test('a namespace gives up its own idle ones, and no other’s', async () => {
    await quotas.set('shop', { sandboxes: 2 })
    start()
    await warm('mall', 3)
    await warm('shop', 2)
    const more = await host.call(functionOf('shop', 'more'))
    await host.clock.advance(100)
    expect(more.failures).toEqual([])
    expect(states('shop')).toEqual(['more', 'shop-1'])
    expect(live('mall')).toBe(3)
  })

  test('calls wait while all are busy, then go on; after the longest wait they are told of the quota', async () => {
    await quotas.set('shop', { sandboxes: 1 })
    start({ queue: { perFunction: 10, perHost: 10, maxWaitMs: 1000 } })
    const [one, two] = [functionOf('shop', 'one'), functionOf('shop', 'two')]
    const first = await host.call(one)
    const second = await host.call(two)
    await host.clock.advance(500)
    expect([first.failure, second.failure, live('shop')]).toEqual([null, null, 1])
    const other = await host.call(functionOf('mall', 'other'))
    expect(other.failures).toEqual([])
    await host.clock.advance(600)
    expect(second.failure).toMatchObject({ code: 'FUNCTION_BUSY', message: expect.stringMatching(/quota sandboxes/) })
    expect([...quotas.refusals()]).toEqual([{ namespace: 'shop', quota: 'sandboxes', count: 1 }])
    const third = await host.call(two)
    host.sandbox(0).call.respond()
    await host.clock.advance(100)
    expect(third.failure).toBeNull()
    expect(states('shop')).toEqual(['two'])
  })

  test('a bound that is lifted lets those start that wait', async () => {
    await quotas.set('shop', { sandboxes: 1 })
    start()
    await host.call(functionOf('shop', 'one'))
    await host.call(functionOf('shop', 'two'))
    expect(live('shop')).toBe(1)
    await quotas.set('shop', { sandboxes: null })
    await host.clock.advance(100)
    expect(live('shop')).toBe(2)
  })
})

describe('at the quota of memory', () => {
  test('frozen ones count with what they hold, and go when a call needs their room', async () => {
    await quotas.set('shop', { memory: 160 * MIB })
    start()
    const [one] = await warm('shop', 1)
    await host.clock.advance(2000)
    expect(host.sandbox(0).state).toBe('frozen')
    expect((await quotas.view('shop')).memory).toMatchObject({ bound: 160 * MIB, inUse: 16 * MIB })
    await host.call(functionOf('shop', 'two'))
    expect(live('shop')).toBe(2)
    // 128 MiB run, 16 are held: to thaw there is room only once the other is done, and then its sandbox goes.
    const thawed = await host.call(one!)
    await host.clock.advance(100)
    expect(thawed.heads).toEqual([])
    host.sandbox(1).call.respond()
    await host.clock.advance(200)
    host.sandbox(0).call.respond()
    await settle()
    expect(thawed.status).toBe(200)
    expect(states('shop')).toEqual(['shop-0'])
  })

  test('a function that needs more than all of it is refused at once, at its deploy and when it is called', async () => {
    await quotas.set('shop', { memory: 64 * MIB })
    start()
    const large = functionOf('shop', 'large')
    const call = await host.call(large)
    expect(call.failure).toMatchObject({ code: 'QUOTA_EXCEEDED', data: { quota: 'memory', bound: 64 * MIB } })
    await expect(host.worker.verify(large)).rejects.toMatchObject({ code: 'QUOTA_EXCEEDED', use: { quota: 'memory' } })
    expect((await host.call({ ...large, namespace: 'mall' })).failures).toEqual([])
  })
})

describe('on a full host', () => {
  test('a namespace above its share takes none of another’s idle sandboxes, and evicts its own', async () => {
    start({ maxSandboxes: 6 })
    await warm('mall', 2)
    await warm('shop', 4)
    await host.call(functionOf('shop', 'more'))
    await host.clock.advance(100)
    expect(live('mall')).toBe(2)
    expect(states('shop')).toEqual(['more', 'shop-1', 'shop-2', 'shop-3'])
  })

  test('one within its share takes from the one that has most, though another’s rests longer', async () => {
    start({ maxSandboxes: 6 })
    await warm('mall', 2)
    await warm('shop', 4)
    await host.call(functionOf('cafe', 'first'))
    await host.clock.advance(100)
    expect([live('cafe'), live('mall'), live('shop')]).toEqual([1, 2, 3])
  })

  test('a namespace that waits gets a sandbox as a busy call of the largest ends, before that one’s own waiting calls', async () => {
    start({ maxSandboxes: 3, cores: 3 })
    const busy = functionOf('shop', 'busy')
    for (let count = 0; count < 6; count++) host.callNow(busy)
    await host.clock.advance(2000)
    expect(live('shop')).toBe(3)
    const other = host.callNow(functionOf('mall', 'other'))
    await host.clock.advance(200)
    expect(other.heads).toEqual([])
    host.sandbox(0).call.respond()
    await host.clock.advance(200)
    expect([live('mall'), live('shop')]).toEqual([1, 2])
    host.runtime.created.at(-1)!.call.respond()
    await settle()
    expect(other.status).toBe(200)
  })

  test('what is kept warm though nobody calls evicts no other namespace’s', async () => {
    start({ maxSandboxes: 4 })
    await warm('mall', 3)
    const hog = functionOf('shop', 'hog', { minWarm: 100 })
    await host.worker.verify(hog)
    await host.clock.advance(5000)
    expect([live('mall'), live('shop')]).toEqual([3, 1])
    expect((await host.call(functionOf('mall', 'more'))).failures).toEqual([])
  })
})

describe('starts', () => {
  test('of one namespace that are slow hold up no other’s', async () => {
    start({ cores: 2 })
    let release = () => {}
    host.runtime.onCreate = async (sandbox) => {
      sandbox.onLoad = (code) =>
        code.functionName.startsWith('slow')
          ? new Promise<void>((resolve) => {
              const before = release
              release = () => {
                before()
                resolve()
              }
            })
          : Promise.resolve()
    }
    for (const name of ['slow-1', 'slow-2', 'slow-3']) host.callNow(functionOf('shop', name))
    await host.clock.advance(1000)
    const quick = host.callNow(functionOf('mall', 'quick'))
    await host.clock.advance(600)
    const started = host.runtime.created.find((sandbox) => sandbox.code?.functionName === 'quick')
    expect(started?.open).toHaveLength(1)
    started!.call.respond()
    await settle()
    expect(quick.status).toBe(200)
    release()
    await settle()
  })
})

describe('the queue of the host', () => {
  test('is not filled by one namespace for all', async () => {
    start({ queue: { perFunction: 10, perHost: 4, maxWaitMs: 60_000 }, cores: 1 })
    const busy = functionOf('shop', 'busy', { concurrency: 1 })
    const all = Array.from({ length: 7 }, () => host.callNow(busy))
    await settle()
    expect(all.filter(({ failure }) => failure?.code === 'HOST_FULL')).toHaveLength(3)
    const others = Array.from({ length: 4 }, () => host.callNow(functionOf('mall', 'other', { concurrency: 1 })))
    await settle()
    expect(others.filter(({ failure }) => failure !== null).length).toBeLessThan(3)
    expect(host.callNow(busy).failure?.code).toBe('HOST_FULL')
  })
})

describe('scratch disks', () => {
  test('count among the bytes of volumes: beyond the bound idle ones go, then calls wait', async () => {
    await quotas.set('shop', { volumesBytes: 100 * MIB })
    start()
    const disks = (name: string) =>
      functionOf('shop', name, { limits: limitsWith({ memory: 128 * MIB, scratch: 40 * MIB }) })
    await host.warm(disks('one'))
    await host.call(disks('two'))
    expect((await quotas.view('shop')).volumesBytes).toMatchObject({ bound: 100 * MIB, inUse: 80 * MIB })
    await host.call(disks('three'))
    await host.clock.advance(200)
    expect(states('shop')).toEqual(['three', 'two'])
    const waiting = await host.call(disks('four'))
    await host.clock.advance(500)
    expect([waiting.failure, live('shop')]).toEqual([null, 2])
    expect((await host.call(functionOf('shop', 'plain'))).failures).toEqual([])
    expect((await host.call({ ...disks('other'), namespace: 'mall' })).failures).toEqual([])
    expect(live('mall')).toBe(1)
  })
})
