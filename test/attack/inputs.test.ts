// What a namespace says to the control API, as large, as deep and as often as it likes: refused with the bound, while a neighbour in another
// namespace is called and what others did stays in the audit log.
import { readdirSync, readFileSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Platform, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'
import { type Neighbour, settleNeighbour } from './neighbour.ts'
import { type Attacker, attackerOf, EVIL, handler } from './uploads.ts'

let platform: Platform
let neighbour: Neighbour
let caller: Attacker
let deployer: Attacker
beforeAll(async () => {
  platform = await startPlatform({ env: { FN_AUDIT_BYTES: '256k', FN_LOG: 'info' } })
  neighbour = await settleNeighbour(platform)
  caller = await attackerOf(platform, ['invoke'])
  deployer = await attackerOf(platform, ['deploy'])
})
afterAll(() => platform.stop())

const undisturbed = { errors: [], coldErrors: [] }

function auditLines(): Record<string, unknown>[] {
  const folder = join(platform.stateDir, 'audit')
  const texts = readdirSync(folder).map((file) => readFileSync(join(folder, file), 'utf8').split('\n').slice(0, -1))
  return texts.flat().map((line) => JSON.parse(line) as Record<string, unknown>)
}

/** Asks for a path again and again over 16 connections. */
async function ask(count: number, path: string, token: string): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 })
  let left = count
  const one = () =>
    new Promise<void>((resolve, reject) => {
      const options = { host: '127.0.0.1', port: platform.port, path, agent }
      get({ ...options, headers: { authorization: `Bearer ${token}` } }, (response) => {
        response.resume()
        response.once('end', resolve)
      }).once('error', reject)
    })
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      while (left-- > 0) await one()
    }),
  )
  agent.destroy()
}

test('a token that may only call cannot push others out of the audit log', async () => {
  await platform.request('/v1/functions/the-evidence', { method: 'DELETE', headers: { 'fn-namespace': 'victim' } })
  const has = () => auditLines().some(({ path }) => path === '/v1/functions/the-evidence')
  await until('the evidence is there', has)
  const before = platform.output().length
  const report = await neighbour.during(() => ask(5000, `/v1/tokens/${'x'.repeat(280)}`, caller.token))
  expect(report).toMatchObject(undisturbed)
  expect(has()).toBe(true)
  const refused = auditLines().filter(({ who, status }) => who === 'invoke' && (status === 403 || status === 429))
  expect(refused.length).toBeGreaterThan(0)
  expect(refused.length).toBeLessThan(10)
  // Nor is there a line of the platform's own log for each.
  expect(platform.output().slice(before).split('\n').length).toBeLessThan(40)
})

const source = handler("return new Response('hi')")
const manifest = (more: object) => JSON.stringify({ entry: 'x.js', form: 'web', ...more })
const DEEP = 100_000
const long = (count: number) => 'x'.repeat(count)

const MANIFESTS: readonly (readonly [string, string, RegExp])[] = [
  [
    '800 kB of CPUs',
    manifest({ limits: { cpusetCpus: `${'0,'.repeat(400_000)}0` } }),
    /at most 1024 characters, got 800001/,
  ],
  ['objects in objects', `{"env":${'{"a":'.repeat(DEEP)}1${'}'.repeat(DEEP)}}`, /deeper than 32 levels/],
  ['lists in a limit', `{"limits":{"memory":${'['.repeat(DEEP)}${']'.repeat(DEEP)}}}`, /deeper than 32 levels/],
  ['a list of 100,000 reasons to retry', manifest({ retry: { on: Array(100_000).fill('oom') } }), /at most 6 entries/],
  [
    '10,000 variables',
    manifest({ env: Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`A${at}`, ''])) }),
    /at most 1000 variables/,
  ],
  [
    '50,000 unknown keys',
    manifest(Object.fromEntries(Array.from({ length: 50_000 }, (_, at) => [`key${at}`, 0]))),
    /at most 256 keys/,
  ],
  [
    '50,000 unknown limits',
    manifest({ limits: Object.fromEntries(Array.from({ length: 50_000 }, (_, at) => [`l${at}`, 0])) }),
    /at most 256 limits/,
  ],
  ['a variable named constructor', manifest({ env: { constructor: '1' } }), /every object has one of this name/],
  ['a secret named constructor', manifest({ secrets: ['constructor'] }), /every object has one of this name/],
  ['a volume of 100 kB', manifest({ volumes: [`a:/${long(100_000)}`] }), /at most 8192 characters/],
  ['100,000 volumes', manifest({ volumes: Array(100_000).fill('a:/b') }), /at most 16 volumes/],
  ['50,000 hosts', manifest({ network: 'bridge', allowHosts: Array(50_000).fill('a.example') }), /at most 64 entries/],
  ['a callback of 100 kB', manifest({ onSuccess: `http://a/${long(100_000)}` }), /at most 2048 characters/],
  ['a time-out of 100 kB', manifest({ timeout: `${'0'.repeat(100_000)}1s` }), /32 characters/],
  ['50,000 ulimits', manifest({ limits: { ulimits: Array(50_000).fill('nofile=1') } }), /at most 32 entries/],
  [
    'a ulimit of 400 digits',
    manifest({ limits: { ulimits: [`nofile=${'9'.repeat(400)}`] } }),
    /ulimits: expected numbers/,
  ],
]

