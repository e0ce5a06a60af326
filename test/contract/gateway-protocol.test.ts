// What the gateway does with HTTP that is odd, hostile or broken: raw bytes in, raw bytes out.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { TestGateway, TOKEN } from '../support/gateway.ts'
import { until } from '../support/until.ts'

let gateway: TestGateway
beforeEach(async () => {
  gateway = await TestGateway.start({ bodyLimits: { sync: 200_000, async: 100_000 } })
  gateway.registry.add('hello')
})
afterEach(() => gateway.stop())

const head = (first: string, ...headers: string[]): string =>
  `${[first, 'Host: localhost', ...headers, 'Connection: close'].join('\r\n')}\r\n\r\n`
const codeOf = (raw: string): string | undefined => /"code":"(\w+)"/.exec(raw)?.[1]
const statusOf = (raw: string): number => Number(/^HTTP\/1\.1 (\d+)/.exec(raw)?.[1])

describe('targets', () => {
  test.each([
    '/fn/hello/../v1/functions',
    '/fn/hello/..',
    '/fn/hello/%2e%2e/%2e%2e/v1/functions/hello',
    '/fn/hello/.%2E/x',
    '/fn/hello/%2e./x',
    '/fn/hello/a/../../x',
    '/fn/hello/./../x',
    '/fn/hello/..%2f..%2fv1',
    '/fn/hello/..\\..\\v1',
    '/fn/../v1/functions',
    '/fn/%2e%2e/v1/functions',
    '/fn/./hello',
    '/v1/../fn/hello',
    '/v1/functions/%2e%2e/sandboxes',
    '/v1/functions/.%2e%2fsandboxes',
    '/v1\\functions',
    '/v1/functions/..#',
    '/v1/functions#/hello',
    '/fn/hello/..#',
    '/fn/hello/../..#x',
  ])('%s leads elsewhere and is refused, for every method', async (target) => {
    for (const method of ['GET', 'DELETE', 'POST']) {
      const raw = await gateway.raw(head(`${method} ${target} HTTP/1.1`, `Authorization: Bearer ${TOKEN}`))
      expect([statusOf(raw), codeOf(raw)]).toEqual([400, 'BAD_REQUEST'])
    }
    expect(gateway.worker.calls).toHaveLength(0)
    expect(gateway.registry.entries.size).toBe(1)
  })

  test.each(['/fn/hello/a/../b', '/fn/hello/a/b/..', '/fn/hello/...', '/fn/hello/a?x=/../..', '/fn/hello/./a'])(
    '%s stays inside and passes raw',
    async (target) => {
      expect(statusOf(await gateway.raw(head(`GET ${target} HTTP/1.1`)))).toBe(200)
      expect(gateway.worker.calls[0]!.request.target).toBe(target.slice('/fn/hello'.length))
    },
  )

  test('in absolute form are taken for this host alone', async () => {
    expect(statusOf(await gateway.raw(head('GET http://localhost/fn/hello/x?y HTTP/1.1')))).toBe(200)
    expect(gateway.worker.calls[0]!.request.target).toBe('/x?y')
    expect(statusOf(await gateway.raw(head('GET http://evil/fn/hello HTTP/1.1')))).toBe(400)
    expect(statusOf(await gateway.raw(head('OPTIONS * HTTP/1.1')))).toBe(400)
  })

  test('outside /fn and /v1 do not exist, percent-encoded disguises included', async () => {
    for (const target of ['/%761/functions', '/V1/functions', '//v1/functions', '/v1', '/favicon.ico', '/fn'])
      expect(statusOf(await gateway.raw(head(`GET ${target} HTTP/1.1`, `Authorization: Bearer ${TOKEN}`)))).toBe(404)
  })
})

