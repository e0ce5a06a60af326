// The wire under streams: bodies both ways with flat memory, credits, events one by one, cancel, background work, overlap.
import { Readable } from 'node:stream'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import type { SandboxExchange } from '../../runtime/api.ts'
import { until } from '../support/until.ts'
import { callOf, type Recorded, recordingSink, WireBench } from '../support/wire-process.ts'

const bench = new WireBench()
afterEach(() => bench.stopAll())
afterAll(() => bench.close())

const MIB = 1024 ** 2

/** `bytes` of a repeating pattern in chunks of uneven size. */
function pattern(bytes: number): Readable {
  let left = bytes
  return new Readable({
    read() {
      const size = Math.min(left, 30_011)
      left -= size
      this.push(size === 0 ? null : Buffer.alloc(size, left & 255))
    },
  })
}

describe('request bodies', () => {
  test('a small body is there for text, json, bytes, blob and form data', async () => {
    const box = await bench.load(`exports.default = async (request) => {
      const how = new URL(request.url).pathname.slice(1)
      if (how === 'form') return Response.json([...await request.formData()])
      if (how === 'clone') { const copy = request.clone(); return new Response(await copy.text() + await request.text() + request.bodyUsed) }
      if (how === 'wrap') { const again = new Request(request, { headers: { a: 'b' } }); return new Response(await again.text() + again.headers.get('a') + request.bodyUsed) }
      if (how === 'stream') { let n = ''; for await (const chunk of request.body) n += Buffer.from(chunk); return new Response(n + request.bodyUsed) }
      if (how === 'twice') { await request.text(); try { await request.json() } catch (error) { return new Response(error.name + ': ' + error.message) } }
      const value = await request[how]()
      return Response.json({ value: typeof value === 'string' ? value : value instanceof Uint8Array ? [...value] : value instanceof ArrayBuffer ? [...new Uint8Array(value)] : value instanceof Blob ? [value.size, value.type] : value })
    }`)
    const post = async (how: string, body: string, type = 'text/plain') =>
      (await box.call({ method: 'POST', target: `/${how}`, headers: ['content-type', type], body: Buffer.from(body) }))
        .body
    expect(await post('text', '\ufeffgrüße')).toBe('{"value":"grüße"}')
    expect(await post('json', '{"a":[1]}')).toBe('{"value":{"a":[1]}}')
    expect(await post('bytes', 'ab')).toBe('{"value":[97,98]}')
    expect(await post('arrayBuffer', 'ab')).toBe('{"value":[97,98]}')
    expect(await post('blob', 'ab')).toBe('{"value":[2,"text/plain"]}')
    expect(await post('form', 'a=1&b=2', 'application/x-www-form-urlencoded')).toBe('[["a","1"],["b","2"]]')
    expect(await post('clone', 'x')).toBe('xxtrue')
    expect(await post('wrap', 'x')).toBe('xbtrue')
    expect(await post('stream', 'x')).toBe('xtrue')
    expect(await post('twice', 'x')).toBe('TypeError: Body is unusable: Body has already been read')
  })

  test('an upload that is echoed streams through with flat memory on both sides', async () => {
    const box = await bench.load(`exports.default = (request) => {
      if (request.method === 'GET') return new Response(String(process.memoryUsage.rss()))
      return new Response(request.body)
    }`)
    const before = Number((await box.call()).body)
    const ownBefore = process.memoryUsage().rss
    let received = 0
    let highest = 0
    const { sink } = recordingSink()
    await new Promise<void>((resolve) => {
      box.channel.invoke(callOf({ method: 'POST', body: pattern(256 * MIB) }), {
        ...sink,
        data(chunk) {
          received += chunk.length
          highest = Math.max(highest, process.memoryUsage.rss())
          return true
        },
        idle: () => resolve(),
      })
    })
    expect(received).toBe(256 * MIB)
    expect(Number((await box.call()).body) - before).toBeLessThan(96 * MIB)
    expect(highest - ownBefore).toBeLessThan(96 * MIB)
  })

  test('a streamed body can be collected whole', async () => {
    const box = await bench.load(
      `exports.default = async (request) => new Response(String((await request.arrayBuffer()).byteLength))`,
    )
    expect((await box.upload(pattern(8 * MIB))).body).toBe(String(8 * MIB))
  })

  test('a buffer larger than the window travels under credits', async () => {
    const box = await bench.load(`exports.default = async (request) => new Response(await request.arrayBuffer())`)
    const body = Buffer.alloc(300_000, 'abc')
    expect((await box.call({ method: 'POST', body })).bytes.equals(body)).toBe(true)
  })

  test('a body nobody reads holds the sender after one window, and the call ends all the same', async () => {
    const box = await bench.load(
      `exports.default = () => new Promise((resolve) => setTimeout(() => resolve(new Response('no')), 100))`,
    )
    let pulled = 0
    const endless = new Readable({
      highWaterMark: 16_384,
      read() {
        pulled += 16_384
        this.push(Buffer.alloc(16_384))
      },
    })
    expect((await box.upload(endless)).body).toBe('no')
    expect(pulled).toBeLessThan(256 * 1024)
    expect(endless.destroyed).toBe(false)
    expect((await box.call()).body).toBe('no')
  })

  test('a body that breaks off fails the call and the reader inside, not the sandbox', async () => {
    const box = await bench.load(`let seen = 'nothing'
      exports.default = async (request) => {
        if (request.method === 'GET') return new Response(seen)
        try { await request.arrayBuffer() } catch (error) { seen = error.message; throw error }
      }`)
    const broken = new Readable({ read() {} })
    broken.push('start')
    const { fault, reusable } = await box.call({ method: 'POST', body: broken }, () =>
      setImmediate(() => broken.destroy(new Error('connection reset'))),
    )
    expect([fault?.code, reusable]).toEqual(['BODY_ABORTED', true])
    expect(fault!.message).toContain('connection reset')
    expect((await box.call()).body).toBe('the request body broke off before its end')
  })
})

