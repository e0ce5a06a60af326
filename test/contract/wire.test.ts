// The wire between channel and bootstrap, both real, without a container: requests, responses, streams, logs, errors.
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { WireBench } from '../support/wire-process.ts'

const bench = new WireBench()
afterEach(() => bench.stopAll())
afterAll(() => bench.close())

describe('handler forms', () => {
  test('an object with fetch gets request, env and ctx, with itself as this', async () => {
    const box = await bench.load(
      `module.exports.default = { name: 'me', fetch(request, env, ctx) {
         return Response.json({ self: this.name, env, url: request.url, method: request.method, isRequest: request instanceof Request,
           ctx: { rawUrl: ctx.rawUrl, id: ctx.invocationId, attempt: ctx.attempt, fn: ctx.functionName, version: ctx.version,
                  left: ctx.deadline - Date.now() } })
       } }`,
      { env: { COLOUR: 'blue' } },
    )
    const { body, events, all } = await box.call({
      target: '/a/../b?q=%2f',
      attempt: 2,
      headers: ['Host', 'x:1', 'X-Forwarded-Proto', 'https', 'x-forwarded-host', 'Example.org'],
    })
    const got = JSON.parse(body)
    expect(got).toMatchObject({
      self: 'me',
      env: { COLOUR: 'blue' },
      url: 'https://example.org/b?q=%2f',
      method: 'GET',
      isRequest: true,
    })
    expect(got.ctx).toMatchObject({ rawUrl: '/a/../b?q=%2f', id: '0190-test', attempt: 2, fn: 'x', version: '7' })
    expect(got.ctx.left).toBeGreaterThan(0)
    expect(all('content-type')).toEqual(['application/json'])
    expect(events).toEqual(['started', 'head', 'data', 'end', 'idle'])
  })

  test('a default function gets request and ctx', async () => {
    const box = await bench.load(
      `exports.default = (request, ctx) => new Response(ctx.functionName + new URL(request.url).pathname)`,
    )
    expect((await box.call({ target: '/p' })).body).toBe('x/p')
  })

  test('env appears in process.env, and nothing of the platform does', async () => {
    const box = await bench.load(`exports.default = () => Response.json(process.env)`, { env: { A: '1' } })
    const env = JSON.parse((await box.call()).body)
    expect(env).toMatchObject({ A: '1', HOME: '/tmp', TMPDIR: '/tmp', NODE_ENV: 'production' })
    expect(Object.keys(env).filter((name) => name.startsWith('AWS_'))).toEqual([])
  })

  test('a listener of Node gets real request and response objects', async () => {
    const box = await bench.bundle(
      `import { fromNode } from './runtime/handler.ts'
       export default fromNode((req, res) => {
         const parts = []
         req.on('data', (part) => parts.push(part))
         req.on('end', () => {
           res.setHeader('Set-Cookie', ['a=1', 'b=2'])
           res.statusCode = 201
           res.end(JSON.stringify({ url: req.url, method: req.method, headers: req.headers, body: Buffer.concat(parts).toString() }))
         })
       })`,
      process.cwd(),
    )
    const result = await box.call({
      method: 'PUT',
      target: '/x/../y?z',
      headers: ['Host', 'h', 'X-A', '1', 'X-A', '2'],
      body: Buffer.from('hi'),
    })
    expect(result.status).toBe(201)
    expect(JSON.parse(result.body)).toEqual({
      url: '/x/../y?z',
      method: 'PUT',
      headers: { host: 'h', 'x-a': '1, 2' },
      body: 'hi',
    })
    expect(result.all('set-cookie')).toEqual(['a=1', 'b=2'])
    expect(result.all('content-length')).toEqual([String(result.bytes.length)])
  })
})

