// The Response class functions see: the same to every observer as Node's own, and flat where nobody looked.
import { markAsUncloneable } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { Inflow } from '../../../../runtime/bootstrap/inflow.ts'
import { Outbox } from '../../../../runtime/bootstrap/outbox.ts'
import { LazyRequest } from '../../../../runtime/bootstrap/request.ts'
import { createResponseClass } from '../../../../runtime/bootstrap/response.ts'
import { toAnswer } from '../../../../runtime/bootstrap/to-answer.ts'

const NativeResponse = Response
const web = { Request, Response, Headers, AbortController, DOMException, URL, Blob, markAsUncloneable }
LazyRequest.adopt(web)
const Lazy = createResponseClass(web)

/** A request whose body has come so far, and its body's inflow. */
function posted(text: string, complete = true): { request: Request; inflow: Inflow } {
  const inflow = new Inflow(1, new Outbox((_buffer, _offset, length) => length), Buffer.from(text), complete)
  const source = { method: 'POST', target: '/', headers: [], inflow, signal: () => new AbortController().signal }
  return { request: new LazyRequest(source) as unknown as Request, inflow }
}

function describeResponse(response: Response): unknown {
  const { status, statusText, ok, type, url, redirected, bodyUsed } = response
  return { status, statusText, ok, type, url, redirected, bodyUsed, headers: [...response.headers] }
}

type Build = (Class: typeof Response) => Response
const CASES: Readonly<Record<string, Build>> = {
  text: (Class) => new Class('grüße'),
  empty: (Class) => new Class(''),
  nothing: (Class) => new Class(),
  'null with init null': (Class) => new Class(null, null as never),
  bytes: (Class) => new Class(Uint8Array.of(1, 2)),
  'array buffer': (Class) => new Class(Uint8Array.of(1, 2).buffer),
  'lone surrogate': (Class) => new Class('a\ud800'),
  'plain headers': (Class) =>
    new Class('x', {
      status: 201,
      statusText: 'Made',
      headers: { 'X-A': '1', 'content-TYPE': 'a/b', 'Content-Length': '1' },
    }),
  'numbers as headers': (Class) => new Class('x', { headers: { 'x-n': 5 as never } }),
  pairs: (Class) =>
    new Class('x', {
      headers: [
        ['set-cookie', 'a'],
        ['Set-Cookie', 'b'],
        ['x', '1'],
        ['x', '2'],
      ],
    }),
  headers: (Class) =>
    new Class('x', {
      headers: new Headers([
        ['set-cookie', 'a'],
        ['set-cookie', 'b'],
      ]),
    }),
  'no body status': (Class) => new Class(null, { status: 204 }),
  json: (Class) => Class.json({ a: [1] }, { status: 202, headers: { 'x-a': '1' } }),
  'json with a type': (Class) => Class.json(1, { headers: { 'content-type': 'application/problem+json' } }),
  redirect: (Class) => Class.redirect('http://x/', 301),
  form: (Class) => new Class(new URLSearchParams('a=1')),
}

describe('Response', () => {
  test.each(Object.entries(CASES))('%s looks and reads as Node’s own', async (_name, build) => {
    const [own, native] = [build(Lazy), build(NativeResponse)]
    expect(describeResponse(own)).toEqual(describeResponse(native))
    expect(own.body === null).toBe(native.body === null)
    expect(await own.clone().text()).toBe(await native.clone().text())
    expect([...new Uint8Array(await own.arrayBuffer())]).toEqual([...new Uint8Array(await native.arrayBuffer())])
    expect(own.bodyUsed).toBe(native.bodyUsed)
  })

  test.each<[string, Build]>([
    ['a status out of range', (Class) => new Class('', { status: 99 })],
    ['a body with 204', (Class) => new Class('x', { status: 204 })],
    ['an invalid name', (Class) => new Class('', { headers: { 'a b': '1' } })],
    ['an invalid value', (Class) => new Class('', { headers: { a: 'x\ny' } })],
    ['a value beyond latin1', (Class) => new Class('', { headers: { a: '\u0100' } })],
    ['a pair of one', (Class) => new Class('', { headers: [['a']] as never })],
    ['json of nothing', (Class) => Class.json(undefined)],
    ['a call without new', (Class) => (Class as unknown as () => Response)()],
  ])('%s throws what Node’s own throws', (_name, build) => {
    const thrown = (Class: typeof Response) => {
      try {
        build(Class)
      } catch (error) {
        return (error as Error).name
      }
      return 'nothing'
    }
    expect(thrown(Lazy)).toBe(thrown(NativeResponse))
    expect(thrown(Lazy)).not.toBe('nothing')
  })

  test('instances, subclasses and Node’s own are all instances of both classes', () => {
    class Own extends Lazy {}
    for (const response of [
      new Lazy('x'),
      new Own('x'),
      new NativeResponse('x'),
      Lazy.json(1),
      new Lazy('x').clone(),
    ]) {
      expect(response).toBeInstanceOf(Lazy)
      expect(response).toBeInstanceOf(NativeResponse)
      expect(Object.prototype.toString.call(response)).toBe('[object Response]')
    }
    expect(new Lazy('x').constructor).toBe(Lazy)
    expect(new Own('x')).toBeInstanceOf(Own)
    expect(Lazy.name).toBe('Response')
  })

  test('bytes and headers are taken as they were at construction', async () => {
    const bytes = Uint8Array.of(1)
    const headers = new Headers({ a: '1' })
    const plain = { a: '1' }
    const [first, second] = [new Lazy(bytes, { headers }), new Lazy(bytes, { headers: plain })]
    bytes[0] = 9
    headers.set('a', '2')
    plain.a = '2'
    expect([first.headers.get('a'), second.headers.get('a'), ...(await first.bytes())]).toEqual(['1', '1', 1])
  })

  test('a change of its headers is kept by copies and by the answer', async () => {
    const response = new Lazy('x', { headers: { a: '1' } })
    response.headers.set('a', '2')
    response.headers.append('set-cookie', 'c')
    expect(response.clone().headers.get('a')).toBe('2')
    expect(new Lazy(response.clone().body, response).headers.get('a')).toBe('2')
    expect(toAnswer(response)).toMatchObject({ headers: expect.stringContaining('\na\n2') })
  })
})