describe('response bodies', () => {
  test('a body other than its content-length says is no valid response, and the sandbox stays', async () => {
    const box = await bench.load(`exports.default = (request) => {
      const bytes = new TextEncoder().encode('abcdefgh')
      const body = new ReadableStream({ start(controller) { controller.enqueue(bytes); controller.close() } })
      return new Response(body, { headers: { 'content-length': new URL(request.url).pathname.slice(1) } })
    }`)
    const short = await box.call({ target: '/9' })
    expect([short.fault?.code, short.reusable]).toEqual(['INVALID_RESPONSE', true])
    expect(short.fault?.message).toContain('ended after 8 bytes; its content-length says 9')
    const long = await box.call({ target: '/7' })
    expect([long.fault?.code, long.reusable]).toEqual(['INVALID_RESPONSE', true])
    expect((await box.call({ target: '/8' })).body).toBe('abcdefgh')
  })

  test('headers that do not fit a frame are no valid response, and the sandbox stays', async () => {
    const box = await bench.load(`exports.default = (request) =>
      new Response('x', { headers: { 'x-big': 'b'.repeat(Number(new URL(request.url).pathname.slice(1))) } })`)
    const { fault, reusable } = await box.call({ target: '/70000' })
    expect([fault?.code, reusable]).toEqual(['INVALID_RESPONSE', true])
    expect(fault?.message).toContain('bytes of headers')
    expect((await box.call({ target: '/60000' })).status).toBe(200)
  })

  test('events arrive one by one', async () => {
    const box = await bench.load(`let next
      exports.default = (request) => {
        if (request.method === 'POST') { next(); return new Response() }
        return new Response(new ReadableStream({ async start(c) { for (let n = 0; n < 3; n++) { c.enqueue('data: ' + n + '\\n\\n'); await new Promise((r) => { next = r }) } c.close() } }),
          { headers: { 'content-type': 'text/event-stream' } })
      }`)
    let seen: Recorded | null = null
    const done = box.call({}, (_exchange, recorded) => {
      seen = recorded
    })
    for (let event = 0; event < 3; event++) {
      await until(`event ${event} is there`, () => seen!.chunks.length === event + 1)
      expect(String(seen!.chunks.at(-1))).toBe(`data: ${event}\n\n`)
      await box.call({ method: 'POST' })
    }
    expect((await done).events.slice(-2)).toEqual(['end', 'idle'])
  })

  test('a sink that holds back stops the producer within a window', async () => {
    const box = await bench.load(`let made = 0
      exports.default = (request) => request.method === 'POST' ? new Response(String(made)) : new Response(new ReadableStream({ pull(c) { if (made >= 4194304) return c.close(); made += 16384; c.enqueue(new Uint8Array(16384)) } }))`)
    let taken = 0
    let holding = true
    let exchange: SandboxExchange | null = null
    const { sink } = recordingSink()
    const done = new Promise<void>((resolve) => {
      exchange = box.channel.invoke(callOf(), {
        ...sink,
        data(chunk) {
          taken += chunk.length
          return !holding
        },
        idle: () => resolve(),
      })
    })
    await until('something arrives', () => taken > 0)
    const first = taken
    const made = Number((await box.call({ method: 'POST' })).body)
    expect(made).toBeLessThanOrEqual(256 * 1024)
    expect(taken).toBe(first)
    holding = false
    exchange!.resume()
    await done
    expect(taken).toBe(4 * MIB)
  })
})

