import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { settle } from '../../support/fake-clock.ts'
import type { FakeSandbox } from '../../support/fake-runtime.ts'
import { versionOf } from '../../support/samples.ts'
import { TestWorker } from '../../support/test-worker.ts'

let host: TestWorker
beforeEach(() => {
  host = new TestWorker()
})
afterEach(() => host.close())

const hello = versionOf('hello', { timeoutMs: 1000 })

/** A version whose one sandbox is idle. */
async function warm(version = hello): Promise<FakeSandbox> {
  return host.warm(version)
}

describe('a call', () => {
  test('finds an idle sandbox synchronously and gets head, data and end as they come', async () => {
    const sandbox = await warm()
    const seen = host.callNow(hello)
    const inside = sandbox.call
    inside.sink.started()
    inside.sink.head(201, ['x-a', '1', 'x-a', '2'])
    inside.sink.data(Buffer.from('one '))
    inside.sink.data(Buffer.from('two'))
    expect(seen.heads).toMatchObject([{ status: 201, headers: ['x-a', '1', 'x-a', '2'], start: 'warm' }])
    expect(seen.body).toBe('one two')
    expect(seen.ends).toBe(0)
    inside.end()
    expect(seen.ends).toBe(1)
    inside.idle(true)
    expect(await seen.invocation.done).toMatchObject({ state: 'succeeded', status: 201, start: 'warm', error: null })
  })

  test('is handed to the code unchanged', async () => {
    const sandbox = await warm()
    const body = Buffer.from('x')
    host.callNow(hello, { method: 'PUT', target: '/a?b=%2e', headers: ['a', 'b'], body, attempt: 2, timeoutMs: 400 })
    expect(sandbox.call.call).toMatchObject({
      method: 'PUT',
      target: '/a?b=%2e',
      headers: ['a', 'b'],
      body,
      attempt: 2,
      timeoutMs: 400,
    })
  })

  test('that had to start its sandbox has the phases apart, and they add up', async () => {
    host.runtime.onCreate = async (sandbox) => {
      await new Promise<void>((resolve) => host.clock.after(80, resolve))
      sandbox.onLoad = () => new Promise<void>((resolve) => host.clock.after(30, resolve))
    }
    const seen = host.callNow(hello)
    await host.clock.advance(110)
    await host.clock.advance(7)
    host.sandbox(0).call.respond()
    const record = await seen.invocation.done
    expect(record).toMatchObject({ start: 'cold', queueMs: 0, startMs: 80, initMs: 30, thawMs: 0, runMs: 7 })
    expect(record.startedAt).toBe('2026-01-01T00:00:00.110Z')
    expect(record.endedAt).toBe('2026-01-01T00:00:00.117Z')
  })

  test('has a record with limits and metering at once after its end, and while it is open a reader waits for it', async () => {
    await warm()
    const seen = host.callNow(hello)
    const early = host.worker.record(seen.invocation.id)
    host.sandbox(0).call.respond(404)
    const record = await early
    expect(record).toMatchObject({
      state: 'succeeded',
      status: 404,
      error: null,
      metering: { exact: true, cpuUserUs: 500 },
    })
    expect(record?.limits.memory).toBe(128 * 1024 ** 2)
    expect(await host.worker.record(seen.invocation.id)).toEqual(record)
    expect(await host.worker.record('nobody')).toBeNull()
  })

  test('that wants its metering gets its end with it, after the accounting', async () => {
    const sandbox = await warm()
    const seen = host.callNow(hello, { wantsMetering: true })
    sandbox.call.respond(200, '', false)
    expect(seen.ends).toBe(0)
    sandbox.call.idle(true)
    expect(seen.ends).toBe(1)
    expect(seen.metering?.memoryPeakBytes).toBe(17 * 1024 ** 2)
  })

  test('hands the traceparent of its own span to the code when it is traced', async () => {
    const ended: string[] = []
    const traced = new TestWorker({
      tracing: {
        startAccept: () => null,
        startInvocation: () => ({ traceparent: '00-own', end: (record) => ended.push(record.state) }),
      },
    })
    await traced.call(hello, { headers: ['Traceparent', '00-caller', 'a', 'b'] })
    const inside = traced.sandbox(0).call
    expect(inside.call.headers).toEqual(['a', 'b', 'traceparent', '00-own'])
    inside.respond()
    expect(ended).toEqual(['succeeded'])
    await traced.close()
  })
})