test('each fn.json above a bound is refused with that bound, and no neighbour waits', async () => {
  const report = await neighbour.during(async () => {
    const wrong: string[] = []
    for (const [what, text, why] of MANIFESTS) {
      const { status, text: answer } = await deployer.deploy({ name: 'large', source, manifest: text })
      if (status !== 400 || !why.test(answer) || answer.length > 32_768)
        wrong.push(`${what}: ${status} ${answer.slice(0, 300)}`)
    }
    return wrong
  })
  expect(report.attack).toEqual([])
  expect(report).toMatchObject(undisturbed)
  expect(report.loopStandMs).toBeLessThan(100)
})

test('a secret is not named as what every object has, and an alias named so splits no call of others', async () => {
  for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
    const response = await deployer.request(`/v1/secrets/${name}`, { method: 'PUT', body: 'x' })
    expect([name, response.status]).toEqual([name, 400])
  }
  const { status } = await deployer.deploy({ name: 'constructor', source })
  expect(status).toBe(201)
  const headers = { 'fn-namespace': EVIL }
  expect((await platform.request('/fn/constructor', { headers })).status).toBe(200)
  expect((await platform.request('/fn/constructor@constructor', { headers })).status).toBe(404)
  const weights = JSON.stringify({ weights: { 1: 100 } })
  const path = '/v1/functions/constructor/aliases/constructor'
  expect((await deployer.request(path, { method: 'PUT', body: weights })).status).toBe(200)
  expect((await platform.request('/fn/constructor@constructor', { headers })).status).toBe(200)
  expect((await deployer.request(path, { method: 'DELETE' })).status).toBe(204)
  expect((await platform.request('/fn/constructor@constructor', { headers })).status).toBe(404)
})

test('a schedule whose day does not exist is refused at no cost to the others', async () => {
  const headers = { 'fn-namespace': EVIL }
  const report = await neighbour.during(async () => {
    for (const cron of ['0 0 30 2 *', '59 59 23 31 2,4,6 *', '0 0 1-7 * +1#5']) {
      const path = '/v1/functions/constructor/schedules/never'
      const response = await platform.request(path, { method: 'PUT', headers, body: JSON.stringify({ cron }) })
      expect([cron, response.status]).toEqual([cron, 400])
      expect(await response.text()).toContain('never fires')
    }
  })
  expect(report).toMatchObject(undisturbed)
  expect(report.loopStandMs).toBeLessThan(100)
})

test('every header of a call, above its bound, is a problem of the caller’s, and the function is not called', async () => {
  const { paths } = await platform.json<{ paths: Record<string, Record<string, Operation>> }>('/openapi.json')
  const headers = paths['/fn/{spec}']!.post!.parameters!.filter((one) => one.in === 'header')
  expect(headers.length).toBeGreaterThan(15)
  const wrong: string[] = []
  for (const { name, schema } of headers) {
    const response = await platform.request('/fn/constructor', {
      method: 'POST',
      headers: {
        authorization: `Bearer ${platform.token}`,
        'fn-namespace': EVIL,
        ...(name === 'Prefer' ? {} : { prefer: 'respond-async' }),
        [name]: long((schema.maxLength ?? 20) + 1),
      },
    })
    const answer = await response.text()
    if (response.status !== 400 || !answer.includes('"code"')) wrong.push(`${name}: ${response.status} ${answer}`)
  }
  expect(wrong).toEqual([])
})

interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly schema: { readonly maxLength?: number; readonly maximum?: number }
}
type Operation = { readonly parameters?: readonly Parameter[]; readonly requestBody?: { readonly content: object } }

test('every parameter and body of every route, above its bound, is a problem of the caller’s', async () => {
  const { paths } = await platform.json<{ paths: Record<string, Record<string, Operation>> }>('/openapi.json')
  const answers: string[] = []
  const ask = async (at: string, path: string, init: RequestInit) => {
    const response = await platform.request(path, { headers: { authorization: `Bearer ${platform.token}` }, ...init })
    const type = response.headers.get('content-type')
    const fits = response.status >= 400 && response.status < 500 && type === 'application/problem+json'
    if (!fits) answers.push(`${at}: ${response.status} ${(await response.text()).slice(0, 200)}`)
    else await response.arrayBuffer()
  }
  let asked = 0
  for (const [path, methods] of Object.entries(paths)) {
    if (path.startsWith('/fn/')) continue
    for (const [method, { parameters = [], requestBody }] of Object.entries(methods)) {
      const plain = path.replaceAll(/\{(\w+)\}/g, 'none')
      const init = { method: method.toUpperCase(), ...(requestBody === undefined ? {} : { body: '{}' }) }
      for (const { name, in: where, schema } of parameters) {
        if (where === 'header') continue
        const value = long((schema.maxLength ?? 20) + 1)
        const at =
          where === 'path'
            ? path.replace(`{${name}}`, value).replaceAll(/\{(\w+)\}/g, 'none')
            : `${plain}?${name}=${value}`
        asked++
        await ask(`${method} ${path} ${name}`, at, init)
      }
      if (requestBody !== undefined && 'application/json' in requestBody.content) {
        asked++
        await ask(`${method} ${path} deep`, plain, { ...init, body: '['.repeat(30_000) })
        await ask(`${method} ${path} large`, plain, { ...init, body: long(70_000) })
      }
    }
  }
  expect(asked).toBeGreaterThan(60)
  expect(answers).toEqual([])
})
