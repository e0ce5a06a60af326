// Asynchronous calls through the gateway over real HTTP, against a durable lane in memory.
import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { QueueError } from '../../worker/queue/api.ts'
import { ZERO_METERING } from '../support/fake-runtime.ts'
import { TestGateway, TOKEN } from '../support/gateway.ts'
import { sampleRecord } from '../support/samples.ts'

let gateway: TestGateway
const OWNER = { authorization: `Bearer ${TOKEN}` }
const ASYNC = { prefer: 'respond-async' }
const UNKNOWN = '018f0000-0000-7000-8000-000000000000'
beforeEach(async () => {
  gateway = await TestGateway.start()
  gateway.registry.add('hello')
})
afterEach(() => gateway.stop())

describe('Prefer: respond-async', () => {
  test('is answered 202 with where to ask, after the lane has promised', async () => {
    const response = await gateway.fetch('/fn/hello/path?q', {
      method: 'PUT',
      body: 'data',
      headers: { ...ASYNC, 'x-a': 'b' },
    })
    expect(response.status).toBe(202)
    const submission = gateway.lane.submissions[0]!
    expect(response.headers.get('location')).toBe(`/v1/invocations/${submission.id}`)
    expect(response.headers.get('preference-applied')).toBe('respond-async')
    expect(response.headers.get('fn-durability')).toBe('disk')
    expect(response.headers.get('fn-invocation-id')).toBe(submission.id)
    expect(response.headers.get('fn-version')).toBe('1')
    expect(await response.json()).toMatchObject({ id: submission.id, state: 'queued' })
    expect(submission).toMatchObject({
      method: 'PUT',
      target: '/path?q',
      bytes: Buffer.from('data'),
      caller: 'anonymous',
      delayMs: 0,
      priority: 0,
      maxAttempts: null,
      maxAgeMs: null,
      idempotencyKey: null,
    })
    expect(submission.headers).toContain('x-a')
    expect(gateway.worker.calls).toHaveLength(0)
  })

  test('may stand among other preferences', async () => {
    const headers = { prefer: 'handling=lenient, Respond-Async; x=1, wait=5' }
    expect((await gateway.fetch('/fn/hello', { headers })).status).toBe(202)
    expect((await gateway.fetch('/fn/hello', { headers: { prefer: 'respond-asynchronously' } })).status).toBe(200)
  })

  test('refuses a key that is none, which would make one call of all', async () => {
    const raw = await gateway.raw(
      'POST /fn/hello HTTP/1.1\r\nHost: a\r\nPrefer: respond-async\r\nIdempotency-Key:\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
    )
    expect(raw).toMatch(/^HTTP\/1\.1 400 /)
    expect(raw).toContain('Idempotency-Key: expected a key, got nothing')
    expect(gateway.lane.submissions).toHaveLength(0)
  })

  test('takes a large body as a stream', async () => {
    const body = new Blob(['x'.repeat(1_000_000)]).stream()
    await gateway.fetch('/fn/hello', { method: 'POST', body, duplex: 'half', headers: ASYNC })
    expect(gateway.lane.submissions[0]!.bytes).toHaveLength(1_000_000)
  })

  test('says 503 when the lane cannot store a body, though it has read only a part of it', async () => {
    gateway.lane.submit = async ({ body }) => {
      for await (const _ of body as Readable) break
      await new Promise((resolve) => setImmediate(resolve))
      throw new QueueError('QUEUE_UNAVAILABLE', 'the disk is full', { retryAfterS: 10 })
    }
    const body = new Blob(['x'.repeat(1_000_000)]).stream()
    const response = await gateway.fetch('/fn/hello', { method: 'POST', body, duplex: 'half', headers: ASYNC })
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toBe('10')
    expect(await response.json()).toMatchObject({ code: 'QUEUE_UNAVAILABLE' })
  })

  test('reads what shall become of the call from whoever has the token', async () => {
    const asked = {
      'fn-delay': '1h',
      'fn-priority': '7',
      'fn-max-attempts': '2',
      'fn-max-age': '90m',
      'fn-timeout': '2s',
    }
    expect((await gateway.fetch('/fn/hello', { headers: { ...ASYNC, ...asked } })).status).toBe(401)
    await gateway.fetch('/fn/hello', { headers: { ...ASYNC, ...asked, ...OWNER, 'idempotency-key': 'k' } })
    expect(gateway.lane.submissions).toHaveLength(1)
    expect(gateway.lane.submissions[0]).toMatchObject({
      delayMs: 3_600_000,
      priority: 7,
      maxAttempts: 2,
      maxAgeMs: 5_400_000,
      timeoutMs: 2000,
      idempotencyKey: 'k',
      caller: 'token',
    })
  })

  test('is refused with what the lane says while it is away', async () => {
    gateway.lane.up = false
    const response = await gateway.fetch('/fn/hello', { headers: ASYNC })
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '2'])
    expect(await response.json()).toMatchObject({ code: 'QUEUE_UNAVAILABLE', component: 'queue' })
    expect((await gateway.fetch('/fn/hello')).status).toBe(200)
  })

  test('is refused for limits no call could have', async () => {
    const headers = { ...ASYNC, 'fn-limit-memory': '1t' }
    expect((await gateway.fetch('/fn/hello', { headers })).status).toBe(400)
    expect(gateway.lane.submissions).toHaveLength(0)
  })

  test('is impossible where there is no lane', async () => {
    await gateway.stop()
    gateway = await TestGateway.start({ lane: null })
    gateway.registry.add('hello')
    expect((await gateway.fetch('/fn/hello', { headers: ASYNC })).status).toBe(503)
  })
})

