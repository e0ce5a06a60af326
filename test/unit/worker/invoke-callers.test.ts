// Calls on a fake runtime: callers who leave, are slow or cancel, and sandboxes found dead.
import { Readable } from 'node:stream'
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

describe('a caller who', () => {
  test('makes no progress for 30 s is cut; the sandbox is not lost', async () => {
    const sandbox = await warm(versionOf('long', { timeoutMs: 900_000 }))
    const seen = host.callNow(versionOf('long', { timeoutMs: 900_000 }))
    sandbox.call.sink.started()
    sandbox.call.sink.head(200, [])
    seen.reads = false
    sandbox.call.sink.data(Buffer.from('x'))
    const inside = sandbox.call
    await host.clock.advance(30_000)
    expect(seen.failure?.code).toBe('CLIENT_SLOW')
    expect(inside.cancelled).toEqual(['client'])
    expect(inside.resumed).toBe(1)
    expect(inside.sink.data(Buffer.from('dropped'))).toBe(true)
    expect(seen.body).toBe('x')
    inside.end()
    inside.idle(true)
    await settle()
    expect(sandbox.destroyed).toBe(false)
  })

  test('leaves aborts the signal; the handler may finish and the sandbox is used again', async () => {
    const sandbox = await warm()
    const seen = host.callNow(hello)
    sandbox.call.sink.started()
    seen.invocation.abort('client')
    seen.invocation.abort('client')
    const inside = sandbox.call
    expect(inside.cancelled).toEqual(['client'])
    expect(seen.failures).toMatchObject([{ code: 'CLIENT_GONE' }])
    inside.sink.head(200, [])
    inside.end()
    inside.idle(true)
    expect(seen.heads).toEqual([])
    expect(await seen.invocation.done).toMatchObject({
      state: 'cancelled',
      status: 499,
      error: { code: 'CLIENT_GONE' },
    })
    const next = await host.call(hello)
    sandbox.call.respond()
    expect(next.start).toBe('warm')
  })

  test('leaves does not free the handler of its time-out', async () => {
    const sandbox = await warm()
    const seen = host.callNow(hello)
    sandbox.call.sink.started()
    seen.invocation.abort('client')
    await host.clock.advance(1250)
    expect(sandbox.destroyed).toBe(true)
    expect(await seen.invocation.done).toMatchObject({ status: 499 })
  })

  test('leaves after the response is complete changes nothing', async () => {
    const sandbox = await warm()
    const seen = host.callNow(hello)
    sandbox.call.respond(200, 'x', false)
    seen.invocation.abort('client')
    sandbox.call.idle(true)
    expect(seen.failures).toEqual([])
    expect(await seen.invocation.done).toMatchObject({ state: 'succeeded' })
  })

  test('leaves while it waits leaves the queue at once; what was started is kept for others', async () => {
    const seen = host.callNow(hello)
    seen.invocation.abort('client')
    expect(host.worker.stats().waiting).toBe(0)
    expect(await seen.invocation.done).toMatchObject({ start: null, status: 499, startedAt: null })
    await settle()
    expect(host.sandbox(0).open).toEqual([])
    const next = await host.call(hello)
    host.sandbox(0).call.respond()
    expect(next.start).toBe('warm')
    expect(host.runtime.created).toHaveLength(1)
  })

  test('cancels aborts the signal, and two seconds later the sandbox is killed', async () => {
    const sandbox = await warm(versionOf('slow', { timeoutMs: 60_000 }))
    const seen = host.callNow(versionOf('slow', { timeoutMs: 60_000 }))
    const inside = sandbox.call
    seen.invocation.abort('cancelled')
    expect(inside.cancelled).toEqual(['cancelled'])
    await host.clock.advance(1999)
    expect(sandbox.killedWith).toEqual([])
    await host.clock.advance(1)
    expect(sandbox.destroyed).toBe(true)
    expect(await seen.invocation.done).toMatchObject({ state: 'cancelled', error: { code: 'CANCELLED' } })
  })
})

describe('a sandbox found dead', () => {
  test('before its call was written costs the caller nothing: another takes it', async () => {
    const sandbox = await warm()
    sandbox.hasDiedUnnoticed = true
    const seen = await host.call(hello, { body: Buffer.from('body') })
    expect(seen.failures).toEqual([])
    const second = host.sandbox(1)
    expect(second.call.call.body?.toString()).toBe('body')
    second.call.respond()
    expect(await seen.invocation.done).toMatchObject({ state: 'succeeded', start: 'cold' })
    expect(host.worker.stats().running).toBe(0)
  })

  test('twice fails the call', async () => {
    const sandbox = await warm()
    sandbox.hasDiedUnnoticed = true
    host.runtime.onCreate = async (created) => {
      created.hasDiedUnnoticed = true
    }
    const seen = await host.call(hello)
    expect(seen.failures).toMatchObject([{ code: 'FUNCTION_CRASHED' }])
  })

  test('does not get a body again that was read already', async () => {
    const sandbox = await warm()
    sandbox.hasDiedUnnoticed = true
    const body = Readable.from([Buffer.from('a')])
    body.read()
    const seen = await host.call(hello, { body })
    expect(seen.failure?.code).toBe('FUNCTION_CRASHED')
  })

  test('after the code began is never repeated', async () => {
    const sandbox = await warm()
    const seen = host.callNow(hello)
    sandbox.call.sink.started()
    sandbox.kill({ code: 'EXITED', message: 'gone' })
    await settle()
    expect(seen.failure?.code).toBe('FUNCTION_CRASHED')
    expect(host.runtime.created).toHaveLength(1)
  })
})
