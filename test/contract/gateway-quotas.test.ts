// The routes of namespaces and quotas, who may use them, and the rate of requests, over HTTP on fakes.

import { v7 } from 'uuid'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MOST_HELD, MOST_STREAMS } from '../../gateway/auth/held-requests.ts'
import { NameIndex } from '../../worker/registry/name-index.ts'
import { Tokens } from '../../worker/registry/tokens.ts'
import { TestGateway, TOKEN } from '../support/gateway.ts'
import { quotasInMemory } from '../support/quota-book.ts'
import { realClock } from '../support/real-clock.ts'
import { sampleRecord } from '../support/samples.ts'
import { until } from '../support/until.ts'

let gateway: TestGateway
let quotas: ReturnType<typeof quotasInMemory>
let token: string
let deployer: string
beforeEach(async () => {
  quotas = quotasInMemory()
  const tokens = new Tokens(documentsInMemory() as never, realClock)
  const make = async (name: string, scope: 'invoke' | 'deploy') =>
    (await tokens.create({ namespace: 'shop', name, scopes: [scope], expiresInMs: null, rate: null })).value
  token = await make('ci', 'invoke')
  deployer = await make('deployer', 'deploy')
  gateway = await TestGateway.start({ quotas, tokens })
})
afterEach(() => gateway.stop())

function documentsInMemory() {
  const values = new Map<string, unknown>()
  let tell: (changed: readonly string[]) => void = () => undefined
  const names = new Map<string, NameIndex>()
  const namesOf = (namespace: string): NameIndex => names.get(namespace) ?? new NameIndex()
  return {
    namespaces: () => [...names.keys()].sort(),
    names: namesOf,
    get: (key: string) => values.get(key),
    entries: () => values.entries(),
    put: async (key: string, value: unknown) => {
      values.set(key, value)
      const [namespace, name] = key.split('/') as [string, string]
      const index = namesOf(namespace)
      index.add(name)
      names.set(namespace, index)
      tell([key])
      return true
    },
    onChange: (listener: (changed: readonly string[]) => void) => {
      tell = listener
    },
  }
}

const put = (name: string, body: unknown, headers: Record<string, string> = {}) =>
  gateway.fetch(`/v1/namespaces/${name}/quotas`, { method: 'PUT', body: JSON.stringify(body), headers })
const as = () => ({ authorization: `Bearer ${token}` })