describe('headers of the asynchronous lane on a synchronous call', () => {
  test('are a mistake worth telling', async () => {
    const response = await gateway.fetch('/fn/hello', { headers: { ...OWNER, 'fn-delay': '1h' } })
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ detail: expect.stringContaining('respond-async') })
  })
})

describe('POST /v1/functions/{name}/invocations', () => {
  test('queues POST / with body and content type as sent, and nothing else of the caller', async () => {
    const response = await gateway.fetch('/v1/functions/hello/invocations?version=1', {
      method: 'POST',
      body: '{}',
      headers: { 'content-type': 'application/json', 'x-mine': 'no', ...OWNER },
    })
    expect(response.status).toBe(202)
    const { headers, ...submission } = gateway.lane.submissions[0]!
    expect(submission).toMatchObject({ method: 'POST', target: '/', bytes: Buffer.from('{}'), caller: 'token' })
    const names = headers.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase())
    expect(names.toSorted()).toEqual(['content-length', 'content-type', 'host'])
  })

  test('wants the token and a function that is there', async () => {
    const post = (path: string, anonymous = false) => gateway.fetch(path, { method: 'POST', body: 'x', anonymous })
    expect((await post('/v1/functions/hello/invocations', true)).status).toBe(401)
    expect((await post('/v1/functions/nobody/invocations')).status).toBe(404)
    expect((await post('/v1/functions/hello/invocations?version=9')).status).toBe(404)
    expect(gateway.lane.submissions).toHaveLength(0)
  })
})

describe('Fn-Dispatch: durable', () => {
  const DURABLE = { 'fn-dispatch': 'durable', ...OWNER }

  test('answers with the function’s response once it is there', async () => {
    gateway.lane.onSubmit = ({ id }) => {
      const headers = ['X-A', 'b', 'Set-Cookie', 'a=1', 'Set-Cookie', 'b=2', 'Fn-Version', '9']
      gateway.lane.kept.set(id, {
        record: sampleRecord(id, { status: 201 }),
        result: { status: 201, headers, body: Readable.from([Buffer.from('made')]), bodyBytes: 4 },
      })
    }
    const response = await gateway.fetch('/fn/hello', { method: 'POST', headers: DURABLE })
    expect([response.status, await response.text()]).toEqual([201, 'made'])
    expect(response.headers.get('fn-durability')).toBe('disk')
    expect(response.headers.get('fn-start')).toBe('warm')
    expect(response.headers.get('fn-version')).toBe('1')
    expect(response.headers.getSetCookie()).toEqual(['a=1', 'b=2'])
    expect(response.headers.get('fn-invocation-id')).toBe(gateway.lane.submissions[0]!.id)
  })

  test('has the metering as a trailer when asked for', async () => {
    gateway.lane.onSubmit = ({ id }) => {
      gateway.lane.kept.set(id, {
        record: sampleRecord(id, { metering: ZERO_METERING }),
        result: { status: 200, headers: [], body: Buffer.from('made'), bodyBytes: 4 },
      })
    }
    const raw = await gateway.raw(
      `GET /fn/hello HTTP/1.1\r\nHost: a\r\nFn-Dispatch: durable\r\nFn-Metering: trailer\r\nAuthorization: Bearer ${TOKEN}\r\nConnection: close\r\n\r\n`,
    )
    expect(raw).toContain('\r\nTrailer: Fn-Metering\r\n')
    expect(raw).toContain(`4\r\nmade\r\n0\r\nFn-Metering: ${JSON.stringify(ZERO_METERING)}\r\n`)
  })

  test('answers with the failure of the last attempt', async () => {
    gateway.lane.onSubmit = ({ id }) => {
      const error = { code: 'FUNCTION_TIMEOUT', component: 'function', message: 'took too long' } as const
      gateway.lane.kept.set(id, { record: sampleRecord(id, { state: 'timed-out', error }), result: null })
    }
    const response = await gateway.fetch('/fn/hello', { headers: DURABLE })
    expect(response.status).toBe(504)
    expect(await response.json()).toMatchObject({ code: 'FUNCTION_TIMEOUT', detail: 'took too long' })
  })

  test('wants the token', async () => {
    expect((await gateway.fetch('/fn/hello', { headers: { 'fn-dispatch': 'durable' } })).status).toBe(401)
  })
})

