// All that can be done with a Request or Response of Node can be done with ours: every member of Node's prototypes, read and
// called on both, and what is done to objects as a whole. The rows are made from the prototypes, so a new Node brings new rows.
import { createServer } from 'node:http'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Inflow } from '../../../../runtime/bootstrap/inflow.ts'
import { Outbox } from '../../../../runtime/bootstrap/outbox.ts'
import { LazyRequest } from '../../../../runtime/bootstrap/request.ts'
import { installWeb } from '../../../../runtime/bootstrap/web.ts'

const native = installWeb()
const { Request: NativeRequest, Response: NativeResponse } = native

interface Sent {
  readonly method: string
  readonly headers?: readonly [string, string][]
  readonly body?: string | Uint8Array
}
const MULTIPART =
  '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b\r\nContent-Disposition: form-data; name="f"; filename="f.txt"\r\nContent-Type: text/x\r\n\r\nfile\r\n--b--\r\n'
const REQUESTS: Readonly<Record<string, Sent>> = {
  'a GET': {
    method: 'GET',
    headers: [
      ['Accept', '*/*'],
      ['X-A', '1'],
      ['x-a', '2'],
    ],
  },
  'a HEAD': { method: 'HEAD' },
  'a POST without a body': { method: 'POST' },
  'a text': { method: 'POST', headers: [['Content-Type', 'Text/Plain; charset=UTF-8']], body: 'grüße' },
  'a text with a byte order mark': { method: 'PUT', body: '\ufefftext' },
  'no valid UTF-8': { method: 'POST', body: Uint8Array.of(65, 0xff, 0xc3, 0x28, 66) },
  json: { method: 'PATCH', headers: [['content-type', 'application/json']], body: '{"a":[1]}' },
  'broken json': { method: 'POST', headers: [['content-type', 'application/json']], body: '{"a":' },
  'an empty body': { method: 'DELETE', body: '' },
  'a form': { method: 'POST', headers: [['content-type', 'application/x-www-form-urlencoded']], body: 'a=1&b=%20&a=2' },
  'a form of parts': {
    method: 'POST',
    headers: [['content-type', 'multipart/form-data; boundary=b']],
    body: MULTIPART,
  },
  'a broken form': { method: 'POST', headers: [['content-type', 'multipart/form-data; boundary=x']], body: MULTIPART },
  bytes: { method: 'OPTIONS', headers: [['content-type', 'application/octet-stream']], body: Uint8Array.of(0, 1, 255) },
}

const signal = new AbortController().signal
const outbox = new Outbox((_buffer, _offset, length) => length)

function ours({ method, headers = [], body }: Sent): Request {
  const inflow = body === undefined ? null : new Inflow(1, outbox, Buffer.from(body as string), true)
  const flat = ['Host', 'h', ...headers.flat()]
  return new LazyRequest({
    method,
    target: '/p?q=1',
    headers: flat,
    inflow,
    signal: () => signal,
  }) as unknown as Request
}

function theirs({ method, headers = [], body }: Sent): Request {
  const bytes = body === undefined ? {} : { body: new Blob([body as string]).stream(), duplex: 'half' as const }
  return new NativeRequest('http://h/p?q=1', { method, headers: [['Host', 'h'], ...headers], signal, ...bytes })
}

type Thing = Request | Response
type Try = (thing: never, Class: never) => unknown

/** What a test can compare of whatever came out, an error by its class. */
async function outcome(run: () => unknown): Promise<unknown> {
  try {
    return await comparable(await run())
  } catch (error) {
    return { threw: (error as Error).name }
  }
}

