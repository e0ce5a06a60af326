// Loading code over the wire: what counts as a handler, what is said when there is none, and code that plays foul.
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import type { RuntimeError } from '../../runtime/errors.ts'
import { codeOf, WireBench } from '../support/wire-process.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const bench = new WireBench()
afterEach(() => bench.stopAll())
afterAll(() => bench.close())

async function failedLoad(
  source: string,
  code: Parameters<typeof codeOf>[1] = {},
  timeoutMs = 20_000,
): Promise<RuntimeError> {
  const box = await bench.boot()
  return box.channel
    .load(codeOf(source, code), timeoutMs, () => undefined)
    .then(
      () => expect.fail('it loaded'),
      (error: RuntimeError) => error,
    )
}

describe('load', () => {
  test('code that throws fails with its message and position, and what it printed', async () => {
    const lines: string[] = []
    const box = await bench.boot()
    const load = box.channel.load(codeOf(`console.log('hi')\nnull.x`), 20_000, (stream, line) =>
      lines.push(`${stream} ${line}`),
    )
    const error = await load.then(
      () => null,
      (reason: RuntimeError) => reason,
    )
    expect(error).toMatchObject({ code: 'LOAD_FAILED', fault: { code: 'LOAD_FAILED' } })
    expect(error!.message).toBe("TypeError: Cannot read properties of null (reading 'x')")
    expect(error!.fault!.stack).toContain('/code/x.js:2:6')
    expect(lines).toEqual(['stdout hi'])
  })

  test('code that does not parse names file and line', async () => {
    const error = await failedLoad(`let a = 1\nlet b = ;`)
    expect(error.message).toBe("SyntaxError: Unexpected token ';'")
    expect(error.fault!.stack).toContain('/code/x.js:2')
  })

  test.each([
    ['', 'the module exports nothing'],
    ['exports.handle = () => 1; exports.other = 5', 'found handle (function), other (number)'],
    ['exports.default = { get: 1 }', 'an object without fetch; it has get'],
    ['exports.default = {}', 'an object without fetch; it has nothing'],
    ['exports.default = { scheduled() {}, queue() {} }', 'an object without fetch; it has scheduled, queue'],
    ['exports.default = [() => 1]', 'the default export is an array of 1'],
    ['exports.default = 5', 'the default export is a number'],
    ['exports.default = "text"', 'the default export is a string'],
    ['exports.default = null; exports.x = 1', 'found default (null), x (number)'],
    ['exports.default = Promise.resolve(() => 1)', 'the default export is a Promise: wait for it'],
    ['exports.default = function* () {}', 'a generator function'],
    ['exports.default = async function* () {}', 'a generator function'],
    ['exports.default = class Store { get() {} }', 'a class (Store) without fetch(request)'],
    [
      'exports.default = class { constructor() { throw new Error() } }',
      'a class (without a name) without fetch(request)',
    ],
    ['exports.default = { callback() {}, listen() {} }', 'wrap it: export default fromNode(app)'],
    ['exports.default = { routing() {}, ready() {} }', 'wrap it: export default fromNode(app)'],
    ['module.exports = 5', 'module.exports is number'],
    ['const app = () => 1; app.use = app.handle = app; exports.default = app', 'wrap it: export default fromNode(app)'],
  ])('code without a handler fails and says what it found: %j', async (source, found) => {
    const error = await failedLoad(source)
    expect(error.code).toBe('LOAD_FAILED')
    expect(error.message).toContain(found)
  })

  test.each(['exports.default = 5', 'exports.default = class {}', 'exports.default = {}'])(
    'what is refused is told all forms there are: %j',
    async (source) => {
      const { message } = await failedLoad(source)
      for (const form of [
        '(request, ctx)',
        '{ fetch(request, env, ctx)',
        'class { fetch',
        'fromNode(app)',
        'handler = async (event',
      ])
        expect(message).toContain(form)
    },
  )

  test.each([
    ['a method', 'class { async fetch(request) { return new Response(new URL(request.url).pathname) } }'],
    ['a field', 'class { fetch = async (request) => new Response(new URL(request.url).pathname) }'],
    [
      'a method of its parent',
      'class extends (class { fetch(r) { return new Response(new URL(r.url).pathname) } }) {}',
    ],
    ['a static method', 'class { static fetch(r) { return new Response(new URL(r.url).pathname) } }'],
    [
      'a prototype',
      '(() => { function Old() {} Old.prototype.fetch = (r) => new Response(new URL(r.url).pathname); return Old })()',
    ],
  ])('a class that has fetch as %s is called', async (_what, source) => {
    const box = await bench.load(`exports.default = ${source}`)
    expect(await box.call({ target: '/path' })).toMatchObject({ status: 200, body: '/path' })
  })

  test('a class gets ctx and env like a WorkerEntrypoint, and each call an instance', async () => {
    const box = await bench.load(
      `exports.default = class {
         calls = 0
         constructor(ctx, env) { this.ctx = ctx; this.env = env }
         fetch(request, env, ctx) { return Response.json([++this.calls, this.env.A, this.ctx.functionName, env === this.env, ctx === this.ctx]) }
       }`,
      { env: { A: '1' } },
    )
    for (let call = 0; call < 2; call++) expect(JSON.parse((await box.call()).body)).toEqual([1, '1', 'x', true, true])
  })

  test('a Lambda bundle without handler says so', async () => {
    const error = await failedLoad('exports.default = () => 1', { form: 'lambda' })
    expect(error.message).toContain('expected an export named handler')
  })

  test('code that never loads is given up after the time-out', async () => {
    const error = await failedLoad('for (;;);', {}, 100)
    expect(error).toMatchObject({ code: 'LOAD_TIMEOUT', fault: { code: 'LOAD_TIMEOUT' } })
  })

  test('code that exits while loading says with what', async () => {
    const error = await failedLoad('process.exit(9)')
    expect(error).toMatchObject({ code: 'SANDBOX_STOPPED', fault: { code: 'EXITED', data: { exitCode: 9 } } })
  })

  test('a hashbang, a large bundle and many variables load', async () => {
    const env = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`VARIABLE_${index}`, 'x'.repeat(100)]))
    const box = await bench.load(
      `#!/usr/bin/env node\nexports.default = () => new Response(String(Object.keys(process.env).length))\n//${'x'.repeat(3_000_000)}`,
      { env },
    )
    expect(Number((await box.call()).body)).toBeGreaterThanOrEqual(5000)
  })

  test('require finds built-ins, a dynamic import does too, and require.main is somebody else', async () => {
    const box = await bench.load(`exports.default = async () => {
      const fs = await import('node:fs')
      return Response.json([require('node:path').sep, typeof fs.readFileSync, require.main === module, __filename, __dirname])
    }`)
    expect(JSON.parse((await box.call()).body)).toEqual(['/', 'function', false, '/code/x.js', '/code'])
  })

  test.each([
    ['api/index.ts', '/books', 200],
    ['itty/index.ts', '/', 200],
    ['h3/index.ts', '/', 200],
    ['express/index.ts', '/', 200],
  ])('the unmodified app functions/%s loads and answers', async (file, target) => {
    const box = await bench.bundle(`export { default } from './functions/${file}'`, ROOT)
    const { fault, status } = await box.call({ target })
    expect(fault).toBeNull()
    expect(status).toBeGreaterThanOrEqual(200)
  })
})

