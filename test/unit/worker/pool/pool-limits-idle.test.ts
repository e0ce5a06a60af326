// The pool on a fake runtime and a still clock: limits of one call, and what becomes of idle sandboxes.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { RuntimeError } from '../../../../runtime/errors.ts'
import type { SandboxInfo } from '../../../../worker/api.ts'
import { settle } from '../../../support/fake-clock.ts'
import { versionOf } from '../../../support/samples.ts'
import { TestWorker } from '../../../support/test-worker.ts'

const MIB = 1024 ** 2
let host: TestWorker
beforeEach(() => {
  host = new TestWorker()
})
afterEach(() => host.close())

const hello = versionOf('hello')
const states = (): string[] => host.worker.sandboxes(null).map((sandbox: SandboxInfo) => sandbox.state)

describe('limits of one call', () => {
  const small = { memory: 64 * MIB }

  test('are written before it is handed over, and the function’s own for the next', async () => {
    const sandbox = await host.warm(hello)
    const seen = host.callNow(hello, { limits: small })
    expect(sandbox.limits).toMatchObject({ memory: 64 * MIB, memorySwap: 128 * MIB })
    sandbox.call.respond()
    expect((await seen.invocation.done).limits.memory).toBe(64 * MIB)
    host.callNow(hello)
    expect(sandbox.limits.memory).toBe(128 * MIB)
  })

  test('below what a used sandbox holds get another sandbox', async () => {
    const used = await host.warm(hello)
    used.usedBytes = 90 * MIB
    const seen = await host.call(hello, { limits: small })
    expect(used.open).toEqual([])
    host.sandbox(1).call.respond()
    expect(seen.start).toBe('cold')
    const next = await host.call(hello)
    expect(next.failure).toBeNull()
  })

  test('below what even a fresh one holds are LIMIT_BELOW_USE', async () => {
    const used = await host.warm(hello)
    used.usedBytes = 90 * MIB
    host.runtime.onCreate = async (sandbox) => {
      sandbox.usedBytes = 70 * MIB
    }
    const seen = await host.call(hello, { limits: small })
    expect(seen.failure).toMatchObject({
      code: 'LIMIT_BELOW_USE',
      data: { limit: 'memory', asked: 64 * MIB, inUse: 70 * MIB },
    })
    expect(await seen.invocation.done).toMatchObject({ status: 409 })
    expect(host.worker.stats().waiting).toBe(0)
  })

  test('do not hold up the calls behind them', async () => {
    const used = await host.warm(hello)
    used.usedBytes = 90 * MIB
    host.callNow(hello)
    host.runtime.onCreate = () => new Promise(() => {})
    host.callNow(hello, { limits: small })
    host.callNow(hello)
    used.call.respond()
    expect(used.open).toHaveLength(1)
    used.call.respond()
    host.runtime.onCreate = async () => {}
  })

  test('above the function’s maximum, or not to be had here, are LIMIT_INVALID', async () => {
    expect((await host.call(hello, { limits: { memory: 256 * MIB } })).failure?.code).toBe('LIMIT_INVALID')
    host.runtime.onCheckLimits = () => {
      throw new RuntimeError('LIMIT_UNSUPPORTED', 'blkioWeight: no bfq')
    }
    expect((await host.call(hello, { limits: { blkioWeight: 100 } })).failure).toMatchObject({
      code: 'LIMIT_INVALID',
      message: 'blkioWeight: no bfq',
    })
    expect(host.runtime.created).toEqual([])
  })

  test('are refused where calls share a sandbox', async () => {
    const shared = versionOf('shared', { sandboxConcurrency: 2 })
    expect((await host.call(shared, { limits: small })).failure?.code).toBe('LIMIT_INVALID')
  })

  test('may rise up to maxLimits', async () => {
    const roomy = versionOf('roomy', { maxLimits: { memory: 512 * MIB, memorySwap: 1024 * MIB } })
    await host.call(roomy, { limits: { memory: 256 * MIB } })
    expect(host.sandbox(0).limits.memory).toBe(256 * MIB)
    expect(host.worker.stats().memoryBytes).toBe(256 * MIB)
  })
})