describe('cancel', () => {
  test.each(['client', 'timeout', 'cancelled'] as const)(
    '%s aborts both signals; the handler may finish',
    async (reason) => {
      const box = await bench.load(`exports.default = async (request, ctx) => {
      console.log('running')
      await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
      console.log(request.signal.aborted, ctx.signal.reason.name)
      return new Response('nobody hears this')
    }`)
      const result = await box.call({}, (exchange, recorded) => {
        const poll = setInterval(() => {
          if (recorded.lines.length === 0) return
          clearInterval(poll)
          exchange.cancel(reason)
          exchange.cancel(reason)
        }, 5)
      })
      expect([result.status, result.reusable, result.events]).toEqual([200, true, ['started', 'head', 'end', 'idle']])
      expect(result.lines).toEqual(['stdout: running', 'stdout: true AbortError'])
    },
  )

  test('the reason names the cause, also when the signal is first asked for afterwards', async () => {
    const box = await bench.load(`let told = ''
      exports.default = async (request, ctx) => {
        if (request.method === 'GET') return new Response(told)
        await request.text()
        told = ctx.signal.reason.name + ': ' + ctx.signal.reason.message
        return new Response()
      }`)
    const body = new Readable({ read() {} })
    await box.call({ method: 'POST', body }, (exchange) => {
      exchange.cancel('timeout')
      body.push(null)
    })
    expect((await box.call()).body).toBe('AbortError: the time-out has passed')
  })

  test('a stream under way is cancelled inside and ends', async () => {
    const box = await bench.load(`let why = 'not cancelled'
      exports.default = (request) => request.method === 'POST' ? new Response(why)
        : new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(1000)) }, cancel(reason) { why = reason.message } }))`)
    const result = await box.call({}, (exchange, recorded) => {
      const poll = setInterval(() => {
        if (recorded.chunks.length === 0) return
        clearInterval(poll)
        exchange.cancel('client')
      }, 5)
    })
    expect([result.events.at(-2), result.events.at(-1), result.reusable]).toEqual(['end', 'idle', true])
    expect((await box.call({ method: 'POST' })).body).toBe('the caller has left')
  })
})

describe('background work and overlap', () => {
  test('idle comes after every waitUntil promise has settled', async () => {
    const box = await bench.load(`let release
      exports.default = (request, { waitUntil }) => {
        if (request.method === 'POST') { release(); return new Response() }
        waitUntil(new Promise((resolve) => { release = resolve }).then(() => console.log('done')))
        waitUntil(Promise.reject(new Error('background')))
        return new Response('early')
      }`)
    let seen: Recorded | null = null
    const done = box.call({}, (_exchange, recorded) => {
      seen = recorded
    })
    await until('the response has ended', () => seen!.events.includes('end'))
    expect(seen!.events.includes('idle')).toBe(false)
    await box.call({ method: 'POST' })
    const { reusable, lines } = await done
    expect(reusable).toBe(true)
    expect(lines).toContain('stdout: done')
    expect(lines[0]).toBe('stderr: waitUntil: Error: background')
  })

  test('overlapping calls keep their answers and their output apart', async () => {
    const box = await bench.load(`exports.default = async (request) => {
      const name = new URL(request.url).pathname
      process.stdout.write('a' + name)
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 20))
      console.log('b' + name)
      return new Response(name)
    }`)
    const results = await Promise.all(Array.from({ length: 20 }, (_, index) => box.call({ target: `/${index}` })))
    for (const [index, { body, lines }] of results.entries()) {
      expect([body, lines]).toEqual([`/${index}`, [`stdout: a/${index}b/${index}`]])
    }
    expect(box.channel.inFlight).toBe(0)
  })

  test('lines are split, unfinished ones come before the end, long ones are cut', async () => {
    const box = await bench.load(`exports.default = () => {
      process.stdout.write('one\\ntwo\\nth'); console.error('err %d', 5); process.stdout.write(Buffer.from('ree'))
      console.log('x'.repeat(100000)); process.stderr.write('no end')
      return new Response()
    }`)
    const { lines } = await box.call()
    expect(lines.slice(0, 3)).toEqual(['stdout: one', 'stdout: two', 'stderr: err 5'])
    expect(lines[3]!.startsWith('stdout: threexxx')).toBe(true)
    expect(lines[3]!.endsWith(' … [cut]')).toBe(true)
    expect(Buffer.byteLength(lines[3]!)).toBeLessThanOrEqual(16 * 1024 + 8)
    expect(lines.slice(4)).toEqual(['stderr: no end'])
  })
})
