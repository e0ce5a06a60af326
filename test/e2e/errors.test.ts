// The table of errors through HTTP: each cause gets its status, code, component and a body a machine can read, and the next
// call works. What a fault does to the record, or to limits in detail, stands in the other suites.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { HostReport } from '../../runtime/api.ts'
import type { SandboxInfo } from '../../worker/api.ts'
import { say } from '../fault/redis-wire.ts'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { type FullRecord, recordOf } from '../support/records.ts'
import { until } from '../support/until.ts'

const FIXTURES = join(ROOT, 'test', 'fixtures', 'functions')
const PROBE = join(FIXTURES, 'probe.ts')
const MORTAL = join(FIXTURES, 'mortal.ts')
const QUEUE_PLACES = 1000
let platform: Platform
let occupant: Promise<Response>
/** A call that finds the host full only after it has waited a minute; started first, looked at last. */
let crowdedOut: Promise<Response>
let mortalUntil: number

beforeAll(async () => {
  platform = await startPlatform()
  await platform.deploy(PROBE, '--timeout', '20s')
  const { memoryBytes } = await platform.json<HostReport>('/v1/doctor')
  const half = String(Math.floor(memoryBytes / 2))
  await platform.deploy(PROBE, '--name', 'wide', '--memory', half, '--timeout', '5m', '--concurrency', '2')
  occupant = platform.request('/fn/wide/never')
  await until('it runs', () => isBusy('wide'))
  crowdedOut = platform.request('/fn/wide/status/200')
  // Where only some tests run, nobody waits for these two.
  for (const call of [occupant, crowdedOut]) call.catch(() => {})
  await platform.deploy(PROBE, '--name', 'narrow', '--timeout', '1m', '--concurrency', '1')
  mortalUntil = Date.now() + 15_000
  for (const how of ['throw', 'hang']) {
    const env = ['--env', `UNTIL=${mortalUntil}`, '--env', `HOW=${how}`]
    await platform.deploy(MORTAL, '--name', `mortal-${how}`, '--init-timeout', '1s', ...env)
  }
})
afterAll(() => platform.stop())

interface Expected {
  readonly status: number
  readonly code: string
  readonly component: string
  /** The call was resolved to a version, so that it has an id. */
  readonly resolved?: boolean
  readonly retry?: boolean
  readonly words?: string
}
type Problem = Record<string, unknown>