describe('foul play', () => {
  test.each([
    ['garbage', `Buffer.from('GET / HTTP/1.1\\r\\n\\r\\n')`],
    ['a frame of the other direction', `Buffer.from([0, 0, 0, 0, 2, 1, 0, 0, 0])`],
    ['a huge length', `Buffer.from([255, 255, 255, 255, 8, 1, 0, 0, 0])`],
    ['LOADED again', `Buffer.from([0, 0, 0, 0, 17, 0, 0, 0, 0])`],
    ['READY again', `Buffer.from([0, 0, 0, 0, 16, 0, 0, 0, 0])`],
    ['IDLE of a call that runs', `Buffer.from([0, 0, 0, 0, 20, 1, 0, 0, 0])`],
    ['END without HEAD', `Buffer.from([0, 0, 0, 0, 9, 1, 0, 0, 0])`],
    ['a frame for a call that is not open', `Buffer.from([0, 0, 0, 0, 18, 99, 0, 0, 0])`],
    ['a head with status 100', `Buffer.from([8, 0, 0, 0, 19, 1, 0, 0, 0, 0, 3, 0, 0, 0, 49, 48, 48])`],
  ])('%s on the wire is a broken protocol', async (_name, bytes) => {
    const box = await bench.load(`const fs = require('node:fs')
      exports.default = () => { fs.writeSync(3, ${bytes}); return new Promise(() => {}) }`)
    const { fault, reusable } = await box.call()
    expect([fault?.code, reusable]).toEqual(['PROTOCOL', false])
    expect(box.faults).toHaveLength(1)
  })

  test('globals that the code replaces are not the ones the bootstrap uses', async () => {
    const box = await bench.load(`
      process.nextTick = queueMicrotask = setTimeout = Date.now = process.exit = () => { throw new Error('replaced') }
      require('node:fs').writeSync = () => { throw new Error('replaced') }
      globalThis.Response = globalThis.Headers = globalThis.Buffer2 = undefined
      const answer = { status: 207, headers: new Map([['x-a', 'b']]), body: null }
      exports.default = async (request) => request.method === 'POST' ? answer : Promise.reject('plain')`)
    expect((await box.call()).fault!.message).toBe('plain')
    const { status, headers } = await box.call({ method: 'POST' })
    expect([status, headers.slice(0, 2)]).toEqual([207, ['x-a', 'b']])
  })

  test('a flood of lines blocks the sandbox, not the host', async () => {
    const box = await bench.load(
      `exports.default = () => { for (let n = 0; n < 30000; n++) console.log(n); return new Response('done') }`,
    )
    let longestMs = 0
    let last = performance.now()
    const probe = setInterval(() => {
      longestMs = Math.max(longestMs, performance.now() - last)
      last = performance.now()
    }, 1)
    const { lines, body } = await box.call()
    clearInterval(probe)
    expect([lines.length, body]).toEqual([30_000, 'done'])
    expect(longestMs).toBeLessThan(1000)
  })
})
