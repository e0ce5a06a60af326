// What passes between strangers and functions: no token of the platform, nothing that only a proxy may say, no word about the code to
// callers who show no token, and nothing by which a function acts on its neighbours' origin. docs/http-api.md has the tables.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { PROXY_HEADERS } from '../../gateway/invocation/proxy-headers.ts'
import type { GatewayOptions } from '../../gateway/options.ts'
import { TestGateway, TOKEN } from '../support/gateway.ts'

const SECRET = 'a'.repeat(43)
let gateway: TestGateway
beforeEach(() => open())
afterEach(() => gateway.stop())

async function open(options: Partial<GatewayOptions> = {}): Promise<void> {
  gateway = await TestGateway.start(options)
  gateway.registry.add('hello')
  gateway.registry.add('mine', { public: false })
}
async function reopen(options: Partial<GatewayOptions>): Promise<void> {
  await gateway.stop()
  await open(options)
}

/** Status, and the headers the function got; null: it was not called. */
async function call(headers: readonly string[], target = '/fn/hello'): Promise<[number, string | null]> {
  const before = gateway.worker.calls.length
  const lines = [`GET ${target} HTTP/1.1`, 'Host: localhost', ...headers, 'Connection: close']
  const raw = await gateway.raw(`${lines.join('\r\n')}\r\n\r\n`)
  const seen = gateway.worker.calls.slice(before).map(({ request }) => `${request.target} ${request.headers.join(' ')}`)
  return [Number(/^HTTP\/1\.1 (\d+)/.exec(raw)?.[1]), seen[0] ?? null]
}

describe('a token of the platform', () => {
  test.each([
    [`Authorization: Bearer ${TOKEN}`, 200],
    [`Authorization: bearer\t${TOKEN}`, 200],
    [`Authorization: Bearer   ${TOKEN}`, 200],
    [`Authorization: Bearer fn_${SECRET}`, 401],
    [`Authorization: Token ${TOKEN}`, 401],
    [`Authorization: ${TOKEN}`, 401],
    [`Authorization: fn_abcdefghij_${SECRET}`, 401],
    [`Authorization: ApiKey key="fn_${SECRET}"`, 401],
    [`Authorization: Basic ${Buffer.from(`x:${TOKEN}`).toString('base64')}`, 401],
    [`Authorization: Basic ${Buffer.from(`fn_${SECRET}:`).toString('base64')}`, 401],
    [`Proxy-Authorization: Bearer fn_${SECRET}`, 200],
    [`Cookie: a=b; token=fn_${SECRET}`, 401],
    [`X-Api-Key: fn_abcdefghij_${SECRET}`, 401],
  ])('as %j reaches no function', async (header, status) => {
    const [answered, seen] = await call([header])
    expect(answered).toBe(status)
    if (status === 401) expect(seen).toBe(null)
    else expect(seen).not.toMatch(/fn_/i)
  })

  test.each([`/fn/hello?token=fn_${SECRET}`, `/fn/hello/fn_${SECRET}`, `/fn/hello?token=%66n%5f${SECRET}`])(
    'in %j reaches no function',
    async (target) => expect(await call([], target)).toEqual([401, null]),
  )

  test('counts when another Authorization is there as well, whichever comes first', async () => {
    const other = 'Authorization: Bearer other'
    for (const headers of [
      [other, `Authorization: Bearer ${TOKEN}`],
      [`Authorization: Bearer ${TOKEN}`, other],
    ]) {
      const [status, seen] = await call(headers, '/fn/mine')
      expect([status, seen?.includes('Bearer other'), seen?.includes(TOKEN)]).toEqual([200, true, false])
    }
  })

  test('is what words that only look like one are not: they are the function’s', async () => {
    const [status, seen] = await call(['Authorization: Basic dXNlcjpwYXNz', 'Cookie: fn_session=abc', 'X-A: fn_short'])
    expect(status).toBe(200)
    expect(seen).toContain('Authorization Basic dXNlcjpwYXNz Cookie fn_session=abc X-A fn_short')
  })
})