async function comparable(value: unknown): Promise<unknown> {
  if (value instanceof Headers) return ['headers', ...value]
  if (value instanceof FormData)
    return ['form', ...(await Promise.all([...value].map(([name, part]) => Promise.all([name, comparable(part)]))))]
  if (value instanceof Blob) return ['blob', value.type, await value.text(), value instanceof File ? value.name : '']
  if (value instanceof ReadableStream) return ['stream', value.locked]
  if (value instanceof AbortSignal) return ['signal', value.aborted]
  if (value instanceof NativeRequest || value instanceof NativeResponse)
    return ['made', value.url, await outcome(() => value.text())]
  if (value instanceof ArrayBuffer) return ['buffer', ...new Uint8Array(value)]
  if (Array.isArray(value)) return Promise.all(value.map(comparable))
  return value
}

const get = (thing: object, key: PropertyKey): unknown => (thing as Record<PropertyKey, unknown>)[key]
const membersOf = (prototype: object) => Reflect.ownKeys(prototype).filter((key) => key !== 'constructor')

/** Read, or called without arguments, straight and by way of Node's prototype. */
function memberTries(prototype: object): [string, Try][] {
  return membersOf(prototype).flatMap((key): [string, Try][] => {
    const property = Object.getOwnPropertyDescriptor(prototype, key)!
    const isMethod = typeof property.value === 'function' && key !== inspect.custom
    const off = (thing: object) => Reflect.apply(property.get ?? property.value, thing, [])
    if (isMethod) {
      return [
        [`${String(key)}()`, (thing: Thing) => (get(thing, key) as () => unknown).call(thing)],
        [`prototype.${String(key)}.call`, off],
        [
          `${String(key)}(), then bodyUsed`,
          async (thing: Thing) => [await outcome(off.bind(null, thing)), thing.bodyUsed],
        ],
        [
          `${String(key)}() twice`,
          async (thing: Thing) => [await outcome(off.bind(null, thing)), await outcome(off.bind(null, thing))],
        ],
        [
          `text(), then ${String(key)}()`,
          async (thing: Thing) => [await thing.text(), await outcome(off.bind(null, thing))],
        ],
      ]
    }
    if (typeof property.value === 'function') return []
    const read = property.get === undefined ? () => property.value : off
    return [
      [`.${String(key)}`, (thing: Thing) => get(thing, key)],
      [`prototype.${String(key)} of it`, read],
      [`${String(key)} in it`, (thing: Thing) => key in thing],
    ]
  })
}

