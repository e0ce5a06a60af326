// fromNode over the wire: listeners for Node's http server see what they would see behind a real one.

import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { until } from '../support/until.ts'
import { type Recorded, WireBench, type WireProcess } from '../support/wire-process.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const bench = new WireBench()
afterEach(() => bench.stopAll())
afterAll(() => bench.close())

const listener = (body: string): Promise<WireProcess> =>
  bench.bundle(`import { fromNode } from './runtime/handler.ts'\nexport default fromNode(${body})`, ROOT)

describe('fromNode', () => {
  test('a request has raw and joined headers, and the look of a connection', async () => {
    const box = await listener(
      `(req, res) => res.end(JSON.stringify([req.rawHeaders, req.headers, req.headersDistinct['x-a'], req.httpVersion, req.socket.remoteAddress, req.socket.encrypted]))`,
    )
    const raw = ['Host', 'h', 'X-A', '1', 'x-a', '2', 'X-Forwarded-For', '1.2.3.4', 'X-Forwarded-Proto', 'https']
    const { body } = await box.call({ headers: raw })
    expect(JSON.parse(body)).toEqual([
      raw,
      { host: 'h', 'x-a': '1, 2', 'x-forwarded-for': '1.2.3.4', 'x-forwarded-proto': 'https' },
      ['1', '2'],
      '1.1',
      '1.2.3.4',
      true,
    ])
  })

  test('writeHead, write and end stream, and a body that ends at once has its length', async () => {
    const box = await listener(`(req, res) => {
      if (req.url === '/whole') { res.writeHead(200, 'Fine', ['X-A', '1', 'X-A', '2']); res.write('a'); return res.end('b') }
      res.writeHead(202, { 'content-type': 'text/plain' }); res.flushHeaders(); setTimeout(() => { res.write('a'); setTimeout(() => res.end('b'), 5) }, 5)
    }`)
    const whole = await box.call({ target: '/whole' })
    expect([whole.body, whole.all('x-a'), whole.all('content-length'), whole.chunks.length]).toEqual([
      'ab',
      ['1', '2'],
      ['2'],
      1,
    ])
    const parts = await box.call()
    expect([parts.status, parts.body, parts.all('transfer-encoding'), parts.all('connection')]).toEqual([
      202,
      'ab',
      [],
      [],
    ])
  })

  test('HEAD, 204 and 304 have no body', async () => {
    const box = await listener(`(req, res) => { res.statusCode = Number(req.url.slice(1)); res.end('body') }`)
    for (const target of ['/204', '/304']) {
      const { status, bytes } = await box.call({ target })
      expect([status, bytes.length]).toEqual([Number(target.slice(1)), 0])
    }
    const head = await box.call({ method: 'HEAD', target: '/200' })
    expect([head.status, head.bytes.length]).toEqual([200, 0])
  })

  test('a pipe of 64 MiB passes with back-pressure both ways', async () => {
    const box = await listener(`(req, res) => req.pipe(res)`)
    let left = 1024
    const body = new Readable({
      read() {
        this.push(left-- > 0 ? Buffer.alloc(65_536, left & 255) : null)
      },
    })
    let received = 0
    const { events } = await box.upload(body, {}).then((result) => {
      received = result.bytes.length
      return result
    })
    expect(received).toBe(64 * 1024 ** 2)
    expect(events.at(-1)).toBe('idle')
  })

  test('a listener that throws, rejects or destroys fails the call and not the sandbox', async () => {
    const box = await listener(`(req, res) => {
      if (req.url === '/throw') throw new Error('thrown')
      if (req.url === '/reject') return Promise.reject(new Error('rejected'))
      if (req.url === '/mid') { res.write('part'); return setTimeout(() => res.destroy(new Error('mid')), 5) }
      res.destroy()
    }`)
    expect((await box.call({ target: '/throw' })).fault).toMatchObject({ code: 'HANDLER_THREW', message: 'thrown' })
    expect((await box.call({ target: '/reject' })).fault).toMatchObject({ code: 'HANDLER_THREW', message: 'rejected' })
    const mid = await box.call({ target: '/mid' })
    expect([mid.body, mid.fault?.message]).toEqual(['part', 'mid'])
    expect((await box.call()).fault?.code).toBe('HANDLER_THREW')
  })

  test('a status that is no answer fails the call, whole or in parts', async () => {
    const box = await listener(
      `(req, res) => { res.writeHead(101); if (req.url === '/parts') res.flushHeaders(); else res.end() }`,
    )
    for (const target of ['/', '/parts'])
      expect((await box.call({ target })).fault).toMatchObject({
        code: 'HANDLER_THREW',
        message: expect.stringContaining('status'),
      })
  })

  test('a caller who leaves closes request and response', async () => {
    const box = await listener(`(req, res) => {
      if (req.url === '/seen') return res.end(globalThis.seen.sort().join())
      globalThis.seen = []
      req.on('close', () => globalThis.seen.push('req')); res.on('close', () => globalThis.seen.push('res'))
      res.write('part')
    }`)
    let seen: Recorded | null = null
    const done = box.call({}, (exchange, recorded) => {
      seen = recorded
      void until('it runs', () => recorded.chunks.length > 0).then(() => exchange.cancel('client'))
    })
    expect((await done).reusable).toBe(true)
    expect(seen!.status).toBe(200)
    await until('both are closed', async () => (await box.call({ target: '/seen' })).body === 'req,res')
  })

  test('finish and close come once each, in order, and callbacks of writes run', async () => {
    const box = await listener(`(req, res) => {
      if (req.url === '/seen') return res.end(globalThis.seen.join())
      globalThis.seen = []
      for (const name of ['finish', 'close']) res.on(name, () => globalThis.seen.push(name))
      res.write('a', () => globalThis.seen.push('written'))
      res.end('b', () => globalThis.seen.push('ended'))
    }`)
    expect((await box.call()).body).toBe('ab')
    await until('it is closed', async () => (await box.call({ target: '/seen' })).body.endsWith('close'))
    const seen = (await box.call({ target: '/seen' })).body.split(',')
    expect(seen.filter((name) => name === 'finish')).toHaveLength(1)
    expect(seen.filter((name) => name === 'close')).toHaveLength(1)
    expect(seen).toContain('written')
    expect(seen).toContain('ended')
  })

  test('an Express app reads JSON, sets cookies, sends files of text and handles errors', async () => {
    const box = await bench.bundle(
      `import express from 'express'
       import { fromNode } from './runtime/handler.ts'
       const app = express()
       app.use(express.json())
       app.post('/json', (req, res) => { res.cookie('a', '1'); res.status(201).json({ got: req.body, ip: req.ip, host: req.hostname }) })
       app.get('/throw', () => { throw Object.assign(new Error('teapot'), { status: 418, expose: true }) })
       app.get('/stream', (req, res) => { res.type('txt'); res.write('1'); setImmediate(() => res.end('2')) })
       export default fromNode(app)`,
      ROOT,
    )
    const json = await box.call({
      method: 'POST',
      target: '/json',
      headers: ['Host', 'x.y:80', 'Content-Type', 'application/json', 'Content-Length', '7'],
      body: Buffer.from('{"a":1}'),
    })
    expect([json.status, JSON.parse(json.body), json.all('set-cookie')]).toEqual([
      201,
      { got: { a: 1 }, ip: '127.0.0.1', host: 'x.y' },
      ['a=1; Path=/'],
    ])
    expect((await box.call({ target: '/throw' })).status).toBe(418)
    expect((await box.call({ target: '/stream' })).body).toBe('12')
    expect((await box.call({ target: '/missing' })).status).toBe(404)
  })
})
