// AWS Lambda's form over the wire: payload format 2.0 in, results of every kind out.
import { afterAll, afterEach, expect, test } from 'vitest'
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
    rawPath: '/a b/c',
    rawQueryString: 'x=1&x=2&y=%20',
    cookies: ['a=1', 'b=2'],
    headers: { host: 'fn.example', 'x-a': '1,2', 'content-type': 'text/plain' },
    queryStringParameters: { x: '1,2', y: ' ' },
    requestContext: {
      domainName: 'fn.example',
      domainPrefix: 'fn',
      requestId: '0190-test',
      http: { method: 'POST', path: '/a b/c', sourceIp: '9.9.9.9', userAgent: 'test' },
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
