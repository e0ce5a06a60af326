// Code as other people write it, deployed and called as it is. What is tried is a table of docs/compatibility.md, which this test
// compares; with FN_WRITE_DOCS=1 it writes it.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { InvocationRecord } from '../../worker/api.ts'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'

const FOLDER = join(ROOT, 'test', 'fixtures', 'strangers')
/** What is tried, in the page's words; each is a `describe` below. */
const TRIED = {
  'web-objects':
    '`console.log(request)`, clones, `Request.prototype.text.call(request)`, spreading, `new Request(request)`',
  'response-likes': 'bodies that are a proxy, a stream of Node, a generator, a blob, an `ArrayBuffer`',
  proxy: '`return fetch(url)` and `new Response(r.body, r)` of a compressed upstream',
  'node-listener':
    '`req.socket.destroy()`, `req.destroy()`, `res.destroy()` after the head; `res.setTimeout`, trailers, early hints',
  'express-late-error': 'Express: an error after the head',
  'lambda-forms': 'Lambda: headers that are undefined, `rawPath`, a callback through `arguments`',
  'lambda-stream': 'Lambda: `awslambda.streamifyResponse`, `HttpResponseStream.from`',
  bundles: 'CommonJS made by esbuild, and in the manner of webpack and ncc, of a Lambda handler and of a fetch handler',
  entrypoint: 'a class as default export',
  errors: '`cause`, the parts of an `AggregateError`, `code`; a 404 and a 503 of its own',
} as const

let platform: Platform
let temporary: string
beforeAll(async () => {
  temporary = mkdtempSync(join(tmpdir(), 'thaw-handlers-'))
  platform = await startPlatform()
})
afterAll(async () => {
  await platform?.stop()
  if (temporary !== undefined) rmSync(temporary, { recursive: true, force: true })
})

const deploy = (name: keyof typeof TRIED, ...flags: string[]) => platform.deploy(join(FOLDER, `${name}.ts`), ...flags)
const record = (response: Response): Promise<InvocationRecord> =>
  platform.json(`/v1/invocations/${response.headers.get('fn-invocation-id')}`)

/** The body, or that it broke off. */
async function readOrCut(path: string): Promise<{ status: number; body: string; isCut: boolean }> {
  const response = await platform.request(path)
  let body = ''
  try {
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>)
      body += Buffer.from(chunk).toString()
    return { status: response.status, body, isCut: false }
  } catch {
    return { status: response.status, body, isCut: true }
  }
}

test('web-objects: a request stands what a request stands', async () => {
  await deploy('web-objects')
  const response = await platform.request('/fn/web-objects', { method: 'POST', body: 'text' })
  expect(await response.json()).toEqual({
    inspected: true,
    taken: 'POST',
    added: '1',
    copied: 'text',
    spread: [],
    isRequest: true,
    body: 'text',
    used: true,
  })
  const logs = (await platform.fn('logs', 'web-objects')).stdout
  expect(logs).toContain('Request {')
  expect(logs).toContain('Response {')
})

test('response-likes: a body is known by what it does', async () => {
  await deploy('response-likes')
  for (const way of ['proxy', 'node', 'generator', 'blob', 'bytes']) {
    const response = await platform.request(`/fn/response-likes/${way}`)
    expect([way, response.status, await response.text()]).toEqual([way, 200, 'hello from a body'])
  }
})

test('proxy: what fetch decoded is not labelled as encoded', async () => {
  await deploy('proxy')
  for (const path of ['/gzip', '/br', '/gzip?wrapped']) {
    const response = await platform.request(`/fn/proxy${path}`)
    expect([path, response.headers.get('content-encoding'), (await response.text()).length]).toEqual([path, null, 3400])
  }
  const packed = await platform.request('/fn/proxy/gzip?packed')
  expect([packed.headers.get('content-encoding'), (await packed.text()).length]).toEqual(['gzip', 3400])
  const head = await platform.request('/fn/proxy/gzip', { method: 'HEAD' })
  expect([head.status, head.headers.get('content-encoding')]).toEqual([200, 'gzip'])
})

describe.each(['node-listener', 'express-late-error'] as const)('%s', (name) => {
  beforeAll(() => deploy(name, '--timeout', '20s'))
  const ways = name === 'node-listener' ? ['socket', 'request', 'response'] : ['late']

  test.each(ways)('a connection that the code ends (%s) is cut at once, and the sandbox stays', async (way) => {
    const pid = await (await platform.request(`/fn/${name}/pid`)).text()
    const startedAt = performance.now()
    expect(await readOrCut(`/fn/${name}/${way}`)).toEqual({ status: 200, body: 'part', isCut: true })
    // Far from the time-out of 20 s, which it ran into before.
    expect(performance.now() - startedAt).toBeLessThan(10_000)
    expect(await (await platform.request(`/fn/${name}/pid`)).text()).toBe(pid)
  })
})

test('node-listener: setTimeout runs out, trailers and early hints are taken, a reason phrase is sent', async () => {
  const late = await platform.request('/fn/node-listener/timeout')
  expect([late.status, await late.text()]).toEqual([503, 'timed out by itself'])
  const trailers = await platform.request('/fn/node-listener/trailers')
  expect([trailers.status, trailers.statusText, await trailers.text()]).toEqual([200, 'Here It Is', 'body'])
})

test('lambda-forms: undefined headers are not sent, paths come as sent, callbacks count', async () => {
  await deploy('lambda-forms')
  const now = await platform.request('/fn/lambda-forms/now%2Fhere')
  expect([now.status, now.headers.get('access-control-allow-origin'), now.headers.get('x-path')]).toEqual([
    200,
    null,
    '/now%2Fhere',
  ])
  const back = await platform.request('/fn/lambda-forms/later', { headers: { origin: 'https://a.example' } })
  expect([back.status, await back.text(), back.headers.get('access-control-allow-origin')]).toEqual([
    202,
    'called back',
    'https://a.example',
  ])
})

