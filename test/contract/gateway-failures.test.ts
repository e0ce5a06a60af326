// What becomes of calls that fail, of callers that leave, and of those who may not, over real HTTP.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { FakeCall } from '../support/fake-gateway-parts.ts'
import { TestGateway, TOKEN } from '../support/gateway.ts'
import { until } from '../support/until.ts'

let gateway: TestGateway
beforeEach(async () => {
  gateway = await TestGateway.start()
  gateway.registry.add('hello')
})
afterEach(() => gateway.stop())

const lastCall = (): FakeCall => gateway.worker.calls.at(-1)!

describe('failures', () => {
  test('before the head are problems with the invocation’s id and what is known of its phases', async () => {
    gateway.worker.onCall = (call) =>
      call.fail({ code: 'FUNCTION_THREW', message: 'boom', stack: 'Error: boom\n at hello.ts:3:9' })
    const response = await gateway.fetch('/fn/hello')
    expect(response.status).toBe(500)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(response.headers.get('fn-start')).toBe('warm')
    expect(response.headers.get('server-timing')).toContain('run;dur=1.5')
    expect(await response.json()).toEqual({
      type: 'urn:thaw:problem:function-threw',
      title: 'The function threw',
      status: 500,
      detail: 'boom',
      code: 'FUNCTION_THREW',
      component: 'function',
      invocationId: response.headers.get('fn-invocation-id'),
      stack: 'Error: boom\n at hello.ts:3:9',
    })
  })

  test('say when to come back', async () => {
    gateway.worker.onCall = (call) => call.fail({ code: 'FUNCTION_BUSY', component: 'queue', retryAfterS: 3.2 })
    const response = await gateway.fetch('/fn/hello')
    expect([response.status, response.headers.get('retry-after')]).toEqual([429, '4'])
  })

  test('of a head that has not left yet are answered, after it they cut the connection', async () => {
    gateway.worker.onCall = (call) => {
      call.head()
      call.fail({ code: 'FUNCTION_CRASHED' })
    }
    const answered = await gateway.fetch('/fn/hello')
    expect(answered.status).toBe(502)
    expect(await answered.json()).toMatchObject({ code: 'FUNCTION_CRASHED' })
    gateway.worker.onCall = (call) => {
      call.head()
      call.sink.data(Buffer.from('part'))
      setImmediate(() => call.fail({ code: 'FUNCTION_CRASHED' }))
    }
    const response = await gateway.fetch('/fn/hello')
    await expect(response.text()).rejects.toThrow()
  })

  test('of a caller that leaves abort the call, before and after the head', async () => {
    for (const withHead of [false, true]) {
      gateway.worker.onCall = (call) => {
        if (withHead) call.head()
      }
      const controller = new AbortController()
      const before = gateway.worker.calls.length
      const call = gateway.fetch('/fn/hello', { signal: controller.signal })
      const left = withHead ? call.then((response) => response.text()) : call
      left.catch(() => {})
      await until('the call arrives', () => gateway.worker.calls.length > before)
      if (withHead) await call
      controller.abort()
      await expect(left).rejects.toThrow()
      await until('it is aborted', () => lastCall().aborted === 'client')
    }
  })

  test('of a finished call abort nothing', async () => {
    await (await gateway.fetch('/fn/hello', { headers: { connection: 'close' } })).text()
    await gateway.stop()
    expect(lastCall().aborted).toBeNull()
  })
})

describe('who may', () => {
  test('call a function that is not public: holders of the token', async () => {
    gateway.registry.add('inner', { public: false })
    const anonymous = await gateway.fetch('/fn/inner')
    expect(anonymous.status).toBe(401)
    expect(anonymous.headers.get('www-authenticate')).toContain('Bearer')
    expect((await gateway.fetch('/fn/inner', { headers: { authorization: 'Bearer fn_wrong' } })).status).toBe(401)
    expect((await gateway.fetch('/fn/inner', { headers: { authorization: `bearer ${TOKEN}` } })).status).toBe(200)
  })

  test('lower limits and time: everybody; raise them to maxLimits: holders of the token', async () => {
    gateway.registry.add('roomy', { maxLimits: { memory: 256 * 1024 ** 2, memorySwap: 512 * 1024 ** 2 } })
    const ask = (memory: string, authorization?: string) =>
      gateway.fetch('/fn/roomy', {
        headers: { 'fn-limit-memory': memory, ...(authorization ? { authorization } : {}) },
      })
    expect((await ask('64m')).status).toBe(200)
    expect(lastCall().request.limits).toEqual({ memory: 64 * 1024 ** 2 })
    expect((await ask('200m')).status).toBe(401)
    expect((await ask('200m', `Bearer ${TOKEN}`)).status).toBe(200)
    expect((await ask('300m', `Bearer ${TOKEN}`)).status).toBe(400)
  })

  test('a limit this host cannot enforce is refused with its name', async () => {
    const response = await gateway.fetch('/fn/hello', { headers: { 'fn-limit-blkio-weight': '100' } })
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({
      code: 'LIMIT_UNSUPPORTED',
      detail: 'blkioWeight: no bfq on this host',
    })
  })
})
