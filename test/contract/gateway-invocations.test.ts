// Invocations through the gateway over real HTTP, against a worker whose answers the test writes.
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import type { Readable } from 'node:stream'
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
function headersOf(call: FakeCall): Record<string, string> {
  const { headers } = call.request
  const found: Record<string, string> = {}
  for (let index = 0; index < headers.length; index += 2) found[headers[index]!.toLowerCase()] = headers[index + 1]!
  return found
}

describe('what the function sees', () => {
  test('is method, raw path and query, headers and body as sent', async () => {
    await gateway.fetch('/fn/hello/a%2Fb//c?x=1&x=%20', { method: 'PATCH', body: 'four', headers: { 'X-Mine': 'one' } })
    const { request } = lastCall()
    expect(request).toMatchObject({ method: 'PATCH', target: '/a%2Fb//c?x=1&x=%20', attempt: 1, timeoutMs: null })
    expect(request.body).toEqual(Buffer.from('four'))
    expect(headersOf(lastCall())).toMatchObject({ 'x-mine': 'one', 'content-length': '4' })
  })

  test.each([
    ['/fn/hello', '/'],
    ['/fn/hello/', '/'],
    ['/fn/hello?x', '/?x'],
    ['/fn/hello@1/p', '/p'],
    ['/fn/hello@latest?q=/../', '/?q=/../'],
  ])('%s is %s inside', async (path, target) => {
    const response = await gateway.fetch(path)
    expect(response.status).toBe(200)
    expect(lastCall().request.target).toBe(target)
  })

  test('is null for no body, also when its length is declared as 0', async () => {
    await gateway.fetch('/fn/hello', { method: 'POST' })
    expect(lastCall().request.body).toBeNull()
    expect(headersOf(lastCall())['content-length']).toBe('0')
  })

  test('has X-Forwarded-* of ours, whatever the client claims, and none of the hop-by-hop or Fn-* headers', async () => {
    await gateway.raw(
      'GET /fn/hello HTTP/1.1\r\nHost: a.example:81\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Authorization: x\r\nFn-Anything: 1\r\nFn-Timeout: 1s\r\n\r\n',
    )
    expect(headersOf(lastCall())).toEqual({
      host: 'a.example:81',
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-host': 'a.example:81',
      'x-forwarded-proto': 'http',
      'x-forwarded-prefix': '/fn/hello',
    })
    expect(lastCall().request.timeoutMs).toBe(1000)
  })

  test('extends the chain of a proxy it is said to be behind', async () => {
    await gateway.stop()
    gateway = await TestGateway.start({ behindProxy: true })
    gateway.registry.add('hello')
    await gateway.fetch('/fn/hello', { headers: { 'x-forwarded-for': '9.9.9.9', 'x-forwarded-proto': 'https' } })
    expect(headersOf(lastCall())).toMatchObject({
      'x-forwarded-for': '9.9.9.9, 127.0.0.1',
      'x-forwarded-proto': 'https',
    })
  })

  test('lacks our token and has any other Authorization', async () => {
    await gateway.fetch('/fn/hello', { headers: { authorization: `Bearer ${TOKEN}` } })
    expect(headersOf(lastCall()).authorization).toBeUndefined()
    await gateway.fetch('/fn/hello', { headers: { authorization: 'Bearer theirs' } })
    expect(headersOf(lastCall()).authorization).toBe('Bearer theirs')
  })

  test('is addressed by a host of its own, with a namespace if need be', async () => {
    gateway.registry.add('shop', {}, 'team')
    const own = (host: string) =>
      gateway.raw(`GET /v1/functions?x HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
    expect(await own('hello.localhost:1234')).toMatch(/^HTTP\/1.1 200/)
    expect(lastCall().request).toMatchObject({ target: '/v1/functions?x' })
    expect(headersOf(lastCall())['x-forwarded-prefix']).toBeUndefined()
    expect(await own('SHOP.team.localhost')).toMatch(/^HTTP\/1.1 200/)
    expect(lastCall().request.version).toMatchObject({ name: 'shop', namespace: 'team' })
    expect(await own('thaw.localhost')).toMatch(/^HTTP\/1.1 401/)
  })

  test('is found in the namespace that Fn-Namespace says', async () => {
    gateway.registry.add('shop', {}, 'team')
    expect((await gateway.fetch('/fn/shop')).status).toBe(404)
    expect((await gateway.fetch('/fn/shop', { headers: { 'fn-namespace': 'team' } })).status).toBe(200)
    expect((await gateway.fetch('/fn/shop', { headers: { 'fn-namespace': 'No Label' } })).status).toBe(400)
  })
})

describe('versions', () => {
  test('are resolved once, and again after the registry changed', async () => {
    await gateway.fetch('/fn/hello')
    const before = gateway.registry.resolved
    for (let count = 0; count < 3; count++) await gateway.fetch('/fn/hello')
    expect(gateway.registry.resolved).toBe(before)
    gateway.registry.add('hello')
    expect((await gateway.fetch('/fn/hello')).headers.get('fn-version')).toBe('2')
    expect((await gateway.fetch('/fn/hello@1')).headers.get('fn-version')).toBe('1')
  })

  test('of a weighted alias are drawn anew for each call', async () => {
    gateway.registry.add('hello')
    await gateway.registry.setAlias('default', 'hello', 'prod', { weights: { 1: 50, 2: 50 } })
    const seen = new Set<string | null>()
    for (let count = 0; count < 60; count++) seen.add((await gateway.fetch('/fn/hello@prod')).headers.get('fn-version'))
    expect(seen).toEqual(new Set(['1', '2']))
  })

  test.each(['/fn/nobody', '/fn/hello@9', '/fn/hello@', '/fn/', '/fn/a%20b'])('%s is unknown', async (path) => {
    const response = await gateway.fetch(path)
    expect(response.status).toBe(404)
    expect(await response.json()).toMatchObject({ status: 404, component: 'gateway' })
    expect(response.headers.get('fn-invocation-id')).toBeNull()
  })
})

describe('the answer', () => {
  test('is the function’s, with repeated headers, ids, start kind and phases', async () => {
    gateway.worker.onCall = (call) => call.answer('made', 201, ['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2', 'X-A', 'b'])
    const response = await gateway.fetch('/fn/hello')
    expect(response.status).toBe(201)
    expect(response.headers.getSetCookie()).toEqual(['a=1', 'b=2'])
    expect(response.headers.get('fn-invocation-id')).toBe(lastCall().request.id)
    expect(response.headers.get('fn-version')).toBe('1')
    expect(response.headers.get('fn-start')).toBe('warm')
    expect(response.headers.get('server-timing')).toBe(
      'queue;dur=0, start;dur=0, thaw;dur=0.25, init;dur=0, run;dur=1.5',
    )
    expect(response.headers.get('content-length')).toBe('4')
    expect(await response.text()).toBe('made')
  })

  test('lacks what a function may not say', async () => {
    gateway.worker.onCall = (call) =>
      call.answer('x', 200, [
        ...['Service-Worker-Allowed', '/', 'Fn-Version', '77', 'Fn-Made-Up', '1', 'Keep-Alive', 'timeout=1'],
        ...['Connection', 'X-Hop', 'X-Hop', '1', 'Transfer-Encoding', 'chunked', 'Upgrade', 'h2c', 'X-Kept', '1'],
      ])
    const { headers } = await gateway.fetch('/fn/hello')
    for (const name of ['service-worker-allowed', 'fn-made-up', 'x-hop', 'transfer-encoding', 'upgrade'])
      expect(headers.get(name)).toBeNull()
    expect(headers.get('fn-version')).toBe('1')
    expect(headers.get('x-kept')).toBe('1')
  })

  test('has the length of what was sent when the function lied about it', async () => {
    gateway.worker.onCall = (call) => call.answer('four', 200, ['Content-Length', '400'])
    const response = await gateway.fetch('/fn/hello')
    expect([response.headers.get('content-length'), await response.text()]).toEqual(['4', 'four'])
  })

  test('is cut when a stream is shorter or longer than its declared length', async () => {
    for (const [declared, parts] of [
      ['10', ['abc', 'def']],
      ['4', ['abc', 'def']],
    ] as const) {
      gateway.worker.onCall = (call) => {
        call.head(200, ['Content-Length', declared])
        setImmediate(() => {
          for (const part of parts) call.sink.data(Buffer.from(part))
          call.sink.end(null)
        })
      }
      const response = await gateway.fetch('/fn/hello')
      await expect(response.text()).rejects.toThrow()
    }
  })

  test.each([
    ['HEAD', 200],
    ['GET', 204],
    ['GET', 304],
  ])('to %s with %i has no body, and the connection stays usable', async (method, status) => {
    gateway.worker.onCall = (call) => call.answer('body', status, ['Content-Length', '4'])
    const raw = await gateway.raw(
      `${method} /fn/hello HTTP/1.1\r\nHost: x\r\n\r\nGET /fn/hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    )
    expect(raw.match(/HTTP\/1\.1 \d+/g)).toEqual([`HTTP/1.1 ${status}`, `HTTP/1.1 ${status}`])
    expect(raw).not.toContain('bodyHTTP')
  })

  test('with a head that cannot be sent is the function’s fault', async () => {
    gateway.worker.onCall = (call) => call.answer('x', 200, ['X-Bad', 'a\r\nb'])
    const response = await gateway.fetch('/fn/hello')
    expect(response.status).toBe(502)
    expect(await response.json()).toMatchObject({ code: 'FUNCTION_INVALID_RESPONSE', component: 'function' })
  })

  test('carries the metering as a trailer for whoever asks with a token', async () => {
    gateway.worker.onCall = (call) => call.answer('x')
    const ask = (authorization: string) =>
      gateway.raw(
        `GET /fn/hello HTTP/1.1\r\nHost: x\r\nFn-Metering: trailer\r\n${authorization}Connection: close\r\n\r\n`,
      )
    const raw = await ask(`Authorization: Bearer ${TOKEN}\r\n`)
    expect(raw).toContain('\r\nTrailer: Fn-Metering\r\n')
    expect(raw).toContain('\r\nFn-Metering: {"exact":true,"cpuUserUs":1200,"cpuSystemUs":300}\r\n')
    expect(await ask('')).toMatch(/^HTTP\/1\.1 401 /)
  })
})