/** Looks at every promise the table makes for one refusal, then at the next call. */
async function expectProblem(response: Response, expected: Expected): Promise<Problem> {
  const { status, code, component } = expected
  const body = (await response.json()) as Problem
  expect({ ...body, http: response.status }).toMatchObject({ http: status, status, code, component })
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  expect(body.type).toBe(`urn:thaw:problem:${code.toLowerCase().replaceAll('_', '-')}`)
  expect(String(body.title).length).toBeGreaterThan(3)
  expect(String(body.detail)).toContain(expected.words ?? '')
  expect(String(body.detail).length).toBeGreaterThan(3)
  if (expected.resolved) {
    expect(body.invocationId).toMatch(/^[0-9a-f-]{36}$/)
    expect(response.headers.get('fn-invocation-id')).toBe(body.invocationId)
    expect(response.headers.get('fn-version')).toMatch(/^\d+$/)
  }
  if (expected.retry) expect(Number(response.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
  expect((await platform.request('/fn/probe/status/200')).status).toBe(200)
  return body
}

/** The same for bytes on a connection of their own. */
async function expectRawProblem(bytes: string, expected: Expected): Promise<void> {
  const raw = (await platform.rawRequest(bytes)).toString()
  const [head = '', body = ''] = raw.slice(raw.lastIndexOf('HTTP/1.1 ')).split('\r\n\r\n')
  const [line = '', ...fields] = head.split('\r\n')
  const headers = new Headers(fields.map((field) => field.split(': ') as [string, string]))
  await expectProblem(new Response(body, { status: Number(line.split(' ')[1]), headers }), expected)
}

const sandboxesOf = async (name: string): Promise<SandboxInfo[]> =>
  (await platform.json<SandboxInfo[]>('/v1/sandboxes')).filter((row) => row.function === name)
const isBusy = async (name: string): Promise<boolean> => (await sandboxesOf(name)).some((row) => row.state === 'busy')
const act = (id: string, action: string): Promise<Response> =>
  platform.request(`/v1/sandboxes/${id}/${action}`, { method: 'POST' })
const withToken = (headers: Record<string, string> = {}): Record<string, string> => ({
  authorization: `Bearer ${platform.token}`,
  ...headers,
})
const host = 'Host: localhost\r\n'

describe('a request that is wrong', () => {
  test.each<[string, Record<string, string>, Expected]>([
    [
      '/fn/probe/status/200',
      { 'fn-limit-nonsense': '1' },
      { status: 400, code: 'LIMIT_INVALID', component: 'worker', resolved: true, words: 'nonsense' },
    ],
    [
      '/fn/probe/status/200',
      { 'fn-limit-memory': '900g' },
      { status: 400, code: 'LIMIT_INVALID', component: 'worker', resolved: true, words: '900g' },
    ],
    [
      '/fn/probe/status/200',
      { 'fn-timeout': 'soon' },
      { status: 400, code: 'BAD_REQUEST', component: 'gateway', resolved: true, words: 'soon' },
    ],
    [
      '/fn/probe/status/200',
      { 'fn-namespace': 'Not_A_Label' },
      { status: 400, code: 'NAME_INVALID', component: 'gateway', words: 'Not_A_Label' },
    ],
    ['/v1/invocations?limit=many', {}, { status: 400, code: 'BAD_REQUEST', component: 'gateway', words: 'many' }],
    ['/fn/nobody', {}, { status: 404, code: 'FUNCTION_NOT_FOUND', component: 'gateway', words: 'nobody' }],
    ['/fn/probe@77/', {}, { status: 404, code: 'VERSION_NOT_FOUND', component: 'gateway', words: '77' }],
    ['/fn/probe@prod/', {}, { status: 404, code: 'VERSION_NOT_FOUND', component: 'gateway', words: 'prod' }],
    ['/nowhere', {}, { status: 404, code: 'NOT_FOUND', component: 'gateway', words: '/nowhere' }],
    ['/v1/functions/nobody', {}, { status: 404, code: 'FUNCTION_NOT_FOUND', component: 'gateway', words: 'nobody' }],
    ['/v1/invocations/nothing', {}, { status: 404, code: 'INVOCATION_NOT_FOUND', component: 'gateway' }],
    ['/v1/networks/nothing', {}, { status: 404, code: 'NETWORK_NOT_FOUND', component: 'gateway', words: 'nothing' }],
    [
      '/v1/functions',
      { authorization: 'Bearer wrong' },
      { status: 401, code: 'UNAUTHORIZED', component: 'gateway', words: 'token' },
    ],
    [
      '/fn/probe/status/200',
      { authorization: 'Bearer fn_wrong' },
      { status: 401, code: 'UNAUTHORIZED', component: 'gateway', words: 'token' },
    ],
  ])('GET %s with %o', async (path, headers, expected) => {
    await expectProblem(await platform.request(path, { headers }), expected)
  })

  test('options of the durable lane need a token, and mean nothing for a synchronous call', async () => {
    const open = await platform.request('/fn/probe/', { headers: { prefer: 'respond-async', 'fn-delay': '1s' } })
    const unauthorized = { status: 401, code: 'UNAUTHORIZED', component: 'gateway', resolved: true }
    await expectProblem(open, { ...unauthorized, words: 'fn-delay' })
    expect(open.headers.get('www-authenticate')).toContain('Bearer')
    const sync = await platform.request('/fn/probe/', { headers: withToken({ 'fn-delay': '1s' }) })
    const useless = { status: 400, code: 'BAD_REQUEST', component: 'gateway', resolved: true }
    await expectProblem(sync, { ...useless, words: 'respond-async' })
  })

  test('a weight, a method, a body that do not fit', async () => {
    const alias = await platform.request('/v1/functions/probe/aliases/prod', {
      method: 'PUT',
      body: JSON.stringify({ weights: { 99: 100 } }),
    })
    await expectProblem(alias, { status: 400, code: 'ALIAS_INVALID', component: 'gateway', words: '99' })
    const method = await platform.request('/v1/sandboxes', { method: 'DELETE' })
    await expectProblem(method, { status: 405, code: 'METHOD_NOT_ALLOWED', component: 'gateway' })
    expect(method.headers.get('allow')).toBe('GET')
    const upload = await platform.request('/v1/functions/bad', { method: 'PUT', body: 'this is no tar' })
    await expectProblem(upload, { status: 400, code: 'DEPLOY_INVALID', component: 'worker' })
  })

  test.each<[string, string, Expected]>([
    [
      'dot segments out of its function',
      `GET /fn/probe/%2e%2e/%2e%2e/v1/functions HTTP/1.1\r\n${host}Connection: close\r\n\r\n`,
      { status: 400, code: 'BAD_REQUEST', component: 'gateway' },
    ],
    [
      'two Host headers',
      `GET /fn/probe/status/200 HTTP/1.1\r\n${host}Host: other\r\nConnection: close\r\n\r\n`,
      { status: 400, code: 'BAD_REQUEST', component: 'gateway', words: 'Host' },
    ],
    [
      'a broken chunk',
      `POST /fn/probe/meta HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZ\r\n`,
      { status: 400, code: 'BODY_ABORTED', component: 'gateway' },
    ],
    [
      'a transfer coding nobody here decodes',
      `POST /fn/probe/meta HTTP/1.1\r\n${host}Transfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n0\r\n\r\n`,
      { status: 501, code: 'NOT_IMPLEMENTED', component: 'gateway', words: 'gzip' },
    ],
    [
      'an upgrade nobody here speaks',
      `GET /fn/probe/meta HTTP/1.1\r\n${host}Connection: upgrade\r\nUpgrade: tea\r\n\r\n`,
      { status: 400, code: 'UPGRADE_UNSUPPORTED', component: 'gateway', words: 'tea' },
    ],
    [
      'an unknown host for the control API',
      'GET /v1/functions HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n',
      { status: 403, code: 'FORBIDDEN_HOST', component: 'gateway', words: 'evil.example' },
    ],
    [
      'another expectation',
      `POST /fn/probe/meta HTTP/1.1\r\n${host}Expect: tea\r\nContent-Length: 1\r\n\r\n`,
      { status: 417, code: 'EXPECTATION_FAILED', component: 'gateway', words: 'tea' },
    ],
    [
      'a head of 40 KiB',
      `GET /fn/probe/meta HTTP/1.1\r\n${host}X-Large: ${'x'.repeat(40 * 1024)}\r\n\r\n`,
      { status: 431, code: 'HEADERS_TOO_LARGE', component: 'gateway' },
    ],
    [
      'a declared body of 10 GiB',
      `POST /fn/probe/meta HTTP/1.1\r\n${host}Content-Length: 10737418240\r\nExpect: 100-continue\r\n\r\n`,
      { status: 413, code: 'BODY_TOO_LARGE', component: 'gateway', resolved: true },
    ],
  ])('%s', async (_title, bytes, expected) => {
    await expectRawProblem(bytes, expected)
  })

  test('a chunked body that turns out larger than an asynchronous call may have', async () => {
    let left = 101
    const body = new ReadableStream({
      pull(controller) {
        if (left-- > 0) controller.enqueue(new Uint8Array(1024 ** 2))
        else controller.close()
      },
    })
    const init = { method: 'POST', body, duplex: 'half', headers: { prefer: 'respond-async' } } as RequestInit
    const expected = { status: 413, code: 'BODY_TOO_LARGE', component: 'gateway', resolved: true, words: '100m' }
    await expectProblem(await platform.request('/fn/probe/', init), expected)
  })
})

describe('a request that does not fit the state of things', () => {
  test('409: a sandbox that is busy, a call that has ended, a function that queued calls still need', async () => {
    const call = platform.request('/fn/probe/sleep/2000')
    await until('the call runs', () => isBusy('probe'))
    const busy = (await sandboxesOf('probe')).find((row) => row.state === 'busy')
    await expectProblem(await act(busy?.id ?? '', 'freeze'), {
      status: 409,
      code: 'SANDBOX_STATE',
      component: 'worker',
    })
    expect((await call).status).toBe(200)
    await expectProblem(await act('nobody', 'kill'), { status: 404, code: 'SANDBOX_NOT_FOUND', component: 'worker' })

    const headers = withToken({ prefer: 'respond-async', 'fn-delay': '10m' })
    const queued = (await platform.request('/fn/narrow/status/200', { headers })).headers.get('location') ?? ''
    const remove = () => platform.request('/v1/functions/narrow', { method: 'DELETE' })
    await expectProblem(await remove(), { status: 409, code: 'VERSION_IN_USE', component: 'queue' })
    expect((await platform.request(queued, { method: 'DELETE' })).ok).toBe(true)
    await expectProblem(await platform.request(queued, { method: 'DELETE' }), {
      status: 409,
      code: 'NOT_CANCELLABLE',
      component: 'queue',
    })
  })

  test('409: a memory limit that not even a fresh sandbox could meet', async () => {
    await platform.deploy(MORTAL, '--name', 'heavy', '--env', 'BALLAST=24')
    const response = await platform.request('/fn/heavy/', { headers: { 'fn-limit-memory': '16m' } })
    const expected = { status: 409, code: 'LIMIT_BELOW_USE', component: 'worker', resolved: true, words: 'memory' }
    const { data } = await expectProblem(response, expected)
    expect(data).toMatchObject({ limit: 'memory', asked: 16 * 1024 ** 2, inUse: expect.any(Number) })
  })

  test('422: an idempotency key that was used with another body', async () => {
    const send = (body: string) =>
      platform.request('/fn/probe/meta', {
        method: 'POST',
        body,
        headers: withToken({ prefer: 'respond-async', 'idempotency-key': 'once' }),
      })
    const first = await send('one')
    expect([first.status, (await send('one')).headers.get('location')]).toEqual([202, first.headers.get('location')])
    await expectProblem(await send('two'), { status: 422, code: 'IDEMPOTENCY_MISMATCH', component: 'queue' })
  })

  test('429: a function at its concurrency with its queue full; an operator’s kill sets the others going', async () => {
    const blocker = platform.request('/fn/narrow/never')
    await until('it runs', () => isBusy('narrow'))
    const waiting = Array.from({ length: QUEUE_PLACES }, () => platform.request('/fn/narrow/status/200'))
    const isFull = async (): Promise<boolean> =>
      new RegExp(`^thaw_invocations_waiting ${QUEUE_PLACES + 1}$`, 'm').test(
        await (await platform.request('/metrics')).text(),
      )
    // The host's own figure counts the call that finds the host full, too.
    await until('all wait', isFull, 30_000)
    const response = await platform.request('/fn/narrow/status/200')
    const expected = { status: 429, code: 'FUNCTION_BUSY', component: 'queue', resolved: true, retry: true }
    await expectProblem(response, { ...expected, words: 'narrow' })
    const [slot] = await sandboxesOf('narrow')
    expect((await act(slot?.id ?? '', 'kill')).ok).toBe(true)
    const killed = { status: 502, code: 'FUNCTION_KILLED', component: 'sandbox', resolved: true }
    await expectProblem(await blocker, killed)
    const statuses = (await Promise.all(waiting)).map((answer) => answer.status)
    expect(statuses.every((status) => status === 200)).toBe(true)
  })

  test('499 is in the record of a call whose caller left', async () => {
    const controller = new AbortController()
    const left = platform.request('/fn/probe/aborting/500', { signal: controller.signal })
    await until('the call runs', () => isBusy('probe'))
    controller.abort()
    await expect(left).rejects.toThrow()
    await until('its record is there', async () => {
      const [record] = await platform.json<FullRecord[]>('/v1/invocations?function=probe&limit=1')
      return record?.status === 499 && record.error.code === 'CLIENT_GONE'
    })
    expect((await platform.request('/fn/probe/status/200')).status).toBe(200)
  })
})

describe('a fault of the function', () => {
  test.each<[string, number, string, string]>([
    ['throw/boom', 500, 'FUNCTION_THREW', 'thrown boom'],
    ['nonsense', 502, 'FUNCTION_INVALID_RESPONSE', 'Response'],
    ['wrong-length/9', 502, 'FUNCTION_INVALID_RESPONSE', 'content-length'],
    ['large-head/70000', 502, 'FUNCTION_INVALID_RESPONSE', 'headers'],
    ['exit/3', 502, 'FUNCTION_CRASHED', '3'],
    ['uncaught/later', 502, 'FUNCTION_CRASHED', 'uncaught later'],
    ['forge', 502, 'FUNCTION_PROTOCOL', 'protocol'],
    ['alloc/400', 502, 'FUNCTION_OUT_OF_MEMORY', '128m'],
    ['heap/400', 502, 'FUNCTION_OUT_OF_MEMORY', '128m'],
  ])('%s is %i %s, and the next call works', async (route, status, code, words) => {
    const response = await platform.request(`/fn/probe/${route}`)
    const body = await expectProblem(response, { status, code, component: 'function', resolved: true, words })
    const record = await recordOf(platform, body)
    expect([record.state, record.status, record.error.code]).toEqual(['failed', status, code])
    expect((await platform.request('/fn/probe/status/200')).status).toBe(200)
  })

  test('504: it runs out of its time', async () => {
    const response = await platform.request('/fn/probe/never', { headers: { 'fn-timeout': '300ms' } })
    const expected = { status: 504, code: 'FUNCTION_TIMEOUT', component: 'function', resolved: true }
    const body = await expectProblem(response, { ...expected, words: '300ms' })
    expect((await recordOf(platform, body)).state).toBe('timed-out')
  })

  test.each([
    ['mortal-throw', 'FUNCTION_INIT_FAILED', 'too late to load'],
    ['mortal-hang', 'FUNCTION_INIT_TIMEOUT', 'within 1s'],
  ])('%s, that no longer loads: 502 %s', async (name, code, words) => {
    await until('the time has passed', () => Date.now() > mortalUntil, 30_000)
    for (const { id } of await sandboxesOf(name)) await act(id, 'kill')
    const response = await platform.request(`/fn/${name}/`)
    await expectProblem(response, { status: 502, code, component: 'function', resolved: true, words })
  })
})

describe('a fault of the host', () => {
  test('503: Redis hangs; synchronous calls go on, and it all works again afterwards', async () => {
    const redis = childrenOf(platform.pid).find((pid) => readFileSync(`/proc/${pid}/comm`, 'utf8').includes('redis'))
    expect(redis).toBeDefined()
    process.kill(redis ?? 0, 'SIGSTOP')
    try {
      const expected = { status: 503, component: 'queue', retry: true }
      const accept = () => platform.request('/fn/probe/', { headers: { prefer: 'respond-async' } })
      await expectProblem(await accept(), { ...expected, code: 'QUEUE_UNAVAILABLE', resolved: true })
      const removed = await platform.request('/v1/functions/narrow', { method: 'DELETE' })
      expect(['QUEUE_UNAVAILABLE', 'REGISTRY_UNAVAILABLE']).toContain(
        ((await removed.clone().json()) as Problem).code as string,
      )
      expect([removed.status, (await platform.request('/readyz')).status]).toEqual([503, 503])
    } finally {
      process.kill(redis ?? 0, 'SIGCONT')
    }
    await until('it is ready again', async () => (await platform.request('/readyz')).status === 200)
    const headers = { prefer: 'respond-async' }
    expect((await platform.request('/fn/probe/status/200', { headers })).status).toBe(202)
  })

  test('503: Redis is full; /readyz says so, what was accepted ends, and it all works again with room', async () => {
    const socket = `/run/thaw/${readFileSync(join(platform.stateDir, 'id'), 'utf8').trim()}/redis.sock`
    const headers = { prefer: 'respond-async' }
    const accepted = (await (await platform.request('/fn/probe/status/200', { headers })).json()) as { id: string }
    await say(socket, 'CONFIG SET maxmemory 1')
    try {
      await until('it says so', async () => (await platform.request('/readyz')).status === 503)
      const { reason } = (await (await platform.request('/readyz')).json()) as { reason: string }
      expect(reason).toMatch(/^Redis is full .*maxmemory.*no more asynchronous calls are accepted/)
      const expected = { status: 503, code: 'QUEUE_FULL', component: 'queue', retry: true, words: 'maxmemory' }
      await expectProblem(await platform.request('/fn/probe/', { headers }), { ...expected, resolved: true })
      const kept = await platform.request('/v1/secrets/late', { method: 'PUT', body: JSON.stringify({ value: 'x' }) })
      const problem = (await kept.json()) as Problem
      expect([kept.status, problem.code, problem.detail]).toEqual([503, 'REGISTRY_UNAVAILABLE', expect.any(String)])
      expect((await platform.request('/fn/probe/status/200')).status).toBe(200)
      expect((await platform.request(`/v1/invocations/${accepted.id}`)).status).toBe(200)
    } finally {
      await say(socket, 'CONFIG SET maxmemory 0')
    }
    await until('it is ready again', async () => (await platform.request('/readyz')).status === 200)
    expect((await platform.request('/fn/probe/status/200', { headers })).status).toBe(202)
  })

  test('503: no room for another sandbox for a minute; what holds the room is not touched', async () => {
    const expected = { status: 503, code: 'HOST_FULL', component: 'worker', resolved: true, retry: true }
    await expectProblem(await crowdedOut, expected)
    const [slot] = await sandboxesOf('wide')
    expect(slot?.state).toBe('busy')
    await act(slot?.id ?? '', 'kill')
    expect((await occupant).status).toBe(502)
    expect((await platform.request('/fn/wide/status/200')).status).toBe(200)
  })
})

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number)
}