describe('toAnswer', () => {
  test('a plain response stays flat', () => {
    expect(toAnswer(new Lazy('x', { status: 201, headers: { 'X-A': '1', 'content-length': '7' } }))).toEqual({
      status: 201,
      reason: '',
      headers: '\nx-a\n1\ncontent-type\ntext/plain;charset=UTF-8',
      length: '7',
      body: 'x',
    })
    expect(toAnswer(new Lazy())).toEqual({ status: 200, reason: '', headers: '', length: null, body: null })
  })

  test('a reason phrase goes along, of other libraries where HTTP can carry it', () => {
    expect(toAnswer(new Lazy('x', { status: 218, statusText: 'This is fine' }))).toMatchObject({
      reason: 'This is fine',
    })
    const foreign = { status: 200, headers: new Map(), body: null }
    expect(toAnswer({ ...foreign, statusText: 'Fine' })).toMatchObject({ reason: 'Fine' })
    for (const statusText of ['a\r\nb: c', undefined, 7])
      expect(toAnswer({ ...foreign, statusText })).toMatchObject({ reason: '' })
  })

  test('the body of a request that came whole is sent back whole, and is used then', () => {
    const { request } = posted('sent')
    const response = new Lazy(request.body, { headers: { a: '1' } })
    expect([request.bodyUsed, response.bodyUsed]).toEqual([false, false])
    expect(toAnswer(response)).toEqual({
      status: 200,
      reason: '',
      headers: '\na\n1',
      length: null,
      body: Buffer.from('sent'),
    })
    expect(request.bodyUsed).toBe(true)
  })

  test('one that is still coming, or whose length was promised, stays a stream', () => {
    const coming = posted('some', false).request
    expect(toAnswer(new Lazy(coming.body))).toMatchObject({ body: coming.body })
    const promised = posted('some').request
    const response = new Lazy(promised.body, { headers: { 'content-length': '4' } })
    expect(toAnswer(response)).toMatchObject({ length: '4', body: promised.body })
  })

  test('one that was read meanwhile is refused', async () => {
    const { request } = posted('sent')
    const response = new Lazy(request.body)
    await request.text()
    expect(response.bodyUsed).toBe(true)
    expect(toAnswer(response)).toBe('a Response whose body was already read')
    expect(() => new Lazy(request.body)).toThrow(TypeError)
  })

  test('one that is looked at as a stream reads as one', async () => {
    const { request } = posted('sent')
    const response = new Lazy(request.body)
    expect(response.body).toBe(request.body)
    expect(await response.text()).toBe('sent')
    const copied = new Lazy(posted('sent').request.body).clone()
    expect(await copied.text()).toBe('sent')
  })

  test('a response that was read in part is refused', async () => {
    const response = new Lazy('x')
    await response.text()
    expect(toAnswer(response)).toBe('a Response whose body was already read')
    const locked = new Lazy('x')
    locked.body!.getReader()
    expect(toAnswer(locked)).toBe('a Response whose body was already read')
  })

  test('responses of other libraries are taken by their shape, with their headers checked', () => {
    const foreign = { status: 200, headers: new Map([['a', 'b']]), body: null }
    expect(toAnswer(foreign)).toEqual({ status: 200, reason: '', headers: '\na\nb', length: null, body: null })
    expect(toAnswer({ ...foreign, headers: new Map([['a', 'b\r\nc: d']]) })).toBe('a Response with an invalid header a')
    expect(toAnswer({ ...foreign, status: 101 })).toBe('a Response of status 101')
  })

  test.each([undefined, null, 'text', 5, {}, [], () => 1, { status: 200 }, { status: 200, headers: {}, body: 'x' }])(
    '%j is no response',
    (value) => {
      expect(toAnswer(value)).toBe('not a Response')
    },
  )
})
