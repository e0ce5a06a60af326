// Whatever a handler may return as a response is sent as it is: by what it does, not by what it is called. And what fetch decoded
// is not told to be encoded.
import { createServer } from 'node:http'
import { PassThrough, Readable } from 'node:stream'
import { createContext, runInContext } from 'node:vm'
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Answer } from '../../../../runtime/bootstrap/answer.ts'
import { bytesOfChunk } from '../../../../runtime/bootstrap/body-source.ts'
import { toAnswer } from '../../../../runtime/bootstrap/to-answer.ts'
import { installWeb } from '../../../../runtime/bootstrap/web.ts'

installWeb()

/** The answer as the wire would carry it. */
async function sent(
  result: unknown,
): Promise<{ status: number; headers: string[]; length: string | null; body: string }> {
  const answer = toAnswer(result)
  if (typeof answer === 'string') throw new Error(answer)
  const { status, headers, length } = answer
  return { status, headers: headers.split('\n').slice(1), length, body: await textOf(answer.body) }
}

async function textOf(body: Answer['body']): Promise<string> {
  if (body === null || typeof body === 'string') return body ?? ''
  if (ArrayBuffer.isView(body)) return Buffer.from(body).toString()
  const reader = body.getReader()
  let text = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return text
    text += Buffer.from(bytesOfChunk(value)!).toString()
  }
}

const TYPE = { 'content-type': 'text/x' }
const response = (body: unknown, more: object = {}) => ({
  status: 201,
  headers: new Headers(TYPE),
  body,
  bodyUsed: false,
  ...more,
})

/** Like the ponyfill of GraphQL Yoga: it has members only when asked for them by name. */
function proxied(stream: object): object {
  const get = (_target: object, key: PropertyKey) => {
    const value = (stream as Record<PropertyKey, unknown>)[key]
    return typeof value === 'function' ? value.bind(stream) : value
  }
  return new Proxy({}, { get })
}

const stream = () => new Blob(['he', 'llo']).stream()
async function* pieces() {
  yield 'he'
  yield Buffer.from('llo')
}
class OldHeaders {
  readonly #pairs: [string, string][]
  constructor(pairs: [string, string][]) {
    this.#pairs = pairs
  }
  [Symbol.iterator]() {
    return this.#pairs[Symbol.iterator]()
  }
}

describe('a body', () => {
  const foreign = createContext({ TextEncoder })
  test.each<[string, () => unknown]>([
    ['text', () => 'hello'],
    ['bytes', () => Buffer.from('hello')],
    ['an ArrayBuffer', () => new TextEncoder().encode('hello').buffer],
    ['a view', () => new DataView(new TextEncoder().encode('hello').buffer)],
    ['a view on a part', () => new Uint16Array(new TextEncoder().encode('xxhelloo').buffer, 2, 3)],
    ['bytes of another realm', () => runInContext('new Uint8Array([104, 101, 108, 108, 111])', foreign)],
    ['a web stream', stream],
    ['a proxy around a web stream', () => proxied(stream())],
    ['a stream of Node', () => Readable.from(['he', 'llo'], { objectMode: false })],
    ['a proxy around a stream of Node', () => proxied(Readable.from([Buffer.from('hello')]))],
    ['a generator', pieces],
    [
      'a generator that does not wait',
      function* () {
        yield 'hel'
        yield 'lo'
      },
    ],
    ['a list of pieces', () => ['he', 'llo']],
    ['a blob', () => new Blob(['hello'])],
    ['a like of a blob', () => ({ stream })],
    ['what can be read whole only', () => ({ arrayBuffer: async () => new TextEncoder().encode('hello').buffer })],
    ['a reader that is all there is', () => ({ getReader: () => stream().getReader(), cancel() {} })],
  ])('that is %s is sent', async (what, make) => {
    const made = make()
    const body = typeof made === 'function' ? made() : made
    const { status, headers, body: text } = await sent(response(body))
    expect([status, headers, text.slice(0, 5)]).toEqual([201, ['content-type', 'text/x'], 'hello'])
    expect(what.includes('part') ? text.length : 5).toBe(what.includes('part') ? 6 : 5)
  })

  test('that is none makes no response, whatever the rest looks like', () => {
    for (const body of [42, true, Symbol('x'), { any: 'object' }])
      expect(toAnswer(response(body))).toBe('not a Response')
  })

  test('that is locked or was read is refused', () => {
    const locked = stream()
    locked.getReader()
    expect(toAnswer(response(locked))).toContain('already read')
    expect(toAnswer(response(proxied(locked)))).toContain('already read')
    expect(toAnswer(response('x', { bodyUsed: true }))).toContain('already read')
  })

  test('that is dropped is cancelled', () => {
    const pass = new PassThrough()
    const answer = toAnswer(response(pass)) as Answer
    ;(answer.body as { cancel(): unknown }).cancel()
    expect(pass.destroyed).toBe(true)
  })
})