describe('a fault of the code', () => {
  const FAULTS = [
    ['HANDLER_THREW', true, 'FUNCTION_THREW', 'function', 500],
    ['INVALID_RESPONSE', true, 'FUNCTION_INVALID_RESPONSE', 'function', 502],
    ['EXITED', false, 'FUNCTION_CRASHED', 'function', 502],
    ['OUT_OF_MEMORY', false, 'FUNCTION_OUT_OF_MEMORY', 'function', 502],
    ['PROTOCOL', false, 'FUNCTION_PROTOCOL', 'function', 502],
    ['KILLED', false, 'FUNCTION_KILLED', 'sandbox', 502],
    ['BODY_ABORTED', true, 'BODY_ABORTED', 'gateway', 400],
  ] as const
  for (const [fault, reusable, code, component, status] of FAULTS) {
    test(`${fault} is reported as ${code}; the sandbox ${reusable ? 'stays' : 'goes'}`, async () => {
      const sandbox = await warm()
      const seen = host.callNow(hello)
      sandbox.call.sink.started()
      sandbox.call.fail({ code: fault, message: 'why', data: { n: 1 } }, reusable)
      expect(seen.failures).toMatchObject([{ code, component, message: 'why', data: { n: 1 } }])
      expect(seen.failedPhases?.runMs).toBeGreaterThanOrEqual(0)
      expect(await seen.invocation.done).toMatchObject({ state: 'failed', status, error: { code } })
      await settle()
      expect(sandbox.destroyed).toBe(!reusable)
      expect(host.worker.stats().running).toBe(0)
    })
  }

  test('after the head fails the call once more than never', async () => {
    const sandbox = await warm()
    const seen = host.callNow(hello)
    sandbox.call.sink.started()
    sandbox.call.sink.head(200, [])
    sandbox.call.fail({ code: 'HANDLER_THREW', message: 'late' })
    expect(seen.heads).toHaveLength(1)
    expect(seen.failures).toHaveLength(1)
    expect(seen.ends).toBe(0)
    expect(await seen.invocation.done).toMatchObject({ state: 'failed', status: 500 })
  })

  test('a sandbox in which a child was killed for want of memory is not used again', async () => {
    const sandbox = await warm()
    sandbox.metering = { ...sandbox.metering, oomKills: 1 }
    host.callNow(hello)
    sandbox.call.respond()
    await settle()
    expect(sandbox.destroyed).toBe(true)
  })
})

