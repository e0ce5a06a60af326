// AWS Lambda's form over the wire: payload format 2.0 in, results of every kind out.
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { WireBench } from '../support/wire-process.ts'

const bench = new WireBench()
afterEach(() => bench.stopAll())
afterAll(() => bench.close())

test('the event has payload format 2.0', async () => {
  const box = await bench.load(`exports.handler = async (event) => event`, { form: 'lambda' })
  const { body, all } = await box.call({
    method: 'POST',
    target: '/a%20b/c?x=1&x=2&y=%20',
    headers: [
      'Host',
      'fn.example',
      'X-A',
      '1',
      'x-a',
      '2',
      'Cookie',
      'a=1; b=2',
      'Content-Type',
      'text/plain',
      'X-Forwarded-For',
      '9.9.9.9',
      'User-Agent',
      'test',
    ],
    body: Buffer.from('grüße'),
  })
  expect(all('content-type')).toEqual(['application/json'])
  const event = JSON.parse(body)
  expect(event).toMatchObject({
    version: '2.0',
    routeKey: '$default',
    rawPath: '/a%20b/c',
    rawQueryString: 'x=1&x=2&y=%20',
    cookies: ['a=1', 'b=2'],
    headers: { host: 'fn.example', 'x-a': '1,2', 'content-type': 'text/plain' },
    queryStringParameters: { x: '1,2', y: ' ' },
    requestContext: {
      domainName: 'fn.example',
      domainPrefix: 'fn',
      requestId: '0190-test',
      http: { method: 'POST', path: '/a%20b/c', sourceIp: '9.9.9.9', userAgent: 'test' },
    },
    body: 'grüße',
    isBase64Encoded: false,
  })
  expect(event.requestContext.time).toMatch(/^\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000$/)
})

test('a binary body comes as base64, no body as none', async () => {
  const box = await bench.load(`exports.handler = async (event) => event`, { form: 'lambda' })
  const binary = JSON.parse(
    (await box.call({ method: 'POST', headers: ['content-type', 'image/png'], body: Buffer.of(0, 255) })).body,
  )
  expect([binary.body, binary.isBase64Encoded]).toEqual(['AP8=', true])
  for (const headers of [[], ['content-type', 'text/plain']]) {
    const called = JSON.parse((await box.call({ method: 'POST', headers, body: Buffer.of(65, 255) })).body)
    expect([called.body, called.isBase64Encoded]).toEqual(['Qf8=', true])
  }
  const none = JSON.parse((await box.call()).body)
  expect(['body' in none, none.isBase64Encoded, 'cookies' in none, 'queryStringParameters' in none]).toEqual([
    false,
    false,
    false,
    false,
  ])
})

test('the context and the variables of Lambda are set', async () => {
  const box = await bench.load(
    `exports.handler = async (event, context) => ({ ...context, left: context.getRemainingTimeInMillis(), env: process.env.AWS_LAMBDA_FUNCTION_NAME + process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE })`,
    { form: 'lambda' },
  )
  const got = JSON.parse((await box.call()).body)
  expect(got).toMatchObject({
    awsRequestId: '0190-test',
    functionName: 'x',
    functionVersion: '7',
    memoryLimitInMB: '128',
    env: 'x128',
  })
  expect(got.left).toBeGreaterThan(0)
})