describe('quotas over HTTP', () => {
  test('are set by key, leave the others, and go back to the default', async () => {
    const set = await put('shop', { functions: 3, memory: '1g', secrets: 'none' })
    expect(set.status).toBe(200)
    expect(await set.json()).toMatchObject({
      functions: { unit: 'number', kind: 'held', bound: 3, inUse: null, source: 'namespace' },
      memory: { unit: 'bytes', bound: 1024 ** 3 },
      secrets: { bound: null, source: 'namespace' },
      schedules: { bound: 1000, source: 'default' },
    })
    await put('shop', { functions: 'default' })
    const answer = await gateway.fetch('/v1/namespaces/shop/quotas')
    expect(await answer.json()).toMatchObject({
      functions: { bound: 2000, source: 'default' },
      memory: { bound: 1024 ** 3 },
    })
  })

  test('a token of the namespace reads them and sets none; of another it sees nothing', async () => {
    const read = await gateway.fetch('/v1/namespaces/shop', { headers: as() })
    expect(read.status).toBe(200)
    expect(await read.json()).toMatchObject({ name: 'shop', tokens: 2, quotas: { functions: { bound: 2000 } } })
    expect((await put('shop', { functions: 'none' }, as())).status).toBe(403)
    for (const path of ['/v1/namespaces/mall', '/v1/namespaces/mall/quotas'])
      expect((await gateway.fetch(path, { headers: as() })).status).toBe(403)
    expect(quotas.quotaOf('shop', 'functions')).toBe(2000)
  })

  test('namespaces are listed for the platform’s token; a token of one sees that one', async () => {
    gateway.registry.add('hello', {}, 'mall')
    await put('empty', { functions: 1 })
    const names = async (headers = {}) =>
      ((await (await gateway.fetch('/v1/namespaces', { headers })).json()) as { name: string }[]).map(
        ({ name }) => name,
      )
    expect(await names()).toEqual(['empty', 'mall', 'shop'])
    expect(await names(as())).toEqual(['shop'])
  })

  test.each([
    [{ function: 3 }, /there is no quota "function"; did you mean functions/],
    [{ constructor: 3 }, /there is no quota "constructor"/],
    [{ functions: -1, memory: 'lots' }, /functions: expected a whole number.*; memory: expected a size/],
    [[], /expected \{"functions": 20/],
  ])('%j is refused with all that is wrong', async (body, message) => {
    const answer = await put('shop', body)
    expect(answer.status).toBe(400)
    expect(((await answer.json()) as { detail: string }).detail).toMatch(message)
  })

  test('a name that is no namespace is refused', async () => {
    expect((await put('Not.One', { functions: 1 })).status).toBe(400)
  })
})

describe('requests a second', () => {
  test('of one namespace are bounded before anything else, without a token too; another notices nothing', async () => {
    gateway.registry.add('hello', { public: true }, 'shop')
    gateway.registry.add('hello', { public: true }, 'mall')
    await put('shop', { requestsPerSecond: 2 })
    const call = (namespace: string) =>
      gateway.fetch('/fn/hello', { anonymous: true, headers: { 'fn-namespace': namespace } })
    const statuses = []
    for (let count = 0; count < 10; count++) statuses.push((await call('shop')).status)
    expect(statuses.filter((status) => status === 200).length).toBeLessThan(10)
    const refused = await until429(() => call('shop'))
    expect(refused.headers.get('retry-after')).toBe('1')
    expect(await refused.json()).toMatchObject({
      status: 429,
      code: 'QUOTA_EXCEEDED',
      quota: 'requestsPerSecond',
      bound: 2,
      inUse: expect.any(Number),
    })
    for (let count = 0; count < 10; count++) expect((await call('mall')).status).toBe(200)
    const metrics = await (await gateway.fetch('/metrics')).text()
    expect(metrics).toMatch(/^thaw_quota_refused_total\{quota="requestsPerSecond",namespace="shop"\} [1-9]/m)
  })

  test('count calls of the control API, and the platform’s own token gets through', async () => {
    await put('shop', { requestsPerSecond: 1 })
    await until429(() => gateway.fetch('/v1/functions', { headers: as() }))
    expect((await put('shop', { requestsPerSecond: 'none' })).status).toBe(200)
    expect((await gateway.fetch('/v1/functions', { headers: as() })).status).toBe(200)
  })
})

describe('control calls of one namespace', () => {
  const abort = new AbortController()
  const open = (path: string, authorization = `Bearer ${deployer}`) =>
    gateway.fetch(path, { headers: { authorization }, signal: abort.signal })

  test('that stay open are bounded; another’s and the platform’s own are not held up', async () => {
    const id = v7()
    gateway.lane.kept.set(id, { record: sampleRecord(id, { namespace: 'shop' }), result: null })
    let asked = 0
    gateway.lane.result = () => {
      asked++
      return new Promise(() => {})
    }
    const waiting: Promise<unknown>[] = []
    for (let count = 0; count < MOST_HELD; count++)
      waiting.push(open(`/v1/invocations/${id}/result?wait=60s`).catch(() => null))
    await until('all wait', () => asked === MOST_HELD)
    const refused = await gateway.fetch('/v1/functions', { headers: as() })
    expect(refused.status).toBe(429)
    expect(refused.headers.get('retry-after')).toBe('1')
    expect(await refused.json()).toMatchObject({ quota: 'controlRequests', bound: MOST_HELD, inUse: MOST_HELD })
    expect((await gateway.fetch('/v1/functions')).status).toBe(200)
    abort.abort()
    await Promise.all(waiting)
    await until('they are over', async () => (await gateway.fetch('/v1/functions', { headers: as() })).status === 200)
  })

  test('that follow events or logs are bounded, so that what a function prints does not go to hundreds', async () => {
    const own = new AbortController()
    const follow = (path: string, authorization = `Bearer ${deployer}`) =>
      gateway.fetch(path, { headers: { authorization }, signal: own.signal })
    gateway.registry.add('noisy', {}, 'shop')
    for (let count = 0; count < MOST_STREAMS; count++) {
      const path = count % 2 === 0 ? '/v1/events' : '/v1/functions/noisy/logs?%66ollow=true'
      expect((await follow(path)).status).toBe(200)
    }
    const refused = await follow('/v1/functions/noisy/logs?follow=true')
    expect(refused.status).toBe(429)
    expect(await refused.json()).toMatchObject({ quota: 'streams', bound: MOST_STREAMS, inUse: MOST_STREAMS })
    expect((await follow('/v1/functions/noisy/logs')).status).toBe(200)
    expect((await follow('/v1/events', `Bearer ${TOKEN}`)).status).toBe(200)
    own.abort()
    await until('they are over', async () => {
      const again = new AbortController()
      const answer = await gateway.fetch('/v1/events', {
        headers: { authorization: `Bearer ${deployer}` },
        signal: again.signal,
      })
      again.abort()
      return answer.status === 200
    })
  })

  test('that read are answered eight at a time, the others in their turn', async () => {
    gateway.registry.add('noisy', {}, 'shop')
    const reading: (() => void)[] = []
    let most = 0
    gateway.worker.logs = () => {
      const read = new Promise<never[]>((resolve) => reading.push(() => resolve([])))
      most = Math.max(most, reading.length)
      return read
    }
    const read = async () => {
      const answer = await gateway.fetch('/v1/functions/noisy/logs', {
        headers: { authorization: `Bearer ${deployer}` },
      })
      return [answer.status, await answer.text()]
    }
    const all = Promise.all(Array.from({ length: 28 }, read))
    await until('eight are read', () => reading.length === 8)
    // The platform's own waits for none of them.
    expect((await gateway.fetch('/v1/functions')).status).toBe(200)
    for (let answered = 0; answered < 28; answered++) {
      await until('one more is read', () => reading.length > 0)
      reading.shift()!()
    }
    expect(new Set((await all).map(String))).toEqual(new Set(['200,[]']))
    expect(most).toBe(8)
  })
})

test('the description of the API is made once for all callers', async () => {
  const texts = await Promise.all(
    Array.from({ length: 3 }, async () => (await gateway.fetch('/openapi.json', { anonymous: true })).text()),
  )
  expect(new Set(texts).size).toBe(1)
  expect(JSON.parse(texts[0]!)).toMatchObject({ openapi: '3.1.0' })
})

async function until429(call: () => Promise<Response>): Promise<Response> {
  for (let count = 0; count < 20; count++) {
    const answer = await call()
    if (answer.status === 429) return answer
    await answer.arrayBuffer()
  }
  throw new Error('never refused')
}