describe('an idle sandbox', () => {
  test('is frozen after its grace, and thawed by the next call beside its hand-over', async () => {
    const sandbox = await host.warm(hello)
    await host.clock.advance(499)
    expect(states()).toEqual(['idle'])
    await host.clock.advance(1)
    expect(states()).toEqual(['frozen'])
    const seen = host.callNow(hello)
    expect(sandbox.thaws).toBe(1)
    sandbox.call.respond()
    expect(seen.start).toBe('thawed')
    expect((await seen.invocation.done).thawMs).toBe(0.04)
  })

  test('thaws, and pages in, outside the time-out of the call it thaws for', async () => {
    const brief = versionOf('brief', { timeoutMs: 100 })
    const sandbox = await host.warm(brief)
    await host.clock.advance(500)
    const thaw = sandbox.thaw.bind(sandbox)
    sandbox.thaw = () => {
      host.clock.pass(300)
      return thaw()
    }
    const seen = host.callNow(brief)
    await host.clock.advance(200)
    sandbox.call.sink.started()
    await host.clock.advance(90)
    sandbox.call.respond()
    expect([seen.start, seen.status, seen.failure]).toEqual(['thawed', 200, null])
  })

  test('that has thawed has no more than the time-out for its own code', async () => {
    const brief = versionOf('brief', { timeoutMs: 100 })
    const sandbox = await host.warm(brief)
    await host.clock.advance(500)
    const seen = host.callNow(brief)
    sandbox.call.sink.started()
    await host.clock.advance(110)
    expect([seen.start, seen.failure?.code]).toEqual([null, 'FUNCTION_TIMEOUT'])
  })

  test('is not frozen in a steady stream', async () => {
    const sandbox = await host.warm(hello)
    for (let round = 0; round < 40; round++) {
      await host.clock.advance(400)
      host.callNow(hello)
      sandbox.call.respond()
    }
    expect(sandbox.freezes).toBe(0)
  })

  test('whose freeze a call overtakes is thawed for it', async () => {
    const sandbox = await host.warm(hello)
    sandbox.holdFreeze = true
    await host.clock.advance(500)
    const seen = host.callNow(hello)
    expect(sandbox.thaws).toBe(1)
    sandbox.finishFreeze()
    await settle()
    sandbox.call.respond()
    expect(seen.start).toBe('thawed')
    expect(states()).toEqual(['idle'])
  })

  test('that does not freeze is kept, and tried again later', async () => {
    const sandbox = await host.warm(hello)
    sandbox.freezeError = new RuntimeError('FREEZE_FAILED', 'stuck')
    await host.clock.advance(500)
    expect(sandbox.freezes).toBe(1)
    expect(states()).toEqual(['idle'])
    sandbox.freezeError = null
    await host.clock.advance(1000)
    expect(states()).toEqual(['frozen'])
  })

  test('goes after the keep-alive: scale to zero, and then no timer is left', async () => {
    await host.warm(versionOf('brief', { keepAliveMs: 60_000 }))
    await host.clock.advance(59_000)
    expect(states()).toEqual(['frozen'])
    await host.clock.advance(1500)
    expect(host.runtime.live).toEqual([])
    expect(host.worker.stats().memoryBytes).toBe(0)
    await host.clock.advance(120_000)
    expect(host.clock.pending).toBe(0)
  })

  test('stays where minWarm says so, and is replaced when it dies', async () => {
    const steady = versionOf('steady', { keepAliveMs: 1000, minWarm: 2 })
    await host.worker.verify(steady)
    await host.clock.advance(5000)
    expect(host.runtime.live).toHaveLength(2)
    host.sandbox(0).kill({ code: 'EXITED', message: 'gone' })
    await host.clock.advance(5000)
    expect(host.runtime.live).toHaveLength(2)
  })

  test('that dies unasked is destroyed and never handed out', async () => {
    const sandbox = await host.warm(hello)
    await host.clock.advance(500)
    sandbox.kill({ code: 'OUT_OF_MEMORY', message: 'gone' })
    const seen = host.callNow(hello)
    await settle()
    expect(sandbox.destroyed).toBe(true)
    host.sandbox(1).call.respond()
    expect(seen.start).toBe('cold')
  })
})