test('results are responses, JSON, or come through the callback', async () => {
  const box = await bench.load(
    `const results = {
       full: { statusCode: 201, headers: { 'X-A': 1, 'content-type': 'text/html' }, multiValueHeaders: { 'x-many': ['1', '2'] }, cookies: ['a=1', 'b=2'], body: '<p>' },
       binary: { statusCode: 200, headers: { 'content-type': 'image/png' }, body: 'AP8=', isBase64Encoded: true },
       text: 'plain', object: { a: 1 }, nothing: undefined, bad: { statusCode: 99 }, header: { statusCode: 200, headers: { 'a b': '1' } } }
     exports.handler = (event, context, callback) => {
       const how = event.rawPath.slice(1)
       if (how === 'throws') throw new Error('sync')
       if (how === 'fails') return callback(new Error('called back'))
       if (how === 'later') return void setTimeout(callback, 5, null, 'later')
       return Promise.resolve(results[how])
     }`,
    { form: 'lambda' },
  )
  const get = (how: string) => box.call({ target: `/${how}` })
  const full = await get('full')
  expect([
    full.status,
    full.body,
    full.all('x-a'),
    full.all('x-many'),
    full.all('set-cookie'),
    full.all('content-type'),
  ]).toEqual([201, '<p>', ['1'], ['1', '2'], ['a=1', 'b=2'], ['text/html']])
  expect([...(await get('binary')).bytes]).toEqual([0, 255])
  expect((await get('text')).body).toBe('"plain"')
  expect((await get('object')).body).toBe('{"a":1}')
  expect((await get('nothing')).body).toBe('null')
  expect((await get('later')).body).toBe('"later"')
  expect((await get('throws')).fault).toMatchObject({ code: 'HANDLER_THREW', message: 'sync' })
  expect((await get('fails')).fault).toMatchObject({ code: 'HANDLER_THREW', message: 'called back' })
  expect((await get('bad')).fault).toMatchObject({
    code: 'INVALID_RESPONSE',
    message: expect.stringContaining('a statusCode of 99'),
  })
  expect((await get('header')).fault?.code).toBe('INVALID_RESPONSE')
})

const LAMBDA = { form: 'lambda' } as const

test('the path comes as it was sent: what was escaped stays so', async () => {
  const box = await bench.load(
    `exports.handler = async (event) => [event.rawPath, event.requestContext.http.path]`,
    LAMBDA,
  )
  for (const path of ['/a%2Fb', '/a%20b', '/%252F', '/gr%C3%BC%C3%9Fe', '/a%3Fb%23c', '/%', '/a+b'])
    expect(JSON.parse((await box.call({ target: `${path}?x=1` })).body)).toEqual([path, path])
})

test('what is undefined or null in a result is not sent, as text least of all', async () => {
  const box = await bench.load(
    `exports.handler = async () => ({ statusCode: '201', headers: { 'access-control-allow-origin': undefined, 'x-null': null, 'x-zero': 0, 'x-no': false },
       multiValueHeaders: { 'x-many': ['1', undefined, 2], 'x-one': 'one', 'x-none': undefined }, cookies: [undefined, 'a=1'], body: undefined })`,
    LAMBDA,
  )
  const { status, headers, bytes } = await box.call()
  expect([status, bytes.length]).toEqual([201, 0])
  expect(headers).toEqual([
    'x-zero',
    '0',
    'x-no',
    'false',
    'x-many',
    '1',
    'x-many',
    '2',
    'x-one',
    'one',
    'set-cookie',
    'a=1',
    'content-length',
    '0',
  ])
})

test('a callback counts however the handler takes it, and so do the methods of the context', async () => {
  const box = await bench.load(
    `const { readFile } = require('node:fs')
     const ways = {
       arguments: function () { const done = arguments[2]; setTimeout(() => done(null, 'arguments'), 5) },
       rest: (...all) => { setTimeout(all[2], 5, null, 'rest') },
       third: (event, context, callback) => { setTimeout(callback, 5, null, 'third') },
       done: (event, context) => { setTimeout(context.done, 5, null, 'done') },
       succeed: (event, context) => context.succeed('succeed'),
       fail: (event, context) => { readFile('/nowhere', (error) => context.fail(error)) },
       file: (event, context) => { readFile(__filename.replace(/^.code/, '/proc') && '/proc/self/status', () => context.done(null, 'file')) },
       nothing: () => {},
       async: async (event, context) => { await new Promise((resolve) => setTimeout(resolve, 5)); return 'async' },
       value: () => 'value',
       leaves: () => { Promise.resolve().then(() => 1) } }
     exports.handler = function (event, context, callback) { return ways[event.rawPath.slice(1)].apply(null, arguments) }
     exports.ways = ways`,
    LAMBDA,
  )
  for (const way of ['arguments', 'rest', 'third', 'done', 'succeed', 'file', 'async', 'value'])
    expect([way, (await box.call({ target: `/${way}` })).body]).toEqual([way, JSON.stringify(way)])
  expect((await box.call({ target: '/fail' })).fault?.message).toContain('ENOENT')
})