const WHOLE: Readonly<Record<string, Try>> = {
  inspect: (thing: Thing) => inspect(thing),
  'inspect, then text': async (thing: Thing) => [inspect(thing), await thing.text(), thing.bodyUsed],
  'text, then inspect': async (thing: Thing) => [await thing.text(), inspect(thing), thing.bodyUsed],
  'inspect deep and short': (thing: Thing) => [
    inspect(thing, { depth: 0 }),
    inspect([thing]),
    inspect({ thing }, { compact: false }),
  ],
  String: (thing: Thing) => String(thing),
  toString: (thing: Thing) => Object.prototype.toString.call(thing),
  'JSON.stringify': (thing: Thing) => JSON.stringify(thing),
  keys: (thing: Thing) => [Object.keys(thing), Object.getOwnPropertyNames(thing)],
  spread: (thing: Thing) => JSON.stringify({ ...thing }),
  'for in': (thing: Thing) => {
    const names: string[] = []
    for (const name in thing) names.push(name)
    return names.sort()
  },
  'Object.assign': (thing: Thing) => (Object.assign(thing, { extra: 1 }) as { extra: number }).extra,
  frozen: (thing: Thing) => [Object.isFrozen(thing), Object.isExtensible(thing)],
  'as a key': (thing: Thing) => new WeakMap([[thing, 1]]).get(thing),
  'body twice': (thing: Thing) => Object.is(thing.body, thing.body),
  'headers twice': (thing: Thing) => Object.is(thing.headers, thing.headers),
  'structuredClone, by itself and in another object': async (thing: Thing) => [
    await outcome(() => structuredClone(thing)),
    await outcome(() => structuredClone({ thing })),
  ],
  'changed headers in a clone': (thing: Thing) => {
    thing.headers.set('x-set', '1')
    const first = thing.clone()
    thing.headers.set('x-set', '2')
    thing.headers.append('x-more', '3')
    const second = thing.clone()
    return [first.headers.get('x-set'), second.headers.get('x-set'), second.headers.get('x-more')]
  },
  'clone, both read': async (thing: Thing) => {
    const copy = thing.clone()
    return [await copy.text(), await thing.text(), copy.bodyUsed, thing.bodyUsed]
  },
  'clone, the copy dropped': async (thing: Thing) => {
    const copy = thing.clone()
    copy.body?.cancel().catch(() => undefined)
    return [await thing.text(), thing.bodyUsed]
  },
  'clones of clones': async (thing: Thing) =>
    Promise.all([thing.clone().clone(), thing.clone(), thing].map((each) => each.text())),
  'tee of the body': async (thing: Thing) => {
    if (thing.body === null) return null
    const [one, other] = thing.body.tee()
    return [
      await new NativeResponse(one).text(),
      await new NativeResponse(other).text(),
      thing.bodyUsed,
      await outcome(() => thing.text()),
    ]
  },
  'body by a reader': async (thing: Thing) => {
    const reader = thing.body?.getReader()
    const first = await reader?.read()
    return [first?.done, first?.value?.length, thing.bodyUsed, thing.body?.locked]
  },
  'body by for await': async (thing: Thing) => {
    let text = ''
    for await (const chunk of (thing.body ?? []) as AsyncIterable<Uint8Array>)
      text += Buffer.from(chunk).toString('latin1')
    return [text, thing.bodyUsed]
  },
  'body cancelled': async (thing: Thing) => [
    await thing.body?.cancel(),
    thing.bodyUsed,
    await outcome(() => thing.text()),
  ],
  'body through a transform': (thing: Thing) =>
    new NativeResponse(thing.body?.pipeThrough(new TextDecoderStream()).pipeThrough(new TextEncoderStream())).text(),
  'locked, then read': (thing: Thing) => {
    thing.body?.getReader()
    return outcome(() => thing.text())
  },
  'locked, then cloned': (thing: Thing) => {
    thing.body?.getReader()
    return outcome(() => thing.clone())
  },
  'two reads at once': (thing: Thing) => Promise.all([outcome(() => thing.text()), outcome(() => thing.arrayBuffer())]),
  destructured: ({ headers, bodyUsed, body }: Thing) => [headers, bodyUsed, body],
}
const OF_REQUESTS: Readonly<Record<string, Try>> = {
  'instanceof and constructor': (thing: Request) => [
    thing instanceof Request,
    thing instanceof NativeRequest,
    thing.constructor === Request,
    thing.constructor.name,
  ],
  'new Request(it)': async (thing: Request) => {
    const made = new Request(thing)
    return [made.method, made.url, [...made.headers], thing.bodyUsed, await made.text()]
  },
  'new Request(it, init)': async (thing: Request) => {
    const made = new Request(thing, { method: 'PUT', headers: { 'x-b': '2' }, body: 'other' })
    return [made.method, made.url, [...made.headers], await made.text()]
  },
  'new Request(url, it)': async (thing: Request) => {
    const made = new Request('http://other/', thing)
    return [made.method, made.url, [...made.headers], await made.text(), thing.bodyUsed]
  },
  'new Request(it) after text()': async (thing: Request) => [
    await thing.text(),
    await outcome(() => new Request(thing).text()),
  ],
  subclass: async (thing: Request) => {
    class Own extends Request {
      own = 1
    }
    const made = new Own(thing)
    return [made.own, made instanceof Own, made instanceof NativeRequest, await made.text()]
  },
  'fetch(it)': async (thing: Request) => {
    const response = await fetch(new Request(echo, thing))
    return [response.status, await response.text()]
  },
  'fetch(url, it)': async (thing: Request) => (await fetch(echo, thing)).text(),
}
const OF_RESPONSES: Readonly<Record<string, Try>> = {
  'instanceof and constructor': (thing: Response) => [
    thing instanceof Response,
    thing instanceof NativeResponse,
    thing.constructor === Response,
    thing.constructor.name,
  ],
  'new Response(its body, it)': async (thing: Response) => {
    const made = new Response(thing.body, thing)
    return [made.status, made.statusText, [...made.headers], await made.text(), thing.bodyUsed]
  },
  'new Response(text, it)': (thing: Response) => {
    const made = new Response(null, thing)
    return [made.status, made.statusText, [...made.headers]]
  },
}

