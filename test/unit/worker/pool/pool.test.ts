import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { RuntimeError } from '../../../../runtime/errors.ts'
import { settle } from '../../../support/fake-clock.ts'
import { limitsWith } from '../../../support/fake-runtime.ts'
import { versionOf } from '../../../support/samples.ts'
import { type SeenCall, TestWorker } from '../../../support/test-worker.ts'

const MIB = 1024 ** 2
let host: TestWorker
beforeEach(() => {
  host = new TestWorker()
})
afterEach(() => host.close())

const hello = versionOf('hello')

/** So many idle sandboxes of the version. */
async function warmUp(version: typeof hello, count: number): Promise<void> {
  for (let index = 0; index < count; index++) host.callNow(version)
  for (let round = 0; round < 100 && host.runtime.created.length < count; round++) await host.clock.advance(200)
  for (const sandbox of host.runtime.created) for (const call of [...sandbox.open]) call.respond()
  await settle()
}

describe('slots', () => {
  test('the one used last is used next', async () => {
    await warmUp(hello, 2)
    const [first, second] = [host.sandbox(0), host.sandbox(1)]
    host.callNow(hello)
    host.callNow(hello)
    first.call.respond()
    second.call.respond()
    host.callNow(hello)
    expect(second.open).toHaveLength(1)
    second.call.respond()
    host.callNow(hello)
    expect(second.open).toHaveLength(1)
    expect(first.open).toHaveLength(0)
  })

  test('hold one call at a time', async () => {
    await host.warm(versionOf('one', { concurrency: 1 }))
    host.callNow(versionOf('one', { concurrency: 1 }))
    const second = host.callNow(versionOf('one', { concurrency: 1 }))
    const sandbox = host.sandbox(0)
    expect(sandbox.open).toHaveLength(1)
    sandbox.call.respond()
    expect(sandbox.open).toHaveLength(1)
    sandbox.call.respond()
    expect(second.ends).toBe(1)
  })

  test('hold one call and are gone after it, where the function wants a fresh one for every call', async () => {
    const alone = versionOf('alone', { isolation: 'call' })
    for (let nth = 0; nth < 3; nth++) await host.warm(alone)
    expect(host.runtime.created).toHaveLength(3)
    expect(host.runtime.created.map((sandbox) => sandbox.state)).toEqual(['stopped', 'stopped', 'stopped'])
  })

  test('are gone after a call that leaves processes behind, where the function wants those killed', async () => {
    const tidy = versionOf('tidy', { leftovers: 'kill' })
    await host.warm(tidy)
    await host.warm(tidy)
    expect(host.runtime.created).toHaveLength(1)
    host.sandbox(0).otherProcesses = () => 1
    await host.warm(tidy)
    await host.warm(tidy)
    expect(host.runtime.created.map((sandbox) => sandbox.state)).toEqual(['stopped', 'running'])
  })

  test('hold several where the function says so; their metering is not exact', async () => {
    const shared = versionOf('shared', { sandboxConcurrency: 3 })
    await host.call(shared)
    const calls = [host.callNow(shared), host.callNow(shared)]
    const sandbox = host.sandbox(0)
    expect(sandbox.open).toHaveLength(3)
    await host.call(shared)
    expect(sandbox.open).toHaveLength(3)
    expect(host.sandbox(1).open).toHaveLength(1)
    for (const call of [...sandbox.open]) call.respond()
    expect((await calls[0]!.invocation.done).metering?.exact).toBe(false)
  })

  test('are of one version: another version, or the same number of another image, gets its own', async () => {
    await host.warm(hello)
    await host.call(versionOf('hello', {}, 2))
    expect(host.runtime.created).toHaveLength(2)
    await host.call({ ...hello, image: 'sha256:other' })
    expect(host.runtime.created).toHaveLength(3)
  })

  test('give the code its name, version, environment and file name', async () => {
    await host.warm(versionOf('hello', { env: { A: 'b' }, entry: 'api/index.ts' }))
    expect(host.sandbox(0).code).toMatchObject({
      fileName: 'index.js',
      functionName: 'hello',
      version: '1',
      env: { A: 'b' },
    })
  })

  test('never start one sandbox per waiting call', async () => {
    for (let index = 0; index < 32; index++) host.callNow(hello)
    await settle()
    expect(host.runtime.created).toHaveLength(2)
    for (let round = 0; round < 16; round++) {
      host.sandbox(0).call.respond()
      host.sandbox(1).call.respond()
    }
    await settle()
    expect(host.runtime.created).toHaveLength(2)
    expect(host.worker.stats()).toMatchObject({ waiting: 0, running: 0 })
  })

  test('become more when calls are longer than a start', async () => {
    for (let index = 0; index < 8; index++) host.callNow(hello)
    await host.clock.advance(2000)
    expect(host.runtime.created).toHaveLength(8)
    expect(host.worker.stats()).toMatchObject({ waiting: 0, running: 8 })
  })
})

