// Calls over HTTP: what the function sees, what the caller gets, streams both ways, callers that leave, time-outs, crashes.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { type FullRecord, recordOf } from '../support/records.ts'
import { until } from '../support/until.ts'

let platform: Platform
const PROBE = join(ROOT, 'test', 'fixtures', 'functions', 'probe.ts')
interface State {
  calls: number
  aborted: number
  background: number
  pid: number
  bornAt: number
}
interface SandboxRow {
  id: string
  function: string
  state: string
  pid: number
}

beforeAll(async () => {
  platform = await startPlatform()
  await platform.deploy(PROBE, '--timeout', '20s', '--concurrency', '4')
  await platform.deploy(join(ROOT, 'functions', 'echo.ts'))
})
afterAll(() => platform.stop())

const state = (): Promise<State> => platform.json<State>('/fn/probe/state')
const sandboxesOf = async (name: string): Promise<SandboxRow[]> =>
  (await platform.json<SandboxRow[]>('/v1/sandboxes')).filter((row) => row.function === name)
const problem = async (path: string, init?: RequestInit): Promise<Record<string, unknown> & { httpStatus: number }> => {
  const response = await platform.request(path, init)
  expect(response.headers.get('content-type')).toContain('application/problem+json')
  return { ...((await response.json()) as Record<string, unknown>), httpStatus: response.status }
}

describe('what the function sees', () => {
  test('method, raw path and query, headers and body unchanged; forwarded headers added; Fn-* gone', async () => {
    const response = await platform.request('/fn/probe/meta/a%2Fb?x=1&x=2&y=%20', {
      method: 'PATCH',
      headers: { 'x-mine': 'one', 'content-type': 'text/plain', 'fn-timeout': '5s' },
      body: 'the body',
    })
    const seen = (await response.json()) as Record<string, unknown> & { headers: [string, string][] }
    expect(seen).toMatchObject({
      method: 'PATCH',
      rawUrl: '/meta/a%2Fb?x=1&x=2&y=%20',
      body: 'the body',
      functionName: 'probe',
      version: '1',
      attempt: 1,
    })
    expect(seen.invocationId).toBe(response.headers.get('fn-invocation-id'))
    expect(seen.remainingMs as number).toBeLessThanOrEqual(5000)
    const headers = new Map(seen.headers)
    expect(headers.get('x-mine')).toBe('one')
    expect(headers.get('x-forwarded-prefix')).toBe('/fn/probe')
    expect(headers.get('x-forwarded-for')).toBe('127.0.0.1')
    expect(headers.get('x-forwarded-proto')).toBe('http')
    expect([...headers.keys()].filter((name) => name.startsWith('fn-'))).toEqual([])
  })

  test('our bearer token is consumed, any other Authorization passes', async () => {
    const ours = (await (
      await platform.request('/fn/probe/meta', { headers: { authorization: `Bearer ${platform.token}` } })
    ).json()) as { headers: [string, string][] }
    expect(new Map(ours.headers).has('authorization')).toBe(false)
    const theirs = (await (
      await platform.request('/fn/probe/meta', { headers: { authorization: 'Basic dTpw' } })
    ).json()) as { headers: [string, string][] }
    expect(new Map(theirs.headers).get('authorization')).toBe('Basic dTpw')
  })

  test('the name may be a host of its own', async () => {
    const raw = await platform.rawRequest(
      `GET /meta/x HTTP/1.1\r\nHost: probe.localhost:${platform.port}\r\nConnection: close\r\n\r\n`,
    )
    expect(raw.toString()).toContain('"rawUrl":"/meta/x"')
  })
})