let echo = ''
const server = createServer((request, response) => {
  const { 'x-a': a = '', 'content-type': type = '' } = request.headers
  const parts: Buffer[] = []
  request.on('data', (part) => parts.push(part))
  request.on('end', () => response.end(`${request.method} ${a} ${type} ${Buffer.concat(parts).toString('hex')}`))
})
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  echo = `http://127.0.0.1:${(server.address() as { port: number }).port}/`
})
afterAll(() => {
  server.close()
  server.closeAllConnections()
})

describe.each(Object.entries(REQUESTS))('a request: %s', (_name, sent) => {
  test.each([...memberTries(NativeRequest.prototype), ...Object.entries({ ...WHOLE, ...OF_REQUESTS })])(
    '%s',
    async (_what, attempt) => {
      const tried = attempt as (thing: Request) => unknown
      const expected = await outcome(() => tried(theirs(sent)))
      expect(await outcome(() => tried(ours(sent)))).toEqual(expected)
    },
  )
})

const RESPONSES: Readonly<Record<string, (Class: typeof Response) => Response>> = {
  text: (Class) => new Class('grüße', { status: 201, statusText: 'Made', headers: { 'x-a': '1' } }),
  nothing: (Class) => new Class(),
  bytes: (Class) => new Class(Uint8Array.of(1, 2), { headers: { 'content-type': 'image/png' } }),
  json: (Class) => Class.json({ a: [1] }),
  'a form': (Class) => new Class('a=1&b=2', { headers: { 'content-type': 'application/x-www-form-urlencoded' } }),
  'no body': (Class) => new Class(null, { status: 204 }),
  stream: (Class) => new Class(new Blob(['stream']).stream()),
  cookies: (Class) =>
    new Class('x', {
      headers: [
        ['set-cookie', 'a=1'],
        ['set-cookie', 'b=2'],
      ],
    }),
}

describe.each(Object.entries(RESPONSES))('a response: %s', (_name, build) => {
  test.each([...memberTries(NativeResponse.prototype), ...Object.entries({ ...WHOLE, ...OF_RESPONSES })])(
    '%s',
    async (_what, attempt) => {
      const tried = attempt as (thing: Response) => unknown
      const expected = await outcome(() => tried(build(NativeResponse)))
      expect(await outcome(() => tried(build(Response)))).toEqual(expected)
    },
  )
})

describe('what only requests of a caller have', () => {
  test('a body with GET is kept, also when the request was looked at', async () => {
    const request = ours({ method: 'GET', body: 'search' })
    expect(inspect(request)).toContain("method: 'GET'")
    expect(await request.text()).toBe('search')
    expect(request.bodyUsed).toBe(true)
  })

  test('a method that the Fetch standard forbids is reported as it is', () => {
    const request = ours({ method: 'TRACE' })
    expect([request.method, request.clone().method]).toEqual(['TRACE', 'TRACE'])
    expect(inspect(request)).toContain("method: 'TRACE'")
  })

  test('members on other objects fail as Node says', () => {
    for (const key of membersOf(NativeRequest.prototype)) {
      const { get: read } = Object.getOwnPropertyDescriptor(NativeRequest.prototype, key)!
      if (read !== undefined) expect(() => read.call({}), String(key)).toThrow(TypeError)
    }
  })
})