test('a handler that returns nothing and leaves nothing that could call back answers null', async () => {
  const handlers = [
    `() => {}`,
    `(event, context) => { Promise.resolve().then(() => 1) }`,
    `(...all) => { setTimeout(() => 1, 5) }`,
  ]
  for (const handler of handlers) {
    const box = await bench.load(`exports.handler = ${handler}`, LAMBDA)
    expect((await box.call()).body).toBe('null')
  }
  const slow = await bench.load(
    `exports.handler = (...all) => { setTimeout(() => setTimeout(all[2], 60, null, 'late'), 60) }`,
    LAMBDA,
  )
  expect((await slow.call()).body).toBe('"late"')
})

describe('response streaming', () => {
  const streaming = (body: string) =>
    bench.load(`exports.handler = awslambda.streamifyResponse(async (event, stream, context) => { ${body} })`, LAMBDA)

  test('writes leave as they come, with the content type of the stream', async () => {
    const box = await streaming(
      `stream.setContentType('text/event-stream'); stream.write('one\\n'); await new Promise((r) => setTimeout(r, 5)); stream.write('two\\n'); stream.end()`,
    )
    const { body, all, status } = await box.call()
    expect([status, body, all('content-type'), all('content-length')]).toEqual([
      200,
      'one\ntwo\n',
      ['text/event-stream'],
      [],
    ])
  })

  test('HttpResponseStream.from gives status, headers and cookies', async () => {
    const box = await streaming(
      `stream = awslambda.HttpResponseStream.from(stream, { statusCode: 418, headers: { 'content-type': 'text/x', 'x-a': '1', 'x-u': undefined }, cookies: ['a=1', 'b=2'] })
       const { pipeline } = require('node:stream/promises'); const { Readable } = require('node:stream')
       await pipeline(Readable.from(['a', 'b']), stream)`,
    )
    const { body, all, status } = await box.call()
    expect([status, body, all('content-type'), all('x-a'), all('x-u'), all('set-cookie')]).toEqual([
      418,
      'ab',
      ['text/x'],
      ['1'],
      [],
      ['a=1', 'b=2'],
    ])
  })

  test('64 MiB pass with back-pressure', async () => {
    const box = await streaming(
      `const { once } = require('node:events'); const chunk = Buffer.alloc(65_536)
       for (let i = 0; i < 1024; i++) if (!stream.write(chunk)) await once(stream, 'drain')
       stream.end()`,
    )
    expect((await box.call()).bytes.length).toBe(64 * 1024 ** 2)
  })

  test('an error before the first write fails the call, one after it cuts the answer; the sandbox stays', async () => {
    const box = await streaming(
      `if (event.rawPath === '/before') throw new Error('before')
       stream.write('part'); await new Promise((r) => setTimeout(r, 5))
       if (event.rawPath === '/after') throw new Error('after')
       if (event.rawPath === '/destroyed') stream.destroy()`,
    )
    expect((await box.call({ target: '/before' })).fault?.message).toBe('before')
    const after = await box.call({ target: '/after' })
    expect([after.body, after.fault?.message, after.reusable]).toEqual(['part', 'after', true])
    expect((await box.call({ target: '/destroyed' })).fault?.message).toContain('destroyed')
    // Nothing is left that could end it.
    expect(await box.call({ target: '/forgotten' })).toMatchObject({ body: 'part', fault: null })
  })
})

test('a handler of Lambda in a bundle whose exports show only when it has run is found', async () => {
  for (const source of [
    `module.exports = (() => { const made = {}; Object.defineProperty(made, 'handler', { enumerable: true, get: () => async (event) => event.rawPath }); return made })()`,
    `module.exports = { __esModule: true, default: { handler: async (event) => event.rawPath } }`,
  ]) {
    const box = await bench.load(source, { form: 'web' })
    expect((await box.call({ target: '/found' })).body).toBe('"/found"')
  }
})

test('a Response that a handler of Lambda returns is sent as such', async () => {
  const box = await bench.load(`exports.handler = async () => new Response('teapot', { status: 418 })`, LAMBDA)
  expect(await box.call()).toMatchObject({ status: 418, body: 'teapot' })
})