describe('what the caller gets', () => {
  test('status, repeated headers, ids, start kind and phases', async () => {
    const response = await platform.request('/fn/probe/cookies')
    expect(response.headers.getSetCookie()).toEqual(['a=1; Path=/', 'b=2; Path=/'])
    expect(response.headers.get('x-one')).toBe('1')
    expect(response.headers.get('fn-version')).toBe('1')
    expect(response.headers.get('fn-start')).toMatch(/^(cold|stem|thawed|warm)$/)
    expect(response.headers.get('server-timing')).toMatch(
      /queue;dur=[\d.]+, start;dur=[\d.]+, thaw;dur=[\d.]+, init;dur=[\d.]+, run;dur=[\d.]+/,
    )
  })

  test.each([201, 204, 304, 400, 404, 418, 500, 503])('status %i of the function as it is', async (status) => {
    const response = await platform.request(`/fn/probe/status/${status}`)
    expect(response.status).toBe(status)
    expect(await response.text()).toBe(status === 204 || status === 304 ? '' : `status ${status}`)
  })

  test('HEAD gets the head alone and the connection stays usable', async () => {
    const raw = (
      await platform.rawRequest(
        'HEAD /fn/probe/cookies HTTP/1.1\r\nHost: localhost\r\n\r\nGET /fn/probe/status/201 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
      )
    ).toString()
    expect(raw.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 201'])
    expect(raw).not.toContain('cookiesHTTP')
  })

  test('the record of the call by its id, at once', async () => {
    const response = await platform.request('/fn/probe/burn/50')
    await response.text()
    const record = await recordOf(platform, response)
    expect(record).toMatchObject({
      function: 'probe',
      namespace: 'default',
      version: 1,
      state: 'succeeded',
      attempt: 1,
      status: 200,
      error: null,
    })
    expect(record.metering.cpuUserUs + record.metering.cpuSystemUs).toBeGreaterThan(45_000)
    expect(record.metering.memoryPeakBytes).toBeGreaterThan(1024 ** 2)
    expect(record.runMs).toBeGreaterThanOrEqual(49)
  })

  test('the metering as a trailer when asked for', async () => {
    const raw = (
      await platform.rawRequest(
        'GET /fn/probe/status/200 HTTP/1.1\r\nHost: localhost\r\nFn-Metering: trailer\r\nTE: trailers\r\nAuthorization: Bearer ' +
          platform.token +
          '\r\nConnection: close\r\n\r\n',
      )
    ).toString()
    expect(raw).toMatch(/\r\ntrailer: fn-metering/i)
    expect(raw).toMatch(/\r\nfn-metering: \{.*cpuUserUs/i)
  })
})

describe('streams', () => {
  test('a 100 MB upload comes back with flat memory on both sides', async () => {
    const piece = Buffer.alloc(64 * 1024, 'thaw')
    const pieces = 1600
    const body = new ReadableStream({
      type: 'bytes',
      pull: (() => {
        let sent = 0
        return (controller: ReadableByteStreamController) => {
          if (sent++ < pieces) controller.enqueue(new Uint8Array(piece))
          else controller.close()
        }
      })(),
    })
    const rss = (): number =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${platform.pid}/status`, 'utf8'))?.[1]) / 1024
    const before = rss()
    let peak = before
    const watch = setInterval(() => {
      peak = Math.max(peak, rss())
    }, 50)
    const response = await platform.request('/fn/echo', { method: 'POST', body, duplex: 'half' } as RequestInit)
    let received = 0
    const hash = createHash('sha256')
    for await (const chunk of response.body ?? []) {
      received += chunk.length
      hash.update(chunk)
    }
    clearInterval(watch)
    expect(received).toBe(pieces * piece.length)
    const sent = createHash('sha256')
    for (let i = 0; i < pieces; i++) sent.update(piece)
    expect(hash.digest('hex')).toBe(sent.digest('hex'))
    expect(peak - before).toBeLessThan(100)
    const record = await recordOf(platform, response)
    expect(record.metering.memoryPeakBytes).toBeLessThan(110 * 1024 ** 2)
    expect(record.metering.oomKills).toBe(0)
  })

  test('a fault after the head cuts the connection and the record says why', async () => {
    const response = await platform.request('/fn/probe/cut')
    expect(response.status).toBe(200)
    await expect(response.text()).rejects.toThrow()
    const record = await recordOf(platform, response)
    expect(record.error.code).toBe('FUNCTION_THREW')
  })

  test('a truncated upload loses neither the platform nor the sandbox', async () => {
    await new Promise<void>((resolve) => {
      const socket = connect(platform.port, '127.0.0.1', () => {
        socket.write('POST /fn/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nonly this')
        setTimeout(() => socket.destroy(), 100)
      })
      socket.once('close', () => resolve())
    })
    expect(await (await platform.request('/fn/echo', { method: 'POST', body: 'whole' })).text()).toBe('whole')
  })

  test('a body over the limit is refused before it is read', async () => {
    const raw = (
      await platform.rawRequest(
        'POST /fn/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10737418240\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n',
      )
    ).toString()
    expect(raw).toMatch(/^HTTP\/1\.1 413 /)
    expect(raw).not.toContain('100 Continue')
    expect(raw).toContain('BODY_TOO_LARGE')
  })
})

describe('callers that leave', () => {
  test('abort the signal inside, and the sandbox is not lost', async () => {
    const before = await state()
    const controller = new AbortController()
    const call = platform.request('/fn/probe/aborting/300', { signal: controller.signal })
    await until('the call runs', async () => (await sandboxesOf('probe')).some((row) => row.state === 'busy'))
    controller.abort()
    await expect(call).rejects.toThrow()
    await until('nothing runs', async () => (await sandboxesOf('probe')).every((row) => row.state !== 'busy'))
    const after = await state()
    expect(after.pid).toBe(before.pid)
    expect(after.bornAt).toBe(before.bornAt)
    expect(after.aborted).toBe(before.aborted + 1)
    const records = await platform.json<FullRecord[]>('/v1/invocations?function=probe&limit=5')
    expect(records.some((record) => record.status === 499 && record.error.code === 'CLIENT_GONE')).toBe(true)
  })
})

describe('background work', () => {
  test('given to waitUntil ends before the freeze', async () => {
    const before = await state()
    await (await platform.request('/fn/probe/late/400')).text()
    await until('the sandbox is frozen', async () =>
      (await sandboxesOf('probe')).every((row) => row.state === 'frozen'),
    )
    expect((await state()).background).toBe(before.background + 1)
  })
})

describe('faults', () => {
  test('a thrown error names file and line of the TypeScript in the record', async () => {
    const record = await recordOf(platform, await problem('/fn/probe/throw/here'))
    expect(record.error.stack).toMatch(/probe\.ts:\d+:\d+/)
    const line =
      readFileSync(PROBE, 'utf8')
        .split('\n')
        .findIndex((text) => text.includes('throw new TypeError')) + 1
    expect(record.error.stack).toContain(`probe.ts:${line}:`)
  })

  test('a sandbox killed from outside mid-call: 502 with the reason, and the next call works', async () => {
    const call = platform.request('/fn/probe/hang/here')
    // Busy is said before the code has read the call; only its own word shows that it runs.
    await until('the call runs', async () =>
      (await (await platform.request('/v1/functions/probe/logs')).text()).includes('hanging here'),
    )
    const pid = (await sandboxesOf('probe')).find((row) => row.state === 'busy')?.pid ?? 0
    expect(pid).toBeGreaterThan(1)
    process.kill(pid, 'SIGKILL')
    const response = await call
    expect(response.status).toBe(502)
    expect(await response.json()).toMatchObject({ code: 'FUNCTION_CRASHED' })
    expect((await platform.request('/fn/probe/status/200')).status).toBe(200)
  })

  test('a handler that spins or never answers gets 504 after its own time, and the next call works', async () => {
    for (const path of ['/fn/probe/spin/600000', '/fn/probe/never']) {
      const found = await problem(path, { headers: { 'fn-timeout': '400ms' } })
      expect(found).toMatchObject({ httpStatus: 504, code: 'FUNCTION_TIMEOUT', component: 'function' })
      const record = await recordOf(platform, found)
      expect(record.state).toBe('timed-out')
      expect(record.runMs).toBeGreaterThanOrEqual(399)
      expect((await platform.request('/fn/probe/status/200')).status).toBe(200)
    }
  })
})

describe('bounds', () => {
  test('never more calls at once than the function says, and the rest wait their turn', async () => {
    const bodies = await Promise.all(
      Array.from({ length: 12 }, async () => (await platform.request('/fn/probe/sleep/100')).text()),
    )
    expect(bodies).toEqual(Array.from({ length: 12 }, () => 'slept 100'))
    expect((await sandboxesOf('probe')).length).toBeLessThanOrEqual(4)
  })

  test('one call at a time in a sandbox; many where the function says so', async () => {
    await platform.deploy(PROBE, '--name', 'shared', '--sandbox-concurrency', '16')
    await (await platform.request('/fn/shared/state')).text()
    await Promise.all(Array.from({ length: 16 }, async () => (await platform.request('/fn/shared/sleep/200')).text()))
    const rows = await sandboxesOf('shared')
    expect(rows.length).toBeLessThanOrEqual(2)
    const refused = await problem('/fn/shared/status/200', { headers: { 'fn-limit-memory': '64m' } })
    expect(refused.httpStatus).toBe(400)
  })
})
