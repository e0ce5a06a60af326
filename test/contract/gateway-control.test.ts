// The control API over real HTTP: who may, functions and aliases, sandboxes, live streams, health, metrics, OpenAPI, closing.
import { createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LogLine, SandboxInfo } from '../../worker/api.ts'
import { TestGateway, TOKEN } from '../support/gateway.ts'
import { EPOCH, sampleRecord } from '../support/samples.ts'
import { until } from '../support/until.ts'

let gateway: TestGateway
beforeEach(async () => {
  gateway = await TestGateway.start()
  gateway.registry.add('hello')
})
afterEach(() => gateway.stop())

const json = async <T>(path: string): Promise<T> => (await (await gateway.fetch(path)).json()) as T
const SANDBOX: SandboxInfo = {
  ...{ id: 's1', namespace: 'default', function: 'hello', version: 1, state: 'idle', pid: 4711 },
  ...{ memoryBytes: 1, cpuUs: 2, calls: 3, inFlight: 0, createdAt: EPOCH, idleSince: null },
}
const LINE: LogLine = {
  ...{ time: EPOCH, namespace: 'default', function: 'hello', version: 1, invocation: null, sandbox: 's1' },
  ...{ stream: 'stdout', line: 'one' },
}

describe('who may', () => {
  test('is whoever has the token, in the header alone', async () => {
    for (const authorization of ['Bearer wrong', `Basic ${TOKEN}`, TOKEN, `Bearer ${TOKEN}x`])
      expect((await gateway.fetch('/v1/functions', { headers: { authorization } })).status).toBe(401)
    const anonymous = await gateway.fetch('/v1/functions', { anonymous: true, headers: { cookie: `token=${TOKEN}` } })
    expect(anonymous.status).toBe(401)
    expect(anonymous.headers.get('www-authenticate')).toBe('Bearer realm="thaw"')
    expect((await gateway.fetch('/v1/functions')).status).toBe(200)
  })

  test.each([
    ['localhost:99', 200],
    ['127.0.0.1', 200],
    ['[::1]:80', 200],
    ['thaw.localhost', 200],
    ['fn.example.org:443', 200],
    ['FN.example.org', 200],
    ['evil.example.org', 403],
    ['localhost.evil.org', 403],
    ['127.0.0.1.evil.org', 403],
  ])('calls it under the host name %s: %i', async (host, status) => {
    const raw = await gateway.raw(
      `GET /v1/functions HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${TOKEN}\r\nConnection: close\r\n\r\n`,
    )
    expect(raw).toContain(`HTTP/1.1 ${status} `)
    const metrics = await gateway.raw(`GET /metrics HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
    expect(metrics).toContain(`HTTP/1.1 ${status} `)
  })

  test('needs the token for metrics behind a proxy', async () => {
    await gateway.stop()
    gateway = await TestGateway.start({ behindProxy: true })
    expect((await gateway.fetch('/metrics')).status).toBe(401)
    expect((await gateway.fetch('/metrics', { headers: { authorization: `Bearer ${TOKEN}` } })).status).toBe(200)
  })
})

describe('functions', () => {
  test('show versions, aliases, the latest and where they answer', async () => {
    gateway.registry.add('hello')
    expect(await json('/v1/functions/hello')).toMatchObject({
      namespace: 'default',
      name: 'hello',
      latest: 2,
      versions: [{ version: 1 }, { version: 2, image: 'sha256:2', config: { timeoutMs: 30_000 } }],
      aliases: { latest: { weights: { 2: 100 } } },
      url: `${gateway.gateway.url}/fn/hello`,
    })
    expect(await json<{ version: number }[]>('/v1/functions/hello/versions')).toMatchObject([
      { version: 1 },
      { version: 2 },
    ])
  })

  test('are listed by name and by pages', async () => {
    for (const name of ['c', 'a', 'b']) gateway.registry.add(name)
    const first = await gateway.fetch('/v1/functions?limit=3')
    expect(((await first.json()) as { name: string }[]).map(({ name }) => name)).toEqual(['a', 'b', 'c'])
    expect(first.headers.get('link')).toBe('</v1/functions?limit=3&after=c>; rel="next"')
    const second = await gateway.fetch('/v1/functions?limit=3&after=c')
    expect(((await second.json()) as { name: string }[]).map(({ name }) => name)).toEqual(['hello'])
    expect(second.headers.get('link')).toBeNull()
  })

  test('are listed as if nothing was asked where a parameter has no value', async () => {
    for (const path of [
      '/v1/functions?limit=&after=',
      '/v1/functions/hello/versions?after=',
      '/v1/invocations?function=&state=&since=&after=',
      '/v1/functions/hello/logs?tail=&follow=',
    ])
      expect([path, (await gateway.fetch(path)).status]).toEqual([path, 200])
    expect(await json<unknown[]>('/v1/functions?limit=&after=')).toHaveLength(1)
    const wrong = await gateway.fetch('/v1/functions/hello/versions?after=two')
    expect([wrong.status, await wrong.json()]).toMatchObject([400, { detail: expect.stringContaining('after: ') }])
  })

  test('of another namespace are its own', async () => {
    gateway.registry.add('shop', {}, 'team')
    const response = await gateway.fetch('/v1/functions', { headers: { 'fn-namespace': 'team' } })
    expect(await response.json()).toMatchObject([
      { name: 'shop', url: expect.stringMatching(/^http:\/\/shop\.team\.localhost:\d+\/$/) },
    ])
  })

  test('that are unknown or cannot be are told apart', async () => {
    expect((await gateway.fetch('/v1/functions/nobody')).status).toBe(404)
    expect((await gateway.fetch('/v1/functions/Not_A_Label')).status).toBe(400)
    expect((await gateway.fetch('/v1/functions', { headers: { 'fn-namespace': 'No!' } })).status).toBe(400)
  })

  test('go, with their sandboxes, unless calls of them are queued', async () => {
    gateway.lane.queued = 2
    const busy = await gateway.fetch('/v1/functions/hello', { method: 'DELETE' })
    expect([busy.status, ((await busy.json()) as { code: string }).code]).toEqual([409, 'VERSION_IN_USE'])
    gateway.lane.queued = 0
    expect((await gateway.fetch('/v1/functions/hello', { method: 'DELETE' })).status).toBe(204)
    expect(gateway.worker.retired).toBe(1)
    expect((await gateway.fetch('/fn/hello')).status).toBe(404)
    expect((await gateway.fetch('/v1/functions/hello', { method: 'DELETE' })).status).toBe(404)
  })

  test('are not paused when another of the same name comes', async () => {
    gateway.registry.add('hello')
    await gateway.fetch('/v1/functions/hello/state', { method: 'PUT', body: '{"paused": true}' })
    expect(gateway.lane.paused.size).toBe(1)
    expect((await gateway.fetch('/v1/functions/hello', { method: 'DELETE' })).status).toBe(204)
    expect(gateway.lane.paused.size).toBe(0)
  })
})

describe('aliases', () => {
  const put = (body: string) =>
    gateway.fetch('/v1/functions/hello/aliases/prod', { method: 'PUT', body, headers: { 'content-type': 'x/y' } })

  test('are set, split and removed', async () => {
    gateway.registry.add('hello')
    const response = await put('{"weights": {"1": 90, "2": 10}}')
    expect([response.status, await response.json()]).toEqual([200, { alias: 'prod', weights: { 1: 90, 2: 10 } }])
    expect((await gateway.fetch('/v1/functions/hello/aliases/prod', { method: 'DELETE' })).status).toBe(204)
    expect((await gateway.fetch('/v1/functions/hello/aliases/beta', { method: 'DELETE' })).status).toBe(404)
  })

  test.each(['', '{', '[]', '{"weights": {"1": "all"}}', '{"weights": {"1": 50}}', '{"weights": {"1": 100}, "x": 1}'])(
    'that say %j are refused',
    async (body) => {
      const response = await put(body)
      expect(response.status).toBe(400)
      expect(response.headers.get('content-type')).toBe('application/problem+json')
    },
  )

  test('of endless length are refused', async () => {
    expect((await put(`{"weights": "${'x'.repeat(70_000)}"}`)).status).toBe(413)
  })
})

describe('sandboxes', () => {
  test('are listed and acted on', async () => {
    gateway.worker.sandbox = SANDBOX
    expect(await json('/v1/sandboxes')).toEqual([SANDBOX])
    const act = async (path: string) => (await gateway.fetch(`/v1/sandboxes/${path}`, { method: 'POST' })).status
    expect(await act('s1/freeze')).toBe(200)
    expect(await act('s2/freeze')).toBe(404)
    expect(await act('s1/melt')).toBe(404)
    gateway.worker.sandbox = { ...SANDBOX, state: 'busy' }
    expect(await act('s1/freeze')).toBe(409)
  })
})

describe('logs', () => {
  test('are a list, or JSON lines that go on', async () => {
    gateway.worker.lines.push(LINE)
    expect(await json('/v1/functions/hello/logs?tail=5')).toEqual([LINE])
    expect((await gateway.fetch('/v1/functions/nobody/logs')).status).toBe(404)
    const response = await gateway.fetch('/v1/functions/hello/logs?follow=true')
    expect(response.headers.get('content-type')).toBe('application/x-ndjson')
    const reader = response.body!.getReader()
    const line = async () => JSON.parse(Buffer.from((await reader.read()).value!).toString()) as LogLine
    expect(await line()).toEqual(LINE)
    gateway.worker.emit({ type: 'log', line: { ...LINE, function: 'other' } })
    gateway.worker.emit({ type: 'log', line: { ...LINE, line: 'two' } })
    expect((await line()).line).toBe('two')
    await reader.cancel()
    await until('nobody listens', () => gateway.worker.listeners.size === 1)
  })
})

describe('/v1/events', () => {
  test('streams what happens as server-sent events until the gateway closes', async () => {
    const response = await gateway.fetch('/v1/events')
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    const reader = response.body!.getReader()
    gateway.worker.emit({ type: 'sandbox', sandbox: SANDBOX })
    const text = Buffer.from((await reader.read()).value!).toString()
    expect(text).toBe(`event: sandbox\ndata: ${JSON.stringify(SANDBOX)}\n\n`)
    const closing = gateway.gateway.close(5000)
    expect((await reader.read()).done).toBe(true)
    await closing
  })
})

test.each(['/v1/events', '/v1/functions/hello/logs?follow=true'])(
  'HEAD of %s is its head alone: the connection goes on, and nobody listens',
  async (path) => {
    const listening = gateway.worker.listeners.size
    const head = `Host: localhost\r\nAuthorization: Bearer ${TOKEN}\r\n`
    const raw = await gateway.raw(
      `HEAD ${path} HTTP/1.1\r\n${head}\r\nGET /healthz HTTP/1.1\r\n${head}Connection: close\r\n\r\n`,
    )
    expect(raw.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(2)
    expect(raw).toContain('"status":"ok"')
    await until('nobody listens', () => gateway.worker.listeners.size === listening)
  },
)

describe('the platform', () => {
  test('is alive, and ready when it says so', async () => {
    expect(await json('/healthz')).toEqual({ status: 'ok', version: '0.0.0' })
    expect((await gateway.fetch('/readyz')).status).toBe(200)
    gateway.readyState = { ready: false, reason: 'Redis is away' }
    const response = await gateway.fetch('/readyz')
    expect([response.status, await response.json()]).toEqual([503, { ready: false, reason: 'Redis is away' }])
  })

  test('counts invocations by function, outcome and start, and phases in buckets', async () => {
    const record = sampleRecord('x', { queueMs: 3, runMs: 7 })
    gateway.worker.emit({ type: 'invocation', record })
    gateway.worker.emit({ type: 'invocation', record })
    const error = { code: 'FUNCTION_THREW', component: 'function', message: '' } as const
    gateway.worker.emit({ type: 'invocation', record: { ...record, state: 'failed', error, start: null } })
    gateway.worker.emit({ type: 'invocation', record: { ...record, state: 'running', endedAt: null } })
    const text = await (await gateway.fetch('/metrics')).text()
    const labels = 'namespace="default",function="hello"'
    expect(text).toContain(`thaw_invocations_total{${labels},outcome="succeeded",start="warm"} 2\n`)
    expect(text).toContain(`thaw_invocations_total{${labels},outcome="FUNCTION_THREW",start="none"} 1\n`)
    expect(text).toContain('thaw_invocation_phase_seconds_bucket{phase="run",le="0.005"} 0\n')
    expect(text).toContain('thaw_invocation_phase_seconds_bucket{phase="run",le="0.01"} 3\n')
    expect(text).toContain('thaw_invocation_phase_seconds_count{phase="queue"} 3\n')
    expect(text).toContain('thaw_sandboxes{state="frozen"} 2\n')
    expect(text).toContain('thaw_durable_lane_up 1\n')
    expect(text).toMatch(/^process_resident_memory_bytes \d+$/m)
  })

  test('describes itself: every answer of the route table, each operation once', async () => {
    const document = await json<{ openapi: string; paths: Record<string, Record<string, { operationId: string }>> }>(
      '/openapi.json',
    )
    expect(document.openapi).toBe('3.1.0')
    const operations = Object.values(document.paths).flatMap((path) =>
      Object.values(path).map((each) => each.operationId),
    )
    expect(new Set(operations).size).toBe(operations.length)
    for (const path of ['/v1/functions/{name}', '/v1/invocations/{id}/result', '/v1/events', '/fn/{spec}/{path}'])
      expect(Object.keys(document.paths)).toContain(path)
    const schemas = (document as unknown as { components: { schemas: object } }).components.schemas
    for (const [, name] of JSON.stringify(document).matchAll(/#\/components\/schemas\/(\w+)/g))
      expect(Object.keys(schemas)).toContain(name)
  })

  test('says what this platform lacks, which methods fit, and what is nowhere', async () => {
    for (const path of ['/v1/networks', '/v1/networks/x']) expect((await gateway.fetch(path)).status).toBe(501)
    for (const [path, allowed] of [
      ['/v1/functions', 'GET'],
      ['/v1/functions/hello', 'PUT, GET, DELETE'],
      ['/healthz', 'GET'],
    ] as const) {
      const wrong = await gateway.fetch(path, { method: 'PATCH' })
      expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, allowed])
      const detail = `PATCH is not allowed here; allowed: ${allowed}`
      expect(await wrong.json()).toMatchObject({ code: 'METHOD_NOT_ALLOWED', detail })
    }
    for (const path of ['/v1/nowhere', '/v1/functions/', '/v1/functions//versions', '/v1/invocations/'])
      expect([path, (await gateway.fetch(path)).status]).toEqual([path, 404])
  })

  test('shows its host, its configuration and a page for people', async () => {
    expect(await json('/v1/doctor')).toMatchObject({ limits: { memory: { enforced: true } } })
    expect(await json('/v1/config')).toEqual({ listen: 'here' })
    const page = await gateway.fetch('/')
    expect(page.headers.get('content-type')).toContain('text/html')
    expect(await page.text()).toContain('Thaw')
  })

  test('hides what broke inside, and goes on', async () => {
    gateway.registry.list = () => {
      throw new Error('secret detail')
    }
    const response = await gateway.fetch('/v1/functions')
    expect(response.status).toBe(500)
    expect(await response.text()).not.toContain('secret detail')
    expect((await gateway.fetch('/healthz')).status).toBe(200)
  })
})

describe('start and stop', () => {
  test('a port in use rejects with EADDRINUSE', async () => {
    const port = createServer()
    await new Promise<void>((resolve) => port.listen(0, '127.0.0.1', resolve))
    const taken = (port.address() as { port: number }).port
    await expect(TestGateway.start({ listen: { host: '127.0.0.1', port: taken } })).rejects.toMatchObject({
      code: 'EADDRINUSE',
    })
    await new Promise((resolve) => port.close(resolve))
  })

  test('closing lets a running call end, then refuses connections', async () => {
    let finish = (): void => {}
    gateway.worker.onCall = (call) => {
      finish = () => call.answer('late')
    }
    const answer = gateway.fetch('/fn/hello')
    await until('the call arrives', () => gateway.worker.calls.length === 1)
    const closing = gateway.gateway.close(10_000)
    finish()
    expect(await (await answer).text()).toBe('late')
    await closing
    await expect(gateway.fetch('/healthz')).rejects.toThrow()
  })

  test('closing cuts a call that outlasts the grace', async () => {
    gateway.worker.onCall = () => {}
    const answer = gateway.fetch('/fn/hello').catch((error: unknown) => error)
    await until('the call arrives', () => gateway.worker.calls.length === 1)
    await gateway.gateway.close(30)
    expect(await answer).toBeInstanceOf(Error)
    await until('the call is aborted', () => gateway.worker.calls[0]!.aborted === 'client')
  })
})