describe('the queue', () => {
  const one = versionOf('one', { concurrency: 1, timeoutMs: 900_000 })

  test('is first in, first out', async () => {
    const order: number[] = []
    const calls = [0, 1, 2].map(() => host.callNow(one))
    calls.forEach((call, index) => {
      call.end = () => order.push(index)
    })
    await settle()
    for (let round = 0; round < 3; round++) host.sandbox(0).call.respond()
    expect(order).toEqual([0, 1, 2])
  })

  test('bounds the calls of a function at once, over all its sandboxes', async () => {
    const two = versionOf('two', { concurrency: 2 })
    for (let index = 0; index < 5; index++) host.callNow(two)
    await host.clock.advance(3000)
    expect(host.runtime.created).toHaveLength(2)
    expect(host.worker.stats()).toMatchObject({ waiting: 3, running: 2 })
  })

  test('holds a call back at that bound although a sandbox is idle', async () => {
    const bounded = versionOf('bounded', { concurrency: 1, minWarm: 2 })
    await host.warm(bounded)
    for (let round = 0; round < 100 && host.runtime.created.length < 2; round++) await host.clock.advance(200)
    host.callNow(bounded)
    host.callNow(bounded)
    expect([host.sandbox(0), host.sandbox(1)].flatMap((sandbox) => sandbox.open)).toHaveLength(1)
  })

  test('is bounded per function: FUNCTION_BUSY with a time to come back', async () => {
    const small = new TestWorker({ queue: { perFunction: 2, perHost: 100, maxWaitMs: 60_000 } })
    await small.call(one)
    small.callNow(one)
    small.callNow(one)
    const refused = small.callNow(one)
    expect(refused.failure).toMatchObject({ code: 'FUNCTION_BUSY', component: 'queue', retryAfterS: 1 })
    expect(await refused.invocation.done).toMatchObject({ state: 'failed', status: 429, start: null, metering: null })
    await small.close()
  })

  test('is bounded per host: HOST_FULL', async () => {
    const small = new TestWorker({ queue: { perFunction: 100, perHost: 2, maxWaitMs: 60_000 } })
    await small.call(one)
    small.callNow(one)
    small.callNow(one)
    expect(small.callNow(versionOf('other')).failure?.code).toBe('HOST_FULL')
    await small.close()
  })

  test('is bounded in age', async () => {
    await host.call(one)
    const waiting = host.callNow(one)
    await host.clock.advance(59_900)
    expect(waiting.failure).toBeNull()
    await host.clock.advance(200)
    expect(waiting.failure).toMatchObject({ code: 'FUNCTION_BUSY' })
    expect(host.worker.stats().waiting).toBe(0)
  })

  test('is bounded in age also while launches go on; the one that was under way in time is awaited', async () => {
    const slow = versionOf('slow', { timeoutMs: 900_000 })
    await host.call(slow)
    let launches = 0
    // Two at a time, one always under way.
    host.runtime.onCreate = async () => {
      const tookMs = launches++ === 0 ? 40_000 : 61_000
      await new Promise<void>((resolve) => host.clock.after(tookMs, resolve))
      throw new RuntimeError('CREATE_FAILED', 'no')
    }
    const calls = Array.from({ length: 8 }, () => host.callNow(slow))
    const codes = () => calls.map((call) => call.failure?.code ?? 'waits').sort()
    await host.clock.advance(95_000)
    expect(codes()).toContain('waits')
    await host.clock.advance(10_000)
    expect(launches).toBeGreaterThan(3)
    expect(codes()).toContain('FUNCTION_BUSY')
    expect(codes()).not.toContain('waits')
    await host.clock.advance(61_000)
  })

  test('tells those who come later to wait in proportion to what is ahead and how fast it drains', async () => {
    const retryAfterOf = async (gapMs: number, ahead: number, last = one) => {
      const perHost = last === one ? 100 : ahead
      const small = new TestWorker({ queue: { perFunction: ahead, perHost, maxWaitMs: 900_000 } })
      await small.call(one)
      for (let n = 0; n < 20; n++) {
        await small.clock.advance(gapMs)
        small.sandbox(0).call.respond()
        small.callNow(one)
      }
      for (let n = 0; n < ahead; n++) small.callNow(one)
      const { failure } = small.callNow(last)
      await small.close()
      expect(failure?.code).toBe(last === one ? 'FUNCTION_BUSY' : 'HOST_FULL')
      return failure?.retryAfterS
    }
    expect(await retryAfterOf(400, 50)).toBe(20)
    expect(await retryAfterOf(200, 50)).toBe(10)
    expect(await retryAfterOf(200, 20)).toBe(4)
    expect(await retryAfterOf(400, 50, hello)).toBe(20)
    expect(await retryAfterOf(200, 50, hello)).toBe(10)
  })

  test('forgets callers that leave at once: no sandbox is started for them any more', async () => {
    await host.call(one)
    const left = Array.from({ length: 50 }, () => host.callNow(one))
    const elsewhere = Array.from({ length: 50 }, () => host.callNow(hello))
    for (const seen of [...left, ...elsewhere]) seen.invocation.abort('client')
    expect(host.worker.stats().waiting).toBe(0)
    await host.clock.advance(5000)
    expect(host.runtime.created.length).toBeLessThanOrEqual(3)
    const records = await Promise.all(left.map((seen) => seen.invocation.done))
    expect(records.every((record) => record.status === 499 && record.start === null)).toBe(true)
  })

  test('serves another version of the function although the first version waits for its bound', async () => {
    const first = versionOf('f', { concurrency: 2 })
    const second = versionOf('f', { concurrency: 2 }, 2)
    await host.warm(first)
    await host.warm(second)
    host.callNow(first)
    host.callNow(second)
    const waiting = host.callNow(second)
    host.sandbox(0).call.respond()
    expect(waiting.failure).toBeNull()
    host.sandbox(1).call.respond()
    expect(host.sandbox(1).open).toHaveLength(1)
  })
})