describe('what only a proxy may say', () => {
  const names = [...PROXY_HEADERS, 'X-Forwarded-Port', 'X-Forwarded-Server', 'X-Forwarded-Ssl', 'X-Forwarded-User']
  const sent = [...names, 'X-Auth-Request-Email', 'X-SSL-Client-Cert', 'CF-Access-Authenticated-User-Email'].map(
    (name) => `${name}: evil`,
  )
  const merged = [
    'X-Forwarded-For: 6.6.6.6',
    'X-Forwarded-Host: evil',
    'X-Forwarded-Proto: evil',
    'X-Forwarded-Prefix: /e',
  ]

  test('is gone when a client says it, and ours stands in its place', async () => {
    const [status, seen] = await call([...sent, ...merged])
    expect(status).toBe(200)
    expect(seen).not.toContain('evil')
    expect(seen).not.toContain('6.6.6.6')
    expect(seen).toContain('X-Forwarded-For 127.0.0.1 X-Forwarded-Host localhost X-Forwarded-Proto http')
  })

  test('is kept behind a proxy, and its chain gets the proxy’s own address', async () => {
    await reopen({ behindProxy: true })
    const [status, seen] = await call([...sent, 'X-Forwarded-For: 6.6.6.6', 'X-Forwarded-Host: shop.example'])
    expect(status).toBe(200)
    for (const name of names) expect(seen!.toLowerCase()).toContain(`${name.toLowerCase()} evil`)
    expect(seen).toContain('X-Forwarded-For 6.6.6.6, 127.0.0.1 X-Forwarded-Host shop.example')
  })

  test('does not come by a name with underscores either', async () => {
    const names = [
      'X_Forwarded_For',
      'X_Real_IP',
      'Content_Length',
      'Transfer_Encoding',
      'Fn_Timeout',
      'X-Forwarded_Port',
    ]
    const [status, seen] = await call([...names.map((name) => `${name}: evil`), 'X_Own: mine'])
    expect([status, seen?.includes('evil'), seen?.includes('X_Own mine')]).toEqual([200, false, true])
  })
})

describe('a fault in a function', () => {
  const stack = 'Error: secret words\n at handler.ts:3:9'
  const failAll = () => {
    gateway.worker.onCall = (one) =>
      one.fail({ code: 'FUNCTION_THREW', component: 'function', message: 'secret words', stack })
  }
  const problemOf = async (path: string, headers: Record<string, string> = {}) =>
    (await (await gateway.fetch(path, { headers })).json()) as Record<string, unknown>

  test('is code, status and invocation id for a stranger', async () => {
    await reopen({ tellsFaults: false })
    failAll()
    const problem = await problemOf('/fn/hello')
    expect(problem).toMatchObject({ code: 'FUNCTION_THREW', status: 500, invocationId: expect.any(String) })
    expect(JSON.stringify(problem)).not.toMatch(/secret|handler/)
    expect(problem).not.toHaveProperty('stack')
  })

  test('is shown whole to callers with a token, and to callers of a private function', async () => {
    await reopen({ tellsFaults: false })
    failAll()
    const authorization = `Bearer ${TOKEN}`
    for (const path of ['/fn/hello', '/fn/mine'])
      expect(await problemOf(path, { authorization })).toMatchObject({ detail: 'secret words', stack })
  })

  test('is shown whole to all callers where FN_ERRORS says so', async () => {
    failAll()
    expect(await problemOf('/fn/hello')).toMatchObject({ detail: 'secret words', stack })
  })
})

describe('what a function answers', () => {
  test('does not act on the origin it shares with others', async () => {
    const dropped = [
      ...['Clear-Site-Data', 'Alt-Svc', 'Strict-Transport-Security', 'Service-Worker-Allowed', 'NEL', 'Report-To'],
      ...['Public-Key-Pins', 'Expect-CT', 'Origin-Agent-Cluster', 'Accept-CH', 'Critical-CH', 'Set-Login'],
    ]
    const kept = ['Refresh', 'Content-Security-Policy', 'Reporting-Endpoints', 'Access-Control-Allow-Origin', 'Link']
    gateway.worker.onCall = (one) =>
      one.answer(
        '',
        200,
        [...dropped, ...kept].flatMap((name) => [name, 'x']),
      )
    const { headers } = await gateway.fetch('/fn/hello')
    expect(dropped.filter((name) => headers.has(name))).toEqual([])
    expect(kept.filter((name) => !headers.has(name))).toEqual([])
  })

  test.each([
    ['a=b; Domain=localhost; Path=/', 'a=b; Path=/'],
    ['a=b; path=/; DOMAIN = .example.org', 'a=b; path=/'],
    ['a=b;domain', 'a=b'],
    ['domain=1; Secure', 'domain=1; Secure'],
    ['a=b; HttpOnly', 'a=b; HttpOnly'],
  ])('sets the cookie %j as %j, for its own host', async (sent, got) => {
    gateway.worker.onCall = (one) => one.answer('', 200, ['Set-Cookie', sent])
    expect((await gateway.fetch('/fn/hello')).headers.getSetCookie()).toEqual([got])
  })
})