describe('responses', () => {
  test('repeated headers and several cookies survive both ways', async () => {
    const box = await bench.load(`exports.default = (request) => {
      const headers = new Headers({ 'X-Seen': request.headers.get('x-many') + '|' + request.headers.get('cookie') })
      headers.append('set-cookie', 'a=1; Path=/'); headers.append('set-cookie', 'b=2'); headers.append('vary', 'a'); headers.append('vary', 'b')
      return new Response('ok', { headers })
    }`)
    const result = await box.call({
      headers: ['Host', 'h', 'X-Many', '1', 'x-many', '2', 'Cookie', 'c=3', 'Cookie', 'd=4'],
    })
    expect(result.all('x-seen')).toEqual(['1, 2|c=3; d=4'])
    expect(result.all('set-cookie')).toEqual(['a=1; Path=/', 'b=2'])
    expect(result.all('vary')).toEqual(['a, b'])
  })

  test('HEAD, 204 and 304 carry no body', async () => {
    const box = await bench.load(`exports.default = (request) => {
      const path = new URL(request.url).pathname
      if (path === '/204') return new Response(null, { status: 204 })
      if (path === '/304') return new Response(null, { status: 304, headers: { etag: '"x"' } })
      if (path === '/stream') return new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(1000)) } }))
      return new Response('hello')
    }`)
    const head = await box.call({ method: 'HEAD' })
    expect([head.status, head.bytes.length, head.all('content-length')]).toEqual([200, 0, ['5']])
    const stream = await box.call({ method: 'HEAD', target: '/stream' })
    expect([stream.status, stream.bytes.length]).toEqual([200, 0])
    const empty = await box.call({ target: '/204' })
    expect([empty.status, empty.bytes.length, empty.all('content-length')]).toEqual([204, 0, []])
    const unchanged = await box.call({ target: '/304' })
    expect([unchanged.status, unchanged.bytes.length, unchanged.all('etag')]).toEqual([304, 0, ['"x"']])
  })

  test('bodies of every kind arrive as they are', async () => {
    const box = await bench.load(`
      const big = 'ü'.repeat(100000)
      const kinds = {
        text: () => new Response('grüße ' + String.fromCodePoint(0x1f600)), lone: () => new Response('a\\ud800b'), bytes: () => new Response(Uint8Array.of(0, 255, 10)),
        buffer: () => new Response(Uint8Array.of(1, 2).buffer), blob: () => new Response(new Blob(['blob'], { type: 'x/y' })), nothing: () => new Response(),
        form: () => new Response(new URLSearchParams({ a: 'b c' })), big: () => new Response(big), json: () => Response.json([1]),
        redirect: () => Response.redirect('http://x/y', 303), subclass: () => new (class Own extends Response {})('own'),
        clone: () => new Response('twice', { headers: { a: 'b' } }).clone(), again: () => { const r = new Response('w', { status: 201, headers: { a: 'b' } }); return new Response(r.body, r) },
        changed: () => { const r = new Response('c'); r.headers.set('x-late', '1'); return r },
      }
      exports.default = (request) => kinds[new URL(request.url).pathname.slice(1)]()`)
    const get = (kind: string) => box.call({ target: `/${kind}` })
    expect((await get('text')).body).toBe('grüße 😀')
    expect((await get('lone')).body).toBe('a\ufffdb')
    expect([...(await get('bytes')).bytes]).toEqual([0, 255, 10])
    expect([...(await get('buffer')).bytes]).toEqual([1, 2])
    const blob = await get('blob')
    expect([blob.body, blob.all('content-type')]).toEqual(['blob', ['x/y']])
    const nothing = await get('nothing')
    expect([nothing.status, nothing.bytes.length, nothing.headers]).toEqual([200, 0, ['content-length', '0']])
    const form = await get('form')
    expect([form.body, form.all('content-type')]).toEqual([
      'a=b+c',
      ['application/x-www-form-urlencoded;charset=UTF-8'],
    ])
    const big = await get('big')
    expect([big.body === 'ü'.repeat(100_000), big.all('content-length')]).toEqual([true, ['200000']])
    expect((await get('json')).body).toBe('[1]')
    const redirect = await get('redirect')
    expect([redirect.status, redirect.all('location')]).toEqual([303, ['http://x/y']])
    expect((await get('subclass')).body).toBe('own')
    const clone = await get('clone')
    expect([clone.body, clone.all('a')]).toEqual(['twice', ['b']])
    const again = await get('again')
    expect([again.status, again.body, again.all('a')]).toEqual([201, 'w', ['b']])
    expect((await get('changed')).all('x-late')).toEqual(['1'])
  })

  test('what is no response is refused with what was returned', async () => {
    const box = await bench.load(`
      const answers = ['text', undefined, { statusCode: 200 }, 42, Response.error(), new Response('x')]
      answers[5].text()
      let next = 0
      exports.default = async () => answers[next++]`)
    const seen: string[] = []
    for (let index = 0; index < 6; index++) {
      const { fault, reusable } = await box.call()
      expect([fault?.code, reusable]).toEqual(['INVALID_RESPONSE', true])
      seen.push(fault!.message.replace('the handler must return a Response, it returned ', ''))
    }
    expect(seen).toEqual([
      "string 'text'",
      'undefined',
      'object { statusCode: 200 }',
      'number 42',
      'a Response of status 0',
      'a Response whose body was already read',
    ])
  })
})