describe('a host without room', () => {
  const limits = limitsWith({ memory: 100 * MIB, memorySwap: 200 * MIB })
  const a = versionOf('a', { limits, timeoutMs: 900_000 })
  const b = versionOf('b', { limits, timeoutMs: 900_000 })
  let small: TestWorker
  beforeEach(() => {
    small = new TestWorker({ memoryBytes: 250 * MIB })
  })
  afterEach(() => small.close())

  test('evicts an idle sandbox, never a busy one', async () => {
    await small.warm(a)
    await small.call(a)
    await small.warm(b)
    const [busy, idle] = [small.sandbox(0), small.sandbox(1)]
    const next = await small.call(versionOf('c', { limits }))
    expect(idle.destroyed).toBe(true)
    expect(busy.destroyed).toBe(false)
    expect(next.failure).toBeNull()
    expect(small.sandbox(2).open).toHaveLength(1)
  })

  test('evicts the one used least, and counts its use anew when it is back', async () => {
    for (let n = 0; n < 10; n++) await small.warm(a)
    await small.warm(b)
    await small.warm(versionOf('c', { limits }))
    expect(small.runtime.live.map((sandbox) => sandbox.code?.functionName)).toEqual(['a', 'c'])
    const again = versionOf('b', { limits, timeoutMs: 900_000 })
    await small.warm(again)
    expect(small.runtime.live.map((sandbox) => sandbox.code?.functionName)).toEqual(['a', 'b'])
  })

  test('gives stems up first, and keeps what minWarm says', async () => {
    const awake = { limits, freezeGraceMs: 3_600_000 }
    const stemmed = new TestWorker({ memoryBytes: 300 * MIB, stems: 1 })
    const names = () => stemmed.runtime.live.map((sandbox) => sandbox.code?.functionName ?? 'stem').sort()
    await stemmed.worker.verify(versionOf('steady', { ...awake, minWarm: 1 }))
    await stemmed.clock.advance(5000)
    await stemmed.warm(versionOf('a', awake))
    await stemmed.warm(versionOf('a', awake))
    expect(names()).toEqual(['a', 'steady', 'stem'])
    await stemmed.warm(versionOf('b', awake))
    expect(names()).toEqual(['a', 'b', 'steady'])
    await stemmed.warm(versionOf('c', awake))
    expect(names()).toEqual(['a', 'c', 'steady'])
    await stemmed.close()
  })

  test('lets calls wait while all are busy, and says HOST_FULL when that takes too long', async () => {
    await small.call(a)
    await small.call(b)
    const waiting = await small.call(versionOf('c', { limits }))
    await small.clock.advance(61_000)
    expect(waiting.failure).toMatchObject({ code: 'HOST_FULL', component: 'worker' })
    expect(small.runtime.live).toHaveLength(2)
  })

  test('is fair: a function that holds all gives one up for a function that has none', async () => {
    const calls: SeenCall[] = []
    for (let index = 0; index < 6; index++) calls.push(small.callNow(a))
    await settle()
    expect(small.runtime.live).toHaveLength(2)
    const other = await small.call(b)
    expect(other.start).toBeNull()
    small.sandbox(0).call.respond()
    await settle()
    expect(small.sandbox(0).destroyed).toBe(true)
    const theirs = small.runtime.created.find((sandbox) => sandbox.code?.functionName === 'b')
    expect(theirs?.open).toHaveLength(1)
    small.sandbox(1).call.respond()
    expect(small.sandbox(1).open).toHaveLength(1)
  })

  test('refuses at once what would never fit', async () => {
    const huge = versionOf('huge', { limits: limitsWith({ memory: 251 * MIB, memorySwap: -1 }) })
    expect((await small.call(huge)).failure?.code).toBe('HOST_FULL')
    await expect(small.worker.verify(huge)).rejects.toMatchObject({ code: 'LIMIT_UNSUPPORTED' })
  })

  test('charges frozen sandboxes with what they hold, and makes room to thaw one', async () => {
    for (const name of ['a', 'b', 'c']) {
      await small.warm(versionOf(name, { limits }))
      await small.clock.advance(600)
    }
    expect(small.runtime.live).toHaveLength(3)
    expect(small.worker.stats()).toMatchObject({ memoryBytes: 3 * 16 * MIB, sandboxes: { frozen: 3 } })
    const calls = await Promise.all(['a', 'b', 'c'].map((name) => small.call(versionOf(name, { limits }))))
    const running = small.runtime.live.filter((sandbox) => sandbox.open.length > 0)
    expect(running).toHaveLength(2)
    expect(calls.filter((call) => call.failure !== null)).toEqual([])
    running[0]!.call.respond()
    await settle()
    expect(small.worker.stats()).toMatchObject({ waiting: 0, running: 2 })
  })
})

