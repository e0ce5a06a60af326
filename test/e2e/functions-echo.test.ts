// functions/echo.ts and functions/sse.ts: what goes through the platform arrives unchanged, piece by piece, both ways.
import { randomBytes } from 'node:crypto'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Platform, startPlatform } from '../support/platform.ts'
import { sha256 } from '../support/streams.ts'
import { until } from '../support/until.ts'

let platform: Platform
beforeAll(async () => {
  platform = await startPlatform()
})
afterAll(() => platform?.stop())

describe('echo', () => {
  beforeAll(() => platform.deploy('functions/echo.ts'))

  test('8 MB of random bytes come back as they went', async () => {
    const bytes = randomBytes(8_000_000)
    const response = await platform.request('/fn/echo', { method: 'POST', body: bytes })
    const echoed = new Uint8Array(await response.arrayBuffer())
    expect(echoed.length).toBe(bytes.length)
    expect(sha256(echoed)).toBe(sha256(bytes))
  })

  test('each piece is answered before the next one is sent', async () => {
    const exchange = httpRequest(`${platform.url}/fn/echo`, { method: 'POST' })
    exchange.write('piece 0')
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      exchange.once('response', resolve)
      exchange.once('error', reject)
    })
    const reader = response.setEncoding('utf8')[Symbol.asyncIterator]()
    for (let n = 0; n < 5; n++) {
      if (n > 0) exchange.write(`piece ${n}`)
      expect((await reader.next()).value).toBe(`piece ${n}`)
    }
    exchange.end()
    expect((await reader.next()).done).toBe(true)
  })

  test('path, query, method and headers reach the function as sent', async () => {
    const path = '/fn/echo/a%2Fb/%7Ec//d?mode=json&q=%20+x&empty'
    const response = await platform.request(path, { method: 'PATCH', headers: { 'x-one': 'ü' } })
    const seen = (await response.json()) as { method: string; rawUrl: string; headers: [string, string][] }
    expect(seen.method).toBe('PATCH')
    expect(seen.rawUrl).toBe('/a%2Fb/%7Ec//d?mode=json&q=%20+x&empty')
    const headers = new Map(seen.headers)
    expect(headers.get('x-one')).toBe('ü')
    expect(headers.get('x-forwarded-prefix')).toBe('/fn/echo')
    expect(headers.get('x-forwarded-for')).toBe('127.0.0.1')
  })

  test('a token of ours never reaches the function, any other Authorization does', async () => {
    const authorization = async (value: string) => {
      const response = await platform.request('/fn/echo?mode=json', { headers: { authorization: value } })
      return new Map(((await response.json()) as { headers: [string, string][] }).headers).get('authorization')
    }
    expect(await authorization(`Bearer ${platform.token}`)).toBeUndefined()
    expect(await authorization('Bearer theirs')).toBe('Bearer theirs')
  })

  test('repeated Set-Cookie stay apart', async () => {
    const response = await platform.request('/fn/echo?cookie=a%3D1&cookie=b%3D2%3B%20Path%3D/')
    expect(response.headers.getSetCookie()).toEqual(['a=1', 'b=2; Path=/'])
  })

  test.each([204, 304])('status %i has no body', async (status) => {
    const response = await platform.request(`/fn/echo?status=${status}`)
    expect([response.status, await response.text()]).toEqual([status, ''])
  })

  test('HEAD has the headers and no body', async () => {
    const response = await platform.request('/fn/echo/x', { method: 'HEAD' })
    expect([response.status, response.headers.get('x-echo-method'), await response.text()]).toEqual([200, 'HEAD', ''])
  })
})

describe('sse', () => {
  beforeAll(() => platform.deploy('functions/sse.ts'))

  test('each event arrives before the next one is made', async () => {
    const response = await platform.request('/fn/sse?count=4&every=250')
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    const events: { made: number; arrived: number }[] = []
    for await (const event of eventsOf(response)) events.push({ made: event.at, arrived: Date.now() })
    expect(events).toHaveLength(4)
    for (const [n, event] of events.slice(0, -1).entries()) {
      expect(event.arrived).toBeLessThan(events[n + 1]?.made ?? 0)
    }
  })

  test('a reader that leaves stops the function, and its sandbox serves the next call', async () => {
    const leave = new AbortController()
    const response = await platform.request('/fn/sse?count=1000&every=50', { signal: leave.signal })
    const id = response.headers.get('fn-invocation-id') ?? ''
    for await (const event of eventsOf(response)) if (event.n === 2) break
    leave.abort()
    const record = await platform.json<{ status: number }>(`/v1/invocations/${id}`)
    expect(record.status).toBe(499)
    await until('the function says that its reader left', async () => {
      const logs = await (await platform.request(`/v1/invocations/${id}/logs`)).text()
      return logs.includes('the reader left before event') || logs
    })
    const next = await platform.request('/fn/sse?count=1')
    expect(next.headers.get('fn-start')).toMatch(/^(warm|thawed)$/)
    expect(await next.text()).toContain('"of":1')
  })
})

interface Tick {
  readonly n: number
  readonly of: number
  readonly at: number
}

async function* eventsOf(response: Response): AsyncGenerator<Tick> {
  let buffered = ''
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    buffered += chunk
    for (let end = buffered.indexOf('\n\n'); end >= 0; end = buffered.indexOf('\n\n')) {
      const data = /^data: (.*)$/m.exec(buffered.slice(0, end))?.[1]
      buffered = buffered.slice(end + 2)
      if (data !== undefined) yield JSON.parse(data) as Tick
    }
  }
}