describe('errors', () => {
  test('a thrown error has its message and a stack in the code’s own lines and columns', async () => {
    const box = await bench.load(`exports.default = () => {\n  throw new TypeError('no good') }`)
    const { fault, events, reusable } = await box.call()
    expect(fault).toMatchObject({ code: 'HANDLER_THREW', message: 'TypeError: no good' })
    expect(fault!.stack).toContain('/code/x.js:2:9')
    expect([events, reusable]).toEqual([['started', 'failed', 'idle'], true])
    expect((await box.call()).fault?.code).toBe('HANDLER_THREW')
  })

  test('the first line keeps its columns', async () => {
    const box = await bench.load(`exports.default = () => { throw new Error('x') }`)
    expect((await box.call()).fault!.stack).toContain('/code/x.js:1:33')
  })

  test('anything may be thrown, rejected, or have a cause', async () => {
    const box = await bench.load(`
      const fail = [() => { throw 'a string' }, () => Promise.reject(null), async () => { throw { code: 7 } }, () => { throw new Error('outer', { cause: new Error('inner') }) },
        () => { throw { get message() { throw 1 } } }]
      let next = 0
      exports.default = () => fail[next++]()`)
    expect((await box.call()).fault!.message).toBe('a string')
    expect((await box.call()).fault!.message).toBe('null')
    expect((await box.call()).fault!.message).toBe('{ code: 7 }')
    expect((await box.call()).fault!.stack).toMatch(/Error: outer[\s\S]*\[cause\]: Error: inner/)
    expect((await box.call()).fault!.message).toBe('{ message: [Getter] }')
  })

  test('no frame of the platform is shown, neither in a stack nor in what the code prints', async () => {
    const box = await bench.load(`
      const fail = () => { throw Object.assign(new Error('outer', { cause: new Error('inner') }), { code: 'X' }) }
      exports.default = async (request) => {
        try { fail() } catch (error) { console.error(error); console.log(error.stack) }
        if (request.url.endsWith('/all')) await Promise.any([Promise.reject(new Error('one')), Promise.reject(new Error('two'))])
        fail()
      }`)
    const { fault, lines } = await box.call()
    const shown = [...lines, ...fault!.stack!.split('\n')]
    expect(shown.filter((line) => line.includes('bootstrap'))).toEqual([])
    expect(shown.filter((line) => line.includes('node:internal'))).toEqual([])
    expect(shown.filter((line) => line.includes('/code/x.js')).length).toBeGreaterThan(6)
    expect(fault!.stack).toMatch(/code: 'X'[\s\S]*\[cause\]: Error: inner/)
    const all = (await box.call({ target: '/all' })).fault!
    expect(all.message).toBe('AggregateError: All promises were rejected')
    expect(all.stack).toMatch(/\[errors\]\[0\]: Error: one[\s\S]*\[errors\]\[1\]: Error: two/)
  })

  test('a body that fails after the head fails the call there', async () => {
    const box = await bench.load(`exports.default = () => {
      let n = 0
      return new Response(new ReadableStream({ async pull(c) { if (n++ > 0) { await new Promise((r) => setTimeout(r, 5)); throw new Error('mid') } c.enqueue(new TextEncoder().encode('part')) } }))
    }`)
    const { fault, events, body, reusable } = await box.call()
    expect([fault?.code, fault?.message, body, reusable]).toEqual(['HANDLER_THREW', 'mid', 'part', true])
    expect(events).toEqual(['started', 'head', 'data', 'failed', 'idle'])
  })

  test('a body of other things than bytes fails the call', async () => {
    const box = await bench.load(
      `exports.default = () => new Response(new ReadableStream({ start(c) { c.enqueue(5); c.close() } }))`,
    )
    const { fault } = await box.call()
    expect(fault).toMatchObject({
      code: 'HANDLER_THREW',
      message: expect.stringContaining('gave number 5 instead of bytes'),
    })
  })

  test('process.exit ends the sandbox with its code', async () => {
    const box = await bench.load(`exports.default = () => { console.log('bye'); process.exit(3) }`)
    const { fault, reusable, lines } = await box.call()
    expect(fault).toMatchObject({
      code: 'EXITED',
      message: "the function's process exited with code 3",
      data: { exitCode: 3 },
    })
    expect([reusable, lines]).toEqual([false, ['stdout: bye']])
  })

  test.each([
    ['an exception outside the handler', `setTimeout(() => { throw new Error('late') }, 1)`],
    ['an unhandled rejection', `Promise.reject(new Error('late'))`],
  ])('%s ends the sandbox and says why', async (_name, cause) => {
    const box = await bench.load(`exports.default = () => { ${cause}; return new Promise(() => {}) }`)
    const { fault, reusable, lines } = await box.call()
    expect(fault).toMatchObject({ code: 'EXITED', data: { exitCode: 1 } })
    expect(fault!.message).toBe("the function's process ended by an error nobody caught: late")
    expect(fault!.stack).toContain('/code/x.js:1:')
    expect([reusable, lines[0]]).toEqual([false, 'stderr: Uncaught Error: late'])
    expect(await box.exited).not.toBe(0)
  })

  test('a killed process fails the call that ran', async () => {
    const box = await bench.load(`exports.default = () => { console.log('runs'); return new Promise(() => {}) }`)
    const { fault, reusable } = await box.call({}, async (_exchange, recorded) => {
      await expect.poll(() => recorded.lines.length).toBe(1)
      process.kill(box.pid, 'SIGKILL')
    })
    expect([fault?.code, reusable]).toEqual(['EXITED', false])
  })

  test('a process that ended before it read the call says that nothing ran', async () => {
    const box = await bench.load(`exports.default = () => new Response('ok')`)
    process.kill(box.pid, 'SIGSTOP')
    const { fault, reusable } = await box.call({}, () => process.kill(box.pid, 'SIGKILL'))
    expect([fault?.code, reusable]).toEqual(['NOT_SENT', false])
    expect((await box.call()).fault?.code).toBe('NOT_SENT')
  })
})