describe('a start that fails', () => {
  const throwing = () => {
    host.runtime.onCreate = async (sandbox) => {
      sandbox.onLoad = async () => {
        const fault = { code: 'LOAD_FAILED' as const, message: 'bad', stack: 'Error: bad\n    at /code/x.js:1:1' }
        throw new RuntimeError('LOAD_FAILED', 'bad', { fault })
      }
    }
  }

  test('fails all who wait for that version, and is not tried again at once', async () => {
    throwing()
    const calls = [0, 1, 2, 3, 4].map(() => host.callNow(hello))
    await settle()
    for (const call of calls) expect(call.failure).toMatchObject({ code: 'FUNCTION_INIT_FAILED', message: 'bad' })
    const tried = host.runtime.created.length
    const next = await host.call(hello)
    expect(host.runtime.created).toHaveLength(tried)
    expect(next.failure).toBeNull()
    await host.clock.advance(1000)
    expect(next.failure?.code).toBe('FUNCTION_INIT_FAILED')
    expect(host.runtime.live).toEqual([])
    expect(host.worker.stats()).toMatchObject({ waiting: 0, memoryBytes: 0 })
  })

  test('of the platform’s making is reported as SANDBOX_CREATE_FAILED', async () => {
    host.runtime.onCreate = () => Promise.reject(new RuntimeError('CREATE_FAILED', 'mount: no'))
    expect((await host.call(hello)).failure).toMatchObject({
      code: 'SANDBOX_CREATE_FAILED',
      component: 'sandbox',
      message: 'mount: no',
    })
  })

  test('by a load that takes too long is FUNCTION_INIT_TIMEOUT, by one that exits FUNCTION_INIT_FAILED', async () => {
    host.runtime.onCreate = async (sandbox) => {
      sandbox.onLoad = () => Promise.reject(new RuntimeError('LOAD_TIMEOUT', 'slow'))
    }
    expect((await host.call(hello)).failure?.code).toBe('FUNCTION_INIT_TIMEOUT')
    host.runtime.onCreate = async (sandbox) => {
      sandbox.onLoad = async () => sandbox.kill({ code: 'EXITED', message: 'exited with code 3' })
    }
    const seen = await host.call(versionOf('other'))
    expect(seen.failure).toMatchObject({ code: 'FUNCTION_INIT_FAILED', message: 'exited with code 3' })
  })
})