describe('hosts and methods', () => {
  test('two Host headers are refused, and so is none', async () => {
    const two = await gateway.raw('GET /fn/hello HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n')
    expect([statusOf(two), codeOf(two)]).toEqual([400, 'BAD_REQUEST'])
    expect(statusOf(await gateway.raw('GET /fn/hello HTTP/1.1\r\nConnection: close\r\n\r\n'))).toBe(400)
    expect(await gateway.raw('GET /fn/hello HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 200/)
  })

  test('TRACE and CONNECT are not allowed', async () => {
    expect(statusOf(await gateway.raw(head('TRACE /fn/hello HTTP/1.1')))).toBe(405)
    const connect = await gateway.raw('CONNECT example.org:80 HTTP/1.1\r\nHost: example.org\r\n\r\n')
    expect([statusOf(connect), codeOf(connect)]).toEqual([405, 'METHOD_NOT_ALLOWED'])
  })

  test.each(['h2c', 'websocket'])('an upgrade to %s is refused and the connection closed', async (protocol) => {
    for (const target of ['/fn/hello', '/v1/functions', '/healthz']) {
      const raw = await gateway.raw(
        `GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`,
      )
      expect([statusOf(raw), codeOf(raw)]).toEqual([400, 'UPGRADE_UNSUPPORTED'])
    }
  })

  test('what is not HTTP gets a problem too', async () => {
    expect(codeOf(await gateway.raw('hello there\r\n\r\n'))).toBe('BAD_REQUEST')
    const huge = await gateway.raw(head('GET /fn/hello HTTP/1.1', `X-Huge: ${'a'.repeat(40_000)}`))
    expect([statusOf(huge), codeOf(huge)]).toEqual([431, 'HEADERS_TOO_LARGE'])
    const both = await gateway.raw(head('POST /fn/hello HTTP/1.1', 'Content-Length: 4', 'Transfer-Encoding: chunked'))
    expect(statusOf(both)).toBe(400)
  })

  test('more headers than node keeps by default are all seen', async () => {
    const many = Array.from({ length: 2100 }, (_, index) => `h${index}: `)
    const raw = await gateway.raw(head('GET /fn/hello HTTP/1.1', ...many, 'Host: second'))
    expect([statusOf(raw), codeOf(raw)]).toEqual([400, 'BAD_REQUEST'])
  })
})

describe('100-continue', () => {
  const expecting = (first: string, ...more: string[]) => head(first, 'Expect: 100-continue', ...more)

  test('comes when the body is wanted', async () => {
    gateway.worker.onCall = (call) => void call.body().then((body) => call.answer(body))
    const raw = await gateway.raw(expecting('POST /fn/hello HTTP/1.1', 'Content-Length: 4'), (socket) => {
      socket.once('data', () => socket.write('body'))
    })
    expect(raw).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n/)
    expect(raw.endsWith('body')).toBe(true)
  })

  test.each([
    [413, 'POST /fn/hello HTTP/1.1', 'Content-Length: 10737418240'],
    [404, 'POST /fn/nobody HTTP/1.1', 'Content-Length: 10'],
    [400, 'POST /fn/hello HTTP/1.1', 'Content-Length: 10\r\nFn-Timeout: soon'],
    [401, 'PUT /v1/functions/x HTTP/1.1', 'Content-Length: 10'],
    [401, 'POST /v1/functions/hello/invocations HTTP/1.1', 'Content-Length: 10'],
    [413, 'PUT /v1/functions/x HTTP/1.1', `Content-Length: 10737418240\r\nAuthorization: Bearer ${TOKEN}`],
  ])('gives way to %i for %s', async (status, first, headers) => {
    const raw = await gateway.raw(expecting(first, headers))
    expect(statusOf(raw)).toBe(status)
    expect(raw).not.toContain('100 Continue')
  })

  test('is the only expectation there is', async () => {
    const raw = await gateway.raw(head('POST /fn/hello HTTP/1.1', 'Expect: a miracle', 'Content-Length: 4'))
    expect([statusOf(raw), codeOf(raw)]).toEqual([417, 'EXPECTATION_FAILED'])
  })
})

describe('bodies', () => {
  test('above the limit are 413 whether declared or chunked, and the answer arrives though bytes are unread', async () => {
    gateway.worker.onCall = (call) => {
      call.body().then(
        (body) => call.answer(`${body.length}`),
        () => call.fail({ code: 'BODY_ABORTED', component: 'gateway' }),
      )
    }
    const bytes = 'a'.repeat(300_000)
    const declared = await gateway.raw(head('POST /fn/hello HTTP/1.1', 'Content-Length: 300000') + bytes)
    expect([statusOf(declared), codeOf(declared)]).toEqual([413, 'BODY_TOO_LARGE'])
    const chunked = await gateway.raw(
      `${head('POST /fn/hello HTTP/1.1', 'Transfer-Encoding: chunked')}493e0\r\n${bytes}\r\n0\r\n\r\n`,
    )
    expect([statusOf(chunked), codeOf(chunked)]).toEqual([413, 'BODY_TOO_LARGE'])
    const fine = await gateway.raw(
      `${head('POST /fn/hello HTTP/1.1', 'Transfer-Encoding: chunked')}249f0\r\n${bytes.slice(0, 150_000)}\r\n0\r\n\r\n`,
    )
    expect([statusOf(fine), fine.endsWith('150000')]).toEqual([200, true])
  })

  test('of asynchronous calls have their own limit', async () => {
    const raw = await gateway.raw(
      head('POST /fn/hello HTTP/1.1', 'Prefer: respond-async', 'Content-Length: 150000') + 'a'.repeat(150_000),
    )
    expect([statusOf(raw), codeOf(raw)]).toEqual([413, 'BODY_TOO_LARGE'])
    const chunked = await gateway.raw(
      `${head('POST /fn/hello HTTP/1.1', 'Prefer: respond-async', 'Transfer-Encoding: chunked')}249f0\r\n${'a'.repeat(150_000)}\r\n0\r\n\r\n`,
    )
    expect([statusOf(chunked), codeOf(chunked)]).toEqual([413, 'BODY_TOO_LARGE'])
    expect(gateway.lane.submissions).toHaveLength(0)
  })

  test('that end early fail the stream the worker reads, and are answered to a caller that still listens', async () => {
    let failure: unknown
    gateway.worker.onCall = (call) => {
      call.body().catch((error: unknown) => {
        failure = error
        call.fail({ code: 'BODY_ABORTED', component: 'gateway' })
      })
    }
    const raw = await gateway.raw(`${head('POST /fn/hello HTTP/1.1', 'Content-Length: 100000')}short`, (socket) =>
      socket.end(),
    )
    expect([statusOf(raw), codeOf(raw)]).toEqual([400, 'BODY_ABORTED'])
    await until('the stream fails', () => failure !== undefined)
    expect(failure).toMatchObject({ code: 'BODY_ABORTED' })
  })

  test('that are small and end early never reach the worker', async () => {
    const raw = await gateway.raw(`${head('POST /fn/hello HTTP/1.1', 'Content-Length: 100')}short`, (socket) =>
      socket.end(),
    )
    expect([statusOf(raw), codeOf(raw)]).toEqual([400, 'BODY_ABORTED'])
    expect(gateway.worker.calls).toHaveLength(0)
  })

  test('may come in two pieces', async () => {
    gateway.worker.onCall = (call) => call.answer(call.request.body as Buffer)
    const raw = await gateway.raw(`${head('POST /fn/hello HTTP/1.1', 'Content-Length: 10')}hello`, (socket) => {
      setImmediate(() => socket.write('world'))
    })
    expect(raw.endsWith('helloworld')).toBe(true)
  })

  test('may be destroyed by their reader without harm to the connection', async () => {
    gateway.worker.onCall = (call) => {
      const { body } = call.request
      if (body !== null && !Buffer.isBuffer(body)) body.destroy()
      setImmediate(() => call.fail({ code: 'FUNCTION_CRASHED' }))
    }
    const raw = await gateway.raw(head('POST /fn/hello HTTP/1.1', 'Content-Length: 150000') + 'a'.repeat(150_000))
    expect([statusOf(raw), codeOf(raw)]).toEqual([502, 'FUNCTION_CRASHED'])
  })
})

describe('what other parsers could read otherwise', () => {
  test.each([
    'a b',
    'local_host:x',
    'localhost@evil',
    '127.1',
    '0x7f.1',
    '[::1',
    'localhost:99999',
    'a%2eb',
    '',
    'ä',
    'localhost:',
  ])('the host %j is refused, for functions and control calls, and the connection closed', async (host) => {
    for (const target of ['/fn/hello', '/healthz']) {
      const raw = await gateway.raw(Buffer.from(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`))
      expect([statusOf(raw), codeOf(raw)]).toEqual([400, 'BAD_REQUEST'])
    }
  })

  test.each(['a_b.example', 'EXAMPLE.org:80', '[::1]:8080', 'xn--bcher-kva.example'])(
    'the host %s is one',
    async (host) => {
      for (const target of ['/fn/hello', '/healthz'])
        expect(
          statusOf(await gateway.raw(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)),
        ).toBe(200)
    },
  )

  test('HTTP/1.0 without a host reaches control calls, and HTTP/2.0 in the form of 1 nothing', async () => {
    expect(await gateway.raw('GET /healthz HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 200/)
    expect(statusOf(await gateway.raw('GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n'))).toBe(400)
  })

  test('a refusal arrives even when the body behind it is broken', async () => {
    const raw = await gateway.raw(
      'POST /fn/nobody HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n',
    )
    expect([statusOf(raw), codeOf(raw)]).toEqual([404, 'FUNCTION_NOT_FOUND'])
  })
})
