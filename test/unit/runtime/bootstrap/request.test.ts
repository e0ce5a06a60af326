// The request functions see: built on demand, the same to every observer as Node's own.
import { markAsUncloneable } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { Inflow } from '../../../../runtime/bootstrap/inflow.ts'
import { Outbox } from '../../../../runtime/bootstrap/outbox.ts'
import { LazyRequest, type RequestSource } from '../../../../runtime/bootstrap/request.ts'

const NativeRequest = Request
LazyRequest.adopt({ Request, Response, Headers, AbortController, DOMException, URL, Blob, markAsUncloneable })

function request(parts: Partial<RequestSource> = {}): Request {
  const source = {
    method: 'GET',
    target: '/',
    headers: ['Host', 'h'],
    inflow: null,
    signal: () => new AbortController().signal,
  }
  return new LazyRequest({ ...source, ...parts }) as unknown as Request
}

function withBody(text: string): Request {
  const outbox = new Outbox((_buffer, _offset, length) => length)
  return request({ method: 'POST', inflow: new Inflow(1, outbox, Buffer.from(text), true) })
}

describe('url', () => {
  const urls: [string, string[], string][] = [
    ['/', [], 'http://localhost/'],
    ['/a?b=c', ['host', 'x.org:8080'], 'http://x.org:8080/a?b=c'],
    ['/a', ['HOST', 'EXAMPLE.org:80'], 'http://example.org/a'],
    ['/a', ['Host', 'a', 'X-Forwarded-Host', 'b', 'X-Forwarded-Proto', 'https'], 'https://b/a'],
    ['/a', ['Host', 'a:443', 'X-Forwarded-Proto', 'https'], 'https://a/a'],
    ['/a', ['Host', 'a', 'X-Forwarded-Proto', 'javascript'], 'http://a/a'],
    ['/a/../b/./c', ['Host', 'h'], 'http://h/b/c'],
    ['/a/%2e%2e/b', ['Host', 'h'], 'http://h/b'],
    ['//evil/x', ['Host', 'h'], 'http://h//evil/x'],
    ['/a?x=../y', ['Host', 'h'], 'http://h/a?x=../y'],
    ['/\xfc', ['Host', 'h'], 'http://h/%C3%BC'],
    ['/a b"<>', ['Host', 'h'], 'http://h/a%20b%22%3C%3E'],
    ['/a', ['Host', 'not a host'], 'http://localhost/a'],
    ['/a', ['Host', '127.1'], 'http://127.0.0.1/a'],
  ]
  test.each(urls)('%s with %j is %s', (target, headers, url) => {
    expect(request({ target, headers }).url).toBe(url)
    expect(new URL(url).href).toBe(url)
  })
})

describe('observers', () => {
  test('it is a Request by every test there is', () => {
    const own = request({ method: 'PUT', headers: ['Host', 'h', 'A', '1', 'a', '2'] })
    expect(own).toBeInstanceOf(NativeRequest)
    expect(Object.prototype.toString.call(own)).toBe('[object Request]')
    const native = new NativeRequest('http://h/', {
      method: 'PUT',
      headers: [
        ['Host', 'h'],
        ['A', '1'],
        ['a', '2'],
      ],
    })
    for (const name of [
      'method',
      'url',
      'cache',
      'credentials',
      'destination',
      'integrity',
      'keepalive',
      'mode',
      'redirect',
      'referrer',
      'referrerPolicy',
      'duplex',
      'bodyUsed',
      'body',
    ] as const) {
      expect([name, own[name as keyof Request]]).toEqual([name, native[name as keyof Request]])
    }
    expect([...own.headers]).toEqual([...native.headers])
    expect(own.headers).toBe(own.headers)
  })

  test('properties may be added to it, as routers do', () => {
    const own = Object.assign(request(), { params: { id: '1' } })
    expect(own.params.id).toBe('1')
  })

  test('the signal is asked for only when it is used, and is one', () => {
    let asked = 0
    const { signal } = new AbortController()
    const own = request({
      signal: () => {
        asked++
        return signal
      },
    })
    expect([own.url, asked]).toEqual(['http://h/', 0])
    expect([own.signal, own.signal]).toEqual([signal, signal])
    expect(own.signal).toBe(signal)
  })
})

describe('body', () => {
  test('a clone and the original can both be read', async () => {
    const own = withBody('text')
    const copy = own.clone()
    expect([await copy.text(), await own.text(), own.bodyUsed, own.url === copy.url]).toEqual([
      'text',
      'text',
      true,
      true,
    ])
  })

  test('a body can be read once, whichever way', async () => {
    for (const first of ['text', 'json', 'bytes', 'arrayBuffer', 'blob'] as const) {
      const own = withBody('1')
      await own[first]()
      expect(own.bodyUsed).toBe(true)
      await expect(own.text()).rejects.toThrow('Body is unusable')
    }
  })

  test('a stream that was begun or locked makes the body unusable', async () => {
    const locked = withBody('1')
    locked.body!.getReader()
    await expect(locked.text()).rejects.toThrow(TypeError)
    const begun = withBody('1')
    const reader = begun.body!.getReader()
    await reader.read()
    reader.releaseLock()
    expect(begun.bodyUsed).toBe(true)
    await expect(begun.text()).rejects.toThrow(TypeError)
  })

  test('a stream that was only looked at can still be read whole', async () => {
    const own = withBody('text')
    expect(own.body).toBe(own.body)
    expect(own.bodyUsed).toBe(false)
    expect(await own.text()).toBe('text')
  })

  test('no body reads as empty, again and again', async () => {
    const own = request()
    expect([await own.text(), await own.text(), own.body, own.bodyUsed]).toEqual(['', '', null, false])
  })

  test('a real request can be made from it, and takes its body', async () => {
    const own = withBody('text')
    const real = new NativeRequest(LazyRequest.unwrap(own), { headers: { a: '1' } })
    expect([await real.text(), real.method, real.headers.get('a'), own.bodyUsed]).toEqual(['text', 'POST', '1', true])
  })
})