describe('asking', () => {
  const id = '018f0000-0000-7000-8000-000000000001'

  test('for a record finds those of the lane and of the worker', async () => {
    gateway.worker.kept.set(id, sampleRecord(id, { attempt: 1, state: 'failed' }))
    expect(await (await gateway.fetch(`/v1/invocations/${id}`)).json()).toMatchObject({ state: 'failed' })
    gateway.lane.kept.set(id, { record: sampleRecord(id, { state: 'queued' }), result: null })
    expect(await (await gateway.fetch(`/v1/invocations/${id}`)).json()).toMatchObject({ state: 'queued' })
    gateway.lane.up = false
    expect(await (await gateway.fetch(`/v1/invocations/${id}`)).json()).toMatchObject({ state: 'failed' })
  })

  test.each([UNKNOWN, 'nonsense', `${UNKNOWN}x`])('for %s is a 404', async (unknown) => {
    for (const path of ['', '/result', '/logs'])
      expect((await gateway.fetch(`/v1/invocations/${unknown}${path}`)).status).toBe(404)
    expect((await gateway.fetch(`/v1/invocations/${unknown}`, { method: 'DELETE' })).status).toBe(404)
  })

  test('without the token is a 401, also for one’s own call', async () => {
    const response = await gateway.fetch('/fn/hello', { headers: ASYNC })
    expect((await gateway.fetch(response.headers.get('location')!, { anonymous: true })).status).toBe(401)
  })

  test('for a result gives the response as it was, raw', async () => {
    const result = { status: 418, headers: ['X-A', 'b'], body: Buffer.from('teapot'), bodyBytes: 6 }
    gateway.lane.kept.set(id, { record: sampleRecord(id), result })
    const response = await gateway.fetch(`/v1/invocations/${id}/result?wait=1s`)
    expect([response.status, await response.text()]).toEqual([418, 'teapot'])
    expect(response.headers.get('x-a')).toBe('b')
    expect(response.headers.get('content-type')).toBeNull()
  })

  test('for a result that is not there says why', async () => {
    gateway.lane.kept.set(id, { record: sampleRecord(id, { state: 'running' }), result: null, pending: true })
    const pending = await gateway.fetch(`/v1/invocations/${id}/result`)
    expect([pending.status, pending.headers.get('retry-after')]).toEqual([202, '1'])
    for (const [state, status, code] of [
      ['cancelled', 499, 'CANCELLED'],
      ['expired', 410, 'INVOCATION_EXPIRED'],
    ] as const) {
      gateway.lane.kept.set(id, { record: sampleRecord(id, { state }), result: null })
      const response = await gateway.fetch(`/v1/invocations/${id}/result`)
      expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([status, code])
    }
    const own = '018f0000-0000-7000-8000-000000000002'
    gateway.worker.kept.set(own, sampleRecord(own))
    expect((await gateway.fetch(`/v1/invocations/${own}/result`)).status).toBe(404)
    expect((await gateway.fetch(`/v1/invocations/${id}/result?wait=long`)).status).toBe(400)
  })

  test('for a cancel gives the record, or says that it is too late', async () => {
    gateway.lane.kept.set(id, { record: sampleRecord(id, { state: 'queued' }), result: null })
    const cancelled = await gateway.fetch(`/v1/invocations/${id}`, { method: 'DELETE' })
    expect([cancelled.status, ((await cancelled.json()) as { state: string }).state]).toEqual([200, 'cancelled'])
    gateway.lane.kept.set(id, { record: sampleRecord(id), result: null })
    expect((await gateway.fetch(`/v1/invocations/${id}`, { method: 'DELETE' })).status).toBe(409)
  })

  test('for a list merges both, newest first, each once, by pages', async () => {
    const ids = Array.from({ length: 7 }, (_, index) => `018f0000-0000-7000-8000-00000000000${index}`)
    for (const each of ids) gateway.worker.kept.set(each, sampleRecord(each))
    gateway.lane.kept.set(ids[6]!, { record: sampleRecord(ids[6]!, { state: 'queued' }), result: null })
    const first = await gateway.fetch('/v1/invocations?limit=3&function=hello')
    const records = (await first.json()) as { id: string; state: string }[]
    expect(records.map((record) => record.id)).toEqual([ids[6], ids[5], ids[4]])
    expect(records[0]!.state).toBe('queued')
    const link = /<([^>]+)>; rel="next"/.exec(first.headers.get('link') ?? '')?.[1]
    expect(link).toBe(`/v1/invocations?limit=3&function=hello&after=${ids[4]}`)
    gateway.lane.kept.clear()
    const second = (await (await gateway.fetch(link!)).json()) as { id: string }[]
    expect(second.map((record) => record.id)).toEqual([ids[3], ids[2], ids[1]])
    for (const query of ['limit=0', 'limit=x', 'state=odd', 'since=yesterday', 'after=x'])
      expect((await gateway.fetch(`/v1/invocations?${query}`)).status).toBe(400)
  })
})
