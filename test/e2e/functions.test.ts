// Every handler form and router of functions/, deployed and called as a user does: `bin/fn deploy`, then plain HTTP.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Platform, startPlatform } from '../support/platform.ts'

let platform: Platform
beforeAll(async () => {
  platform = await startPlatform()
})
afterAll(() => platform?.stop())

const JSON_TYPE = { 'content-type': 'application/json' }
const get = (path: string, init?: RequestInit) => platform.request(path, init)
const post = (path: string, value: unknown) =>
  platform.request(path, { method: 'POST', headers: JSON_TYPE, body: JSON.stringify(value) })

describe('hello', () => {
  beforeAll(() => platform.deploy('functions/hello.ts'))

  test('greets by the query, and says which version answered and how it started', async () => {
    const response = await get('/fn/hello?name=Ada')
    expect(response.status).toBe(200)
    expect(await response.text()).toBe('Hello, Ada!\n')
    expect(response.headers.get('fn-version')).toBe('1')
    expect(response.headers.get('fn-start')).toMatch(/^(cold|stem|thawed|warm)$/)
    expect(response.headers.get('fn-invocation-id')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-/)
    expect(response.headers.get('server-timing')).toMatch(/run;dur=\d/)
  })

  test('answers under its own host name, too', async () => {
    const reply = await platform.rawRequest(
      `GET /?name=Bob HTTP/1.1\r\nHost: hello.localhost:${platform.port}\r\nConnection: close\r\n\r\n`,
    )
    expect(reply.toString()).toMatch(/^HTTP\/1\.1 200 /)
    expect(reply.toString()).toContain('Hello, Bob!')
  })

  test('is invoked by the command line as well', async () => {
    const result = await platform.fn('invoke', 'hello')
    expect(result).toMatchObject({ code: 0 })
    expect(result.stdout).toContain('Hello, world!')
  })
})

describe('express', () => {
  beforeAll(() => platform.deploy('functions/express'))

  test('routes by path, with parameters and query', async () => {
    expect(await (await get('/fn/express/')).text()).toBe('Express on Thaw\n')
    const user = await get('/fn/express/users/a%20b?fields=name')
    expect(await user.json()).toEqual({ id: 'a b', fields: 'name' })
  })

  test('parses a JSON body and sets several cookies', async () => {
    const response = await post('/fn/express/greetings', { name: 'Ada' })
    expect(response.status).toBe(201)
    expect(await response.json()).toEqual({ greeting: 'Hello, Ada!' })
    expect(response.headers.getSetCookie()).toEqual(['seen=1; Path=/; HttpOnly', 'name=Ada; Path=/'])
  })

  test('writes a body in pieces', async () => {
    expect(await (await get('/fn/express/lines')).text()).toBe('one\ntwo\nthree\n')
  })

  test("its own error handler answers what Express and the app's routes throw", async () => {
    const malformed = await get('/fn/express/greetings', { method: 'POST', headers: JSON_TYPE, body: '{"name":' })
    expect(malformed.status).toBe(400)
    const boom = await get('/fn/express/boom')
    expect([boom.status, await boom.json()]).toEqual([500, { error: 'something broke' }])
    const missing = await get('/fn/express/nowhere', { method: 'DELETE' })
    expect([missing.status, await missing.json()]).toEqual([404, { error: 'no route DELETE /nowhere' }])
  })
})

describe('itty', () => {
  beforeAll(() => platform.deploy('functions/itty'))

  test('an unmodified itty-router app runs', async () => {
    expect(await (await get('/fn/itty/hello/Ada')).json()).toBe('Hello, Ada!')
    expect(await (await get('/fn/itty/json')).json()).toEqual([1, 2, 3])
    expect(await (await post('/fn/itty/sum', [1, 2, 4])).json()).toEqual({ sum: 7 })
    expect((await get('/fn/itty/teapot')).status).toBe(418)
    expect((await get('/fn/itty/nowhere')).status).toBe(404)
  })
})

describe('h3', () => {
  beforeAll(() => platform.deploy('functions/h3'))

  test('an unmodified H3 app runs', async () => {
    expect(await (await get('/fn/h3/')).text()).toBe('⚡️ Tadaa!')
    expect(await (await get('/fn/h3/user/42')).json()).toEqual({ id: '42' })
    expect(await (await get('/fn/h3/search?q=a%26b')).json()).toEqual({ q: 'a&b' })
    const echoed = await post('/fn/h3/echo', { nested: { list: [1, null, 'ü'] } })
    expect([echoed.status, echoed.headers.get('x-h3')]).toEqual([201, 'yes'])
    expect(await echoed.json()).toEqual({ nested: { list: [1, null, 'ü'] } })
    expect((await get('/fn/h3/teapot')).status).toBe(418)
  })
})

describe('api', () => {
  beforeAll(() => platform.deploy('functions/api'))

  test('an unmodified Hono app keeps its notes while its sandbox lives', async () => {
    const made = await post('/fn/api/notes', { text: 'buy milk' })
    expect(made.status).toBe(201)
    const note = (await made.json()) as { id: number }
    expect(await (await get(`/fn/api/notes/${note.id}`)).json()).toEqual({ id: note.id, text: 'buy milk' })
    expect((await get(`/fn/api/notes/${note.id}`, { method: 'DELETE' })).status).toBe(204)
    expect((await get(`/fn/api/notes/${note.id}`)).status).toBe(404)
  })

  test('sees repeated query parameters, streams, and runs its middleware', async () => {
    const search = await get('/fn/api/search?q=x&tag=a&tag=b', { headers: { origin: 'https://example.org' } })
    expect(await search.json()).toEqual({ q: 'x', tags: ['a', 'b'] })
    expect(search.headers.get('access-control-allow-origin')).toBe('https://example.org')
    expect(search.headers.get('x-powered-by')).toBe('hono')
    expect(await (await get('/fn/api/lines')).text()).toBe('one\ntwo\nthree\n')
  })

  test('answers its own errors', async () => {
    expect((await post('/fn/api/notes', {})).status).toBe(400)
    expect((await get('/fn/api/boom')).status).toBe(500)
    expect(await (await get('/fn/api/nowhere')).json()).toEqual({ error: 'no such route' })
  })
})

describe('lambda', () => {
  beforeAll(() => platform.deploy('functions/lambda.ts'))

  test('gets the request as an event and answers with a status code', async () => {
    const response = await post('/fn/lambda/total', {
      items: [
        { price: 3, count: 2 },
        { price: 4.5, count: 1 },
      ],
    })
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('application/json')
    expect(await response.json()).toEqual({
      total: 10.5,
      requestId: response.headers.get('fn-invocation-id'),
      functionName: 'lambda',
      hasTimeLeft: true,
    })
    expect((await post('/fn/lambda/total', { items: 'none' })).status).toBe(400)
  })

  test('sees method, path and query in the event', async () => {
    const response = await get('/fn/lambda/a/b?x=1&y=2')
    expect(await response.json()).toEqual({ method: 'GET', path: '/a/b', query: { x: '1', y: '2' } })
  })
})
