// What a web page may do through its visitor's browser: functions' pages among themselves, and anybody's page with the control API.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { GatewayOptions } from '../../gateway/options.ts'
import { TestGateway, TOKEN } from '../support/gateway.ts'
import { until } from '../support/until.ts'

let gateway: TestGateway
const start = async (options: Partial<GatewayOptions> = {}) => {
  gateway = await TestGateway.start(options)
  gateway.registry.add('hello')
}
beforeEach(() => start())
afterEach(() => gateway.stop())

/** Status and code of a request as a browser would send it. */
async function ask(first: string, host: string, ...headers: string[]): Promise<string> {
  const lines = [`${first} HTTP/1.1`, `Host: ${host}`, 'Connection: close', ...headers]
  const raw = await gateway.raw(`${lines.join('\r\n')}\r\n\r\n`)
  return `${/^HTTP\/1\.1 (\d+)/.exec(raw)?.[1]} ${/"code":"(\w+)"/.exec(raw)?.[1] ?? ''}`.trim()
}
const BEARER = `Authorization: Bearer ${TOKEN}`

describe('the control API', () => {
  test.each([
    ['Origin: http://evil.example', '403 FORBIDDEN_ORIGIN'],
    ['Origin: http://hello.localhost:8080', '403 FORBIDDEN_ORIGIN'],
    ['Origin: null', '403 FORBIDDEN_ORIGIN'],
    ['Origin: http://localhost:8081', '403 FORBIDDEN_ORIGIN'],
    ['Sec-Fetch-Site: cross-site', '403 FORBIDDEN_ORIGIN'],
    ['Sec-Fetch-Site: same-site', '403 FORBIDDEN_ORIGIN'],
    ['Origin: http://localhost:8080', '200'],
    ['Sec-Fetch-Site: same-origin', '200'],
    ['Sec-Fetch-Site: none', '200'],
    ['X-Forwarded-Host: evil.example\r\nOrigin: http://evil.example', '403 FORBIDDEN_ORIGIN'],
  ])('takes a call with %s and a token as %s', async (header, expected) => {
    for (const method of ['GET', 'PUT'])
      expect(await ask(`${method} /v1/functions/hello`, 'localhost:8080', BEARER, header)).toBe(
        method === 'PUT' && expected === '200' ? '400 DEPLOY_INVALID' : expected,
      )
  })

  test('behind a proxy knows its own pages by the host that the proxy names', async () => {
    await gateway.stop()
    await start({ behindProxy: true })
    const from = (origin: string) =>
      ask(
        'GET /v1/functions',
        'localhost:8080',
        BEARER,
        'X-Forwarded-Host: fn.example.org',
        `Origin: https://${origin}`,
      )
    expect([await from('fn.example.org'), await from('evil.example')]).toEqual(['200', '403 FORBIDDEN_ORIGIN'])
  })

  test('takes no cookie, no token in the query, no Basic, and grants nothing to other origins', async () => {
    const url = '/v1/functions'
    for (const header of [`Cookie: token=${TOKEN}; authorization=Bearer ${TOKEN}`, `Authorization: Basic ${TOKEN}`])
      expect(await ask(`GET ${url}`, 'localhost', header)).toBe('401 UNAUTHORIZED')
    expect(await ask(`GET ${url}?token=${TOKEN}&access_token=${TOKEN}`, 'localhost')).toBe('401 UNAUTHORIZED')
    for (const path of ['/v1/functions', '/healthz', '/openapi.json', '/', '/metrics']) {
      const preflight = { origin: 'http://evil.example', 'access-control-request-method': 'GET' }
      const answers = [
        await gateway.fetch(path, { method: 'OPTIONS', anonymous: true, headers: preflight }),
        await gateway.fetch(path, { headers: { origin: gateway.gateway.url } }),
      ]
      for (const { headers } of answers)
        expect([...headers.keys()].filter((name) => /^access-control|^set-cookie/.test(name))).toEqual([])
      expect(answers[0]!.ok).toBe(false)
    }
  })
})

describe('pages of functions', () => {
  test('have no part in the origin of the dashboard', async () => {
    expect(await ask('GET /fn/hello/x', 'thaw.localhost:8080')).toBe('404 NOT_FOUND')
    expect(await ask('GET /fn/hello', 'THAW.localhost')).toBe('404 NOT_FOUND')
    expect(await ask('GET http://thaw.localhost/fn/hello', 'thaw.localhost')).toBe('404 NOT_FOUND')
    expect(await ask('GET /healthz', 'thaw.localhost:8080')).toBe('200')
    expect(await ask('GET /fn/hello', 'thawing.localhost.example')).toBe('200')
    expect(gateway.worker.calls).toHaveLength(1)
  })

  test.each(['/fn/hello', '/fn/hello?sw.js', '/fn/hello@1', '/fn/hello@1?/x/'])(
    'cannot install a service worker over their neighbours from %s',
    async (target) => {
      expect(await ask(`GET ${target}`, '127.0.0.1', 'Service-Worker: script')).toBe('403 FORBIDDEN')
      expect(await ask(`GET ${target}`, '127.0.0.1')).toBe('200')
    },
  )

  test('may install one over themselves, and never one over more', async () => {
    gateway.worker.onCall = (call) => call.answer('', 200, ['Service-Worker-Allowed', '/', 'X-Kept', 'yes'])
    expect(await ask('GET /fn/hello/sw.js', '127.0.0.1', 'Service-Worker: script')).toBe('200')
    expect(await ask('GET /sw.js', 'hello.localhost', 'Service-Worker: script')).toBe('200')
    const { headers } = await gateway.fetch('/fn/hello/sw.js', { headers: { 'service-worker': 'script' } })
    expect([headers.get('service-worker-allowed'), headers.get('x-kept')]).toEqual([null, 'yes'])
  })
})

describe('the audit log', () => {
  const lines = (): Record<string, unknown>[] => {
    const path = join(gateway.stateDir, 'audit/audit.jsonl')
    const text = existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : []
    return text.map((line) => JSON.parse(line) as Record<string, unknown>)
  }

  test('has every refused call, queueing included, and names whom the proxy names', async () => {
    await gateway.stop()
    await start({ behindProxy: true })
    const from = 'X-Forwarded-For: 10.0.0.1, 192.0.2.7'
    await ask('POST /v1/functions/hello/invocations', 'localhost', from, 'Content-Length: 0')
    await ask('POST /v1/functions/hello/invocations', 'localhost', from, BEARER, 'Content-Length: 0')
    await ask('GET /v1/functions', 'evil.example', from, BEARER)
    await ask('GET /metrics', 'localhost', from)
    await ask('GET /v1/functions', 'localhost', from, BEARER)
    await ask('DELETE /v1/functions/none', 'localhost', from, BEARER)
    await until('all lines are there', () => lines().length >= 4 || `${lines().length}`)
    expect(lines().map(({ address, who, method, path, status }) => [address, who, method, path, status])).toEqual([
      ['192.0.2.7', null, 'POST', '/v1/functions/hello/invocations', 401],
      ['192.0.2.7', null, 'GET', '/v1/functions', 403],
      ['192.0.2.7', null, 'GET', '/metrics', 401],
      ['192.0.2.7', 'platform', 'DELETE', '/v1/functions/none', 404],
    ])
  })
})