describe('streams', () => {
  test('of a response arrive piece by piece, the head at once', async () => {
    let call!: FakeCall
    gateway.worker.onCall = (made) => {
      call = made
      call.head(200, ['content-type', 'text/event-stream'])
    }
    const response = await gateway.fetch('/fn/hello')
    const reader = response.body!.getReader()
    for (const piece of ['one', 'two']) {
      call.sink.data(Buffer.from(piece))
      expect(Buffer.from((await reader.read()).value!).toString()).toBe(piece)
    }
    call.sink.end(null)
    expect((await reader.read()).done).toBe(true)
  })

  test('of a large upload reach the worker whole and are not gathered', async () => {
    const bytes = randomBytes(3 * 1024 * 1024)
    gateway.worker.onCall = async (call) => {
      expect(Buffer.isBuffer(call.request.body)).toBe(false)
      call.answer(
        createHash('sha256')
          .update(await call.body())
          .digest('hex'),
      )
    }
    const hash = createHash('sha256').update(bytes).digest('hex')
    expect(await (await gateway.fetch('/fn/hello', { method: 'POST', body: bytes })).text()).toBe(hash)
    const body = new Blob([bytes]).stream()
    expect(await (await gateway.fetch('/fn/hello', { method: 'POST', body, duplex: 'half' })).text()).toBe(hash)
  })

  test('of an upload stand still while the worker reads nothing', async () => {
    let sent = 0
    const body = new ReadableStream({
      pull(controller) {
        sent += 65_536
        if (sent > 200 * 65_536) controller.close()
        else controller.enqueue(new Uint8Array(65_536))
      },
    })
    let call: FakeCall | null = null
    gateway.worker.onCall = (made) => {
      call = made
    }
    const answer = gateway.fetch('/fn/hello', { method: 'POST', body, duplex: 'half' })
    let last = -1
    await until('the upload stands still', () => {
      const still = call !== null && sent > 0 && sent === last
      last = sent
      return still
    })
    // Sockets and client hold some; the platform holds a piece or two.
    expect((call!.request.body as Readable).readableLength).toBeLessThanOrEqual(131_072)
    expect(sent).toBeLessThan(200 * 65_536)
    await call!.body()
    call!.answer('done')
    expect(await (await answer).text()).toBe('done')
  })

  test('to a slow reader are held back, and go on when it reads', async () => {
    let call!: FakeCall
    gateway.worker.onCall = (made) => {
      call = made
      call.head()
    }
    const request = httpRequest(`${gateway.gateway.url}/fn/hello`)
    request.end()
    const [response] = (await once(request, 'response')) as [Readable]
    response.pause()
    const chunk = Buffer.alloc(65_536)
    let accepted = true
    for (let count = 0; accepted && count < 1000; count++) accepted = call.sink.data(chunk)
    expect(accepted).toBe(false)
    expect(call.resumed).toBe(0)
    response.resume()
    await until('it may go on', () => call.resumed > 0)
    call.sink.end(null)
    await once(response, 'end')
  })

  test('may answer before the upload ended, and the connection carries the next call', async () => {
    gateway.worker.onCall = (call) => call.answer('early')
    const size = 300_000
    const raw = await gateway.raw(
      `POST /fn/hello HTTP/1.1\r\nHost: x\r\nContent-Length: ${size}\r\n\r\n${'a'.repeat(size)}GET /fn/hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    )
    expect(raw.match(/HTTP\/1\.1 200/g)).toHaveLength(2)
  })
})