describe('a response', () => {
  test('of a polyfill without streams is read by its methods', async () => {
    const old = { status: 200, headers: new Headers(), arrayBuffer: async () => new TextEncoder().encode('old').buffer }
    expect((await sent(old)).body).toBe('old')
  })

  test.each<[string, unknown, string[]]>([
    ['Map', new Map([['X-A', '1']]), ['x-a', '1']],
    [
      'an iterable of pairs',
      new OldHeaders([
        ['X-A', '1'],
        ['x-b', '2'],
      ]),
      ['x-a', '1', 'x-b', '2'],
    ],
    [
      'raw() as of node-fetch',
      {
        forEach: (each: (value: string, name: string) => void) => {
          each('1', 'x-a')
          each('a=1, b=2', 'set-cookie')
        },
        raw: () => ({ 'x-a': ['1'], 'set-cookie': ['a=1', 'b=2'] }),
      },
      ['x-a', '1', 'set-cookie', 'a=1', 'set-cookie', 'b=2'],
    ],
    [
      'getSetCookie()',
      new Headers([
        ['set-cookie', 'a=1'],
        ['set-cookie', 'b=2'],
      ]),
      ['set-cookie', 'a=1', 'set-cookie', 'b=2'],
    ],
  ])('keeps headers that are a %s', async (_what, headers, expected) => {
    expect((await sent({ status: 200, headers, body: null })).headers).toEqual(expected)
  })

  test.each<[unknown]>([
    [{}],
    [{ status: 200 }],
    [{ status: 200, headers: {} }],
    [{ status: '200', headers: new Headers(), body: '' }],
    [{ status: 200, headers: [['a', 'b']], body: '' }],
  ])('is none: %j', (value) => {
    expect(toAnswer(value)).toBe('not a Response')
  })

  test('of a class below Response is one', async () => {
    class Own extends Response {}
    expect(await sent(new Own('own', { status: 202 }))).toMatchObject({ status: 202, body: 'own' })
  })
})

describe('what fetch decoded', () => {
  const text = 'hello compressed '.repeat(200)
  const codings: Record<string, (bytes: Buffer) => Buffer> = {
    gzip: gzipSync,
    'x-gzip': gzipSync,
    br: brotliCompressSync,
    deflate: deflateSync,
    zstd: zstdCompressSync,
  }
  let origin = ''
  const server = createServer((request, reply) => {
    const asked = new URL(request.url!, 'http://x').searchParams.get('coding')!
    let body = Buffer.from(text)
    for (const coding of asked.split(', ')) body = Buffer.from(codings[coding]?.(body) ?? body)
    const status = Number(new URL(request.url!, 'http://x').pathname.slice(1)) || 200
    reply.writeHead(status, {
      'content-type': 'text/x',
      'content-encoding': asked,
      'content-length': body.length,
      'set-cookie': ['a=1', 'b=2'],
    })
    reply.end(body)
  })
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    origin = `http://127.0.0.1:${(server.address() as { port: number }).port}`
  })
  afterAll(() => {
    server.close()
    server.closeAllConnections()
  })
  const get = (coding: string, path = '/', init?: RequestInit) =>
    fetch(`${origin}${path}?coding=${encodeURIComponent(coding)}`, init)

  const WAYS: Readonly<Record<string, (upstream: Response) => unknown>> = {
    'as it is': (upstream) => upstream,
    'its clone': (upstream) => upstream.clone(),
    'a clone of its clone': (upstream) => upstream.clone().clone(),
    'new Response(its body, it)': (upstream) => new Response(upstream.body, upstream),
    'new Response(its body, its headers)': (upstream) => new Response(upstream.body, { headers: upstream.headers }),
    'new Response(its body, a copy of its headers)': (upstream) =>
      new Response(upstream.body, { headers: new Headers(upstream.headers) }),
    'new Response(its body, its headers as an object)': (upstream) =>
      new Response(upstream.body, { headers: Object.fromEntries(upstream.headers) }),
    'new Response(its text, it)': async (upstream) => new Response(await upstream.text(), upstream),
    'new Response(its bytes, it)': async (upstream) => new Response(await upstream.arrayBuffer(), upstream),
    'through a transform': (upstream) => new Response(upstream.body!.pipeThrough(new TransformStream()), upstream),
  }
  test.each(Object.entries(WAYS))('is not told to be encoded: %s', async (_way, pass) => {
    for (const coding of [...Object.keys(codings), 'gzip, br', 'GZIP'.toLowerCase()]) {
      const { headers, length, body } = await sent(await pass(await get(coding)))
      expect([coding, headers.includes('content-encoding'), length, body === text]).toEqual([coding, false, null, true])
      expect(headers).toContain('text/x')
    }
  })

  test('a coding that fetch does not know stays with its body', async () => {
    const { headers, length } = await sent(await get('made-up'))
    expect([headers.includes('made-up'), length]).toEqual([true, String(text.length)])
  })

  test.each([
    ['HEAD', '/', { method: 'HEAD' }],
    ['304', '/304', {}],
  ])('a response to %s keeps what it says of the body that was not sent', async (_what, path, init) => {
    const { headers, body } = await sent(await get('gzip', path, init))
    expect([headers.includes('content-encoding'), body]).toEqual([true, ''])
  })

  test('a coding that the function itself sets stays', async () => {
    const upstream = await get('gzip')
    const packed = upstream.body!.pipeThrough(new CompressionStream('gzip'))
    const headers = new Headers(upstream.headers)
    headers.set('content-encoding', 'gzip')
    expect((await sent(new Response(packed, { headers }))).headers).toContain('content-encoding')
    expect((await sent(new Response(gzipSync('x'), { headers: { 'content-encoding': 'gzip' } }))).headers).toContain(
      'gzip',
    )
  })

  test('cookies and the rest of the response stay', async () => {
    const upstream = await get('gzip')
    expect([upstream.url.startsWith(origin), upstream.ok, upstream.headers.getSetCookie()]).toEqual([
      true,
      true,
      ['a=1', 'b=2'],
    ])
    expect(await upstream.text()).toBe(text)
    expect(upstream.bodyUsed).toBe(true)
  })

  test('a response of another fetch that says it comes from somewhere was decoded, too', async () => {
    const foreign = (url: string) =>
      response(stream(), { url, headers: new Headers({ 'content-encoding': 'gzip', 'content-length': '3' }) })
    expect(await sent(foreign('http://upstream/'))).toMatchObject({ headers: [], length: null })
    expect(await sent(foreign(''))).toMatchObject({ headers: ['content-encoding', 'gzip'], length: '3' })
  })
})
