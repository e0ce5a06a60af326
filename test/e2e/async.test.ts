// The asynchronous lane over HTTP: accepted means kept; record, result, logs and cancel by id; crashes are retried.
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { InvocationRecord } from '../../worker/api.ts'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'

let platform: Platform
beforeAll(async () => {
  platform = await startPlatform()
  await platform.deploy(join(ROOT, 'test', 'fixtures', 'functions', 'flaky.ts'))
})
afterAll(() => platform.stop())

async function submit(path: string, body = '', headers: Record<string, string> = {}): Promise<string> {
  const response = await platform.request(path, {
    method: 'POST',
    body,
    headers: { prefer: 'respond-async', authorization: `Bearer ${platform.token}`, ...headers },
  })
  expect(response.status).toBe(202)
  expect(response.headers.get('preference-applied')).toBe('respond-async')
  const location = response.headers.get('location') ?? ''
  expect(location).toMatch(/^\/v1\/invocations\/[0-9a-f-]{36}$/)
  return location
}
const record = (location: string): Promise<InvocationRecord> => platform.json<InvocationRecord>(location)
const ended = (location: string, state: string) => async (): Promise<boolean | string> => {
  const seen = (await record(location)).state
  return seen === state || seen
}

describe('accepted calls', () => {
  test('run with method, path, query and body as sent; result and record come by id', async () => {
    const location = await submit('/fn/flaky/some/path?x=1', 'payload')
    const result = await platform.request(`${location}/result?wait=20s`)
    expect(result.status).toBe(201)
    expect(result.headers.get('x-attempt')).toBe('1')
    expect(await result.text()).toBe('POST /some/path attempt 1: payload')
    expect(await record(location)).toMatchObject({ state: 'succeeded', function: 'flaky', attempt: 1, status: 201 })
    const logs = await platform.request(`${location}/logs`)
    expect(await logs.text()).toContain('attempt 1')
  })

  test('also come by POST /v1/functions/{name}/invocations', async () => {
    const response = await platform.request('/v1/functions/flaky/invocations', {
      method: 'POST',
      body: '{"a":1}',
      headers: { 'content-type': 'application/json' },
    })
    expect(response.status).toBe(202)
    expect(response.headers.get('fn-durability')).toBe('disk')
    const result = await platform.request(`${response.headers.get('location')}/result?wait=20s`)
    expect(await result.text()).toBe('POST / attempt 1: {"a":1}')
  })

  test('may be large both ways', async () => {
    await platform.deploy(join(ROOT, 'functions', 'echo.ts'))
    const body = 'x'.repeat(3 * 1024 * 1024)
    const location = await submit('/fn/echo', body)
    const result = await platform.request(`${location}/result?wait=20s`)
    expect((await result.text()) === body).toBe(true)
  })

  test('are durable for synchronous callers that ask', async () => {
    const response = await platform.request('/fn/flaky?fail=1', {
      method: 'POST',
      body: 'kept',
      headers: { 'fn-dispatch': 'durable', authorization: `Bearer ${platform.token}` },
    })
    expect(response.status).toBe(201)
    expect(await response.text()).toBe('POST / attempt 2: kept')
  })
})

describe('retries', () => {
  test.each(['throw', 'exit', '500'])('after a %s, with the same id and the next attempt number', async (how) => {
    const location = await submit(`/fn/flaky?fail=1&how=${how}`, how)
    const result = await platform.request(`${location}/result?wait=30s`)
    expect(await result.text()).toBe(`POST / attempt 2: ${how}`)
    expect(await record(location)).toMatchObject({ state: 'succeeded', attempt: 2 })
  })

  test('end after the last attempt with the error in the record', async () => {
    const location = await submit('/fn/flaky?fail=9', '', { 'fn-max-attempts': '2' })
    await until('it failed', ended(location, 'failed'), 20_000)
    const { attempt, error } = await record(location)
    expect(attempt).toBe(2)
    expect(error?.code).toBe('FUNCTION_THREW')
  })

  test('are not made after a 4xx of the function', async () => {
    const location = await submit('/fn/flaky?fail=9&how=400')
    await until('it failed', ended(location, 'failed'))
    expect(await record(location)).toMatchObject({ attempt: 1, status: 400 })
    expect(await (await platform.request(`${location}/result`)).text()).toBe('never')
  })
})

describe('cancel', () => {
  test('takes a waiting call out and ends a running one', async () => {
    const waiting = await submit('/fn/flaky', '', { 'fn-delay': '1h' })
    expect((await record(waiting)).state).toBe('queued')
    expect((await platform.request(waiting, { method: 'DELETE' })).ok).toBe(true)
    expect((await record(waiting)).state).toBe('cancelled')
    const running = await submit('/fn/flaky?sleep=25000')
    await until('it runs', ended(running, 'running'))
    expect((await platform.request(running, { method: 'DELETE' })).ok).toBe(true)
    await until('it is cancelled', ended(running, 'cancelled'))
  })
})

describe('asking', () => {
  test('an unknown id is 404, an anonymous reader 401, a list is newest first', async () => {
    expect((await platform.request('/v1/invocations/018f0000-0000-7000-8000-000000000000')).status).toBe(404)
    const location = await submit('/fn/flaky')
    expect((await fetch(new URL(location, platform.url))).status).toBe(401)
    await platform.request(`${location}/result?wait=20s`)
    const list = await platform.json<InvocationRecord[]>('/v1/invocations?function=flaky&limit=3')
    expect(list.length).toBe(3)
    expect(list[0]!.id).toBe(location.split('/').at(-1))
  })

  test('the same idempotency key gives the same call, with another body 422', async () => {
    const first = await submit('/fn/flaky', 'one', { 'idempotency-key': 'key-1' })
    expect(await submit('/fn/flaky', 'one', { 'idempotency-key': 'key-1' })).toBe(first)
    const other = await platform.request('/fn/flaky', {
      method: 'POST',
      body: 'two',
      headers: { prefer: 'respond-async', 'idempotency-key': 'key-1', authorization: `Bearer ${platform.token}` },
    })
    expect(other.status).toBe(422)
  })

  test('an unknown function is a 404, never a 202', async () => {
    const response = await platform.request('/fn/nobody', { method: 'POST', headers: { prefer: 'respond-async' } })
    expect(response.status).toBe(404)
  })
})