test('lambda-stream: a streamed response has head, cookies and body', async () => {
  await deploy('lambda-stream')
  const response = await platform.request('/fn/lambda-stream')
  expect([
    response.status,
    response.headers.get('content-type'),
    response.headers.getSetCookie(),
    await response.text(),
  ]).toEqual([201, 'text/x', ['a=1', 'b=2'], 'one two'])
})

describe('bundles', () => {
  const webpack = (exported: string) =>
    `(()=>{"use strict";var e={d:(t,r)=>{for(var n in r)Object.defineProperty(t,n,{enumerable:!0,get:r[n]})}},t={};e.d(t,${exported});module.exports=t})();`

  test.each([
    ['lambda', 'export const handler = async (event) => ({ statusCode: 200, body: event.rawPath })'],
    ['fetch', 'export default { fetch: (request) => new Response(new URL(request.url).pathname) }'],
  ])('of esbuild, of a handler of the kind %s, are called right, minified or not', async (kind, source) => {
    for (const minify of [false, true]) {
      const name = `esbuild-${kind}-${minify ? 'small' : 'large'}`
      const { outputFiles } = await build({
        stdin: { contents: source },
        format: 'cjs',
        bundle: true,
        minify,
        write: false,
      })
      writeFileSync(join(temporary, `${name}.cjs`), outputFiles[0]!.contents)
      await platform.deploy(join(temporary, `${name}.cjs`))
      expect(await (await platform.request(`/fn/${name}/path`)).text()).toBe('/path')
    }
  })

  test.each([
    ['lambda', '{handler:()=>async e=>({statusCode:200,body:e.rawPath})'],
    ['fetch', '{default:()=>({fetch:e=>new Response(new URL(e.url).pathname)})'],
  ])('in the manner of webpack, of a handler of the kind %s, are called right', async (kind, exported) => {
    writeFileSync(join(temporary, `webpack-${kind}.cjs`), webpack(`${exported}}`))
    await platform.deploy(join(temporary, `webpack-${kind}.cjs`))
    expect(await (await platform.request(`/fn/webpack-${kind}/path`)).text()).toBe('/path')
  })

  test('have the form that fn.json says', async () => {
    const both =
      'module.exports = { default: () => new Response("web"), handler: async () => ({ statusCode: 200, body: "lambda" }) }'
    writeFileSync(join(temporary, 'both.cjs'), both)
    await platform.deploy(join(temporary, 'both.cjs'))
    expect(await (await platform.request('/fn/both')).text()).toBe('web')
    writeFileSync(join(temporary, 'both.fn.json'), '{ "form": "lambda" }')
    await platform.deploy(join(temporary, 'both.cjs'))
    expect(await (await platform.request('/fn/both')).text()).toBe('lambda')
  })
})

test('entrypoint: a class is called, one without fetch is refused with all forms', async () => {
  await deploy('entrypoint', '--env', 'GREETING=hello')
  expect(await (await platform.request('/fn/entrypoint/here')).text()).toBe('hello from /here')
  for (const source of ['export default class Store {}', 'export default 5', 'export default { scheduled() {} }']) {
    writeFileSync(join(temporary, 'wrong.ts'), source)
    const { code, stderr } = await platform.fn('deploy', join(temporary, 'wrong.ts'))
    expect([source, code]).toEqual([source, 1])
    for (const form of ['(request, ctx)', 'class { fetch', 'fromNode(app)', 'export const handler'])
      expect(stderr).toContain(form)
  }
})

test('errors: an error is shown whole; its own 404 is an answer, its own 503 a failure', async () => {
  await deploy('errors')
  const thrown = await platform.request('/fn/errors')
  const { stack } = (await thrown.json()) as { stack: string }
  expect(stack).toMatch(
    /both failed[\s\S]*\[cause\]: AggregateError: of several[\s\S]*\[errors\]\[0\]: Error: one[\s\S]*code: 'E_ONE'[\s\S]*\[errors\]\[1\]: Error: two/,
  )
  expect(stack).not.toContain('bootstrap')
  const missing = await platform.request('/fn/errors/404')
  expect(await record(missing)).toMatchObject({ state: 'succeeded', status: 404, error: null })
  const busy = await platform.request('/fn/errors/503')
  expect(await record(busy)).toMatchObject({ state: 'failed', status: 503, error: null })
  const metrics = await (await platform.request('/metrics')).text()
  const counted = (outcome: string) =>
    new RegExp(`thaw_invocations_total\\{[^}]*function="errors",outcome="${outcome}"[^}]*\\} 1`)
  for (const outcome of ['succeeded', 'failed', 'FUNCTION_THREW']) expect(metrics).toMatch(counted(outcome))
})

test('docs/compatibility.md tells what was tried', () => {
  const page = join(ROOT, 'docs', 'compatibility.md')
  const rows = Object.entries(TRIED).map(([name, tried]) => `| ${tried} | ${linkOf(name)} | works |`)
  const table = ['| what is tried | code | result |', '|---|---|---|', ...rows].join('\n')
  const written = readFileSync(page, 'utf8').replace(
    /(<!-- handlers -->\n)[\s\S]*?(\n<!-- end -->)/,
    (_, start, end) => `${start}${table}${end}`,
  )
  if (process.env.FN_WRITE_DOCS === '1') writeFileSync(page, written)
  expect(readFileSync(page, 'utf8')).toBe(written)
  expect(written).toContain(table)
})

function linkOf(name: string): string {
  return name === 'bundles' ? 'made by the test' : `[${name}](../test/fixtures/strangers/${name}.ts)`
}