describe('the time-out', () => {
  test('answers at once, tells the code, and kills the sandbox when it goes on', async () => {
    const sandbox = await warm()
    const seen = host.callNow(hello)
    sandbox.call.sink.started()
    await host.clock.advance(999)
    expect(seen.failure).toBeNull()
    const inside = sandbox.call
    await host.clock.advance(1)
    expect(seen.failure?.code).toBe('FUNCTION_TIMEOUT')
    expect(inside.cancelled).toEqual(['timeout'])
    expect(sandbox.killedWith).toEqual([])
    await host.clock.advance(250)
    expect(sandbox.destroyed).toBe(true)
    expect(await seen.invocation.done).toMatchObject({ state: 'timed-out', status: 504, runMs: 1000 })
  })

  test('spares a sandbox whose handler ends when it is told', async () => {
    const sandbox = await warm()
    const seen = host.callNow(hello)
    sandbox.call.sink.started()
    await host.clock.advance(1000)
    sandbox.call.fail({ code: 'HANDLER_THREW', message: 'aborted' })
    await host.clock.advance(300)
    expect(sandbox.killedWith).toEqual([])
    expect(seen.failures).toHaveLength(1)
    const next = await host.call(hello)
    sandbox.call.respond()
    expect(next.start).toBe('warm')
  })

  test('runs from STARTED', async () => {
    const sandbox = await warm()
    const seen = host.callNow(hello)
    await host.clock.advance(200)
    sandbox.call.sink.started()
    await host.clock.advance(999)
    expect(seen.failure).toBeNull()
    await host.clock.advance(1)
    expect(seen.failure?.code).toBe('FUNCTION_TIMEOUT')
  })

  test('runs from 250 ms after the hand-over where STARTED does not come, or comes late', async () => {
    const sandbox = await warm()
    const seen = host.callNow(hello)
    await host.clock.advance(1249)
    expect(seen.failure).toBeNull()
    sandbox.call.sink.started()
    await host.clock.advance(1)
    expect(seen.failure?.code).toBe('FUNCTION_TIMEOUT')
  })

  test('a call may ask for a shorter one, not for a longer one', async () => {
    const sandbox = await warm()
    const short = host.callNow(hello, { timeoutMs: 100 })
    sandbox.call.sink.started()
    await host.clock.advance(100)
    expect(short.failure?.code).toBe('FUNCTION_TIMEOUT')
    sandbox.call.respond()
    host.callNow(hello, { timeoutMs: 5000 })
    expect(sandbox.call.call.timeoutMs).toBe(1000)
  })

  test('does not count the time a slow reader takes', async () => {
    const sandbox = await warm()
    const seen = host.callNow(hello)
    sandbox.call.sink.started()
    sandbox.call.sink.head(200, [])
    seen.reads = false
    expect(sandbox.call.sink.data(Buffer.from('x'))).toBe(false)
    await host.clock.advance(20_000)
    expect(seen.failure).toBeNull()
    seen.invocation.resume()
    expect(sandbox.call.resumed).toBe(1)
    await host.clock.advance(999)
    expect(seen.failure).toBeNull()
    await host.clock.advance(1)
    expect(seen.failure?.code).toBe('FUNCTION_TIMEOUT')
  })

  test('bounds work after the response too, which fails nobody', async () => {
    const sandbox = await warm()
    const seen = host.callNow(hello)
    sandbox.call.respond(200, '', false)
    expect(seen.ends).toBe(1)
    await host.clock.advance(999)
    expect(sandbox.killedWith).toEqual([])
    await host.clock.advance(1)
    expect(sandbox.destroyed).toBe(true)
    expect(await seen.invocation.done).toMatchObject({ state: 'succeeded', status: 200, error: null })
    const lines = await host.worker.logs({ namespace: 'default', invocation: seen.invocation.id })
    expect(lines.map((line) => line.line).join()).toContain('longer than the time-out of 1s')
  })

  test('gives other calls in the same sandbox two seconds to end', async () => {
    const shared = versionOf('shared', { sandboxConcurrency: 4, timeoutMs: 1000 })
    const spinning = await host.call(shared)
    const sandbox = host.sandbox(0)
    sandbox.call.sink.started()
    await host.clock.advance(500)
    const other = host.callNow(shared)
    sandbox.open[1]!.sink.started()
    await host.clock.advance(500)
    expect(spinning.failure?.code).toBe('FUNCTION_TIMEOUT')
    await host.clock.advance(300)
    expect(sandbox.killedWith).toEqual([])
    host.callNow(shared)
    expect(sandbox.open).toHaveLength(2)
    sandbox.open[1]!.respond()
    expect(other.ends).toBe(1)
    await host.clock.advance(2000)
    expect(sandbox.destroyed).toBe(true)
  })
})
