// Every route of the OpenAPI document, asked by everybody who may not: nobody, a wrong token, a token of too little scope, and the
// administrator of another namespace, to whom all of this one's things must look like nothing at all.
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'

interface Operation {
  readonly id: string
  readonly method: string
  readonly path: string
}

/** What a token with the scope `invoke` alone may do, and one with `deploy` alone. What is in neither needs `admin` or the platform's own. */
const INVOKE = ['enqueueInvocation', 'cancelInvocation']
const READ = [
  ...['listFunctions', 'getFunction', 'listVersions', 'getLogs', 'listSchedules', 'getSchedule', 'listDeadLetters'],
  ...[
    'getDeadLetter',
    'listInvocations',
    'getInvocation',
    'getResult',
    'getInvocationLogs',
    'listCallbacks',
    'getDoctor',
    'listNamespaces',
    'getNamespace',
    'getQuotas',
  ],
]
const DEPLOY = [
  ...[
    'deployFunction',
    'removeFunction',
    'removeVersion',
    'setAlias',
    'removeAlias',
    'setSchedule',
    'removeSchedule',
    'setFunctionState',
  ],
  ...[
    'redriveDeadLetter',
    'redriveDeadLetters',
    'purgeDeadLetters',
    'removeDeadLetter',
    'listSandboxes',
    'streamEvents',
  ],
  ...['listVolumes', 'getVolume', 'setVolume', 'removeVolume', 'listSecrets', 'getSecret', 'setSecret', 'removeSecret'],
]
const PLATFORM = ['getConfig', 'listWorkers', 'setQuotas']

let platform: Platform
let operations: Operation[]
/** Real names and ids of the namespace `default`, by path parameter; all begin alike, so that a leak is seen. */
const real: Record<string, string> = {}
let invocation: string
let letter: string
const tokens: Record<string, string> = {}

beforeAll(async () => {
  platform = await startPlatform({ env: { FN_STEMS: '0' } })
  const probe = join(ROOT, 'test', 'fixtures', 'functions', 'probe.ts')
  await platform.deploy(probe, '--name', 'crownfunction', '--no-public', '--alias', 'crownalias')
  const send = (path: string, body: unknown, method = 'PUT') =>
    platform.json<{ token: string; id: string }>(path, {
      method,
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
  await send('/v1/volumes/crownvolume', { size: '16m' })
  await send('/v1/secrets/CROWNSECRET', 'x')
  await send('/v1/tokens/crowntoken', { scopes: ['invoke'] })
  await send('/v1/functions/crownfunction/schedules/crownschedule', { cron: '0 0 1 1 *' })
  invocation = (await send('/v1/functions/crownfunction/invocations', 'x', 'POST')).id
  const failing = await platform.request('/fn/crownfunction/throw/crown', {
    headers: { authorization: `Bearer ${platform.token}`, prefer: 'respond-async', 'fn-max-attempts': '1' },
  })
  letter = failing.headers.get('fn-invocation-id')!
  await until('the dead letter is there', async () => {
    const all = await platform.json<{ id: string }[]>('/v1/functions/crownfunction/dead-letters')
    return all.some(({ id }) => id === letter) || `${all.length}`
  })
  const [sandbox] = await platform.json<{ id: string }[]>('/v1/sandboxes')
  Object.assign(real, { alias: 'crownalias', schedule: 'crownschedule', action: 'kill', sandbox: sandbox!.id })
  for (const [name, namespace, scope] of [
    ['invoke', 'shop', 'invoke'],
    ['deploy', 'shop', 'deploy'],
    ['admin', 'shop', 'admin'],
    ['stranger', 'mall', 'admin'],
  ] as const) {
    const init = { method: 'PUT', body: JSON.stringify({ scopes: [scope] }), headers: { 'fn-namespace': namespace } }
    tokens[name] = (await platform.json<{ token: string }>(`/v1/tokens/${name}`, init)).token
  }
  const { paths } = await platform.json<{ paths: Record<string, Record<string, { operationId: string }>> }>(
    '/openapi.json',
  )
  operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(() => path.startsWith('/v1/'))
      .map(([method, { operationId: id }]) => ({ id, method: method.toUpperCase(), path })),
  )
})
afterAll(() => platform.stop())

const NOBODY = '01890000-0000-7000-8000-000000000000'

/** The path with things of `default` in it, or with what is nowhere. */
function fill(path: string, isReal: boolean): string {
  const kind = path.split('/')[2]!
  if (kind === 'namespaces') return path.replace('{name}', isReal ? 'default' : 'shop')
  const NAMES: Record<string, string> = { secrets: 'CROWNSECRET', functions: 'crownfunction' }
  const name = NAMES[kind] ?? `crown${kind.slice(0, -1)}`
  return path.replaceAll(/\{(\w+)\}/g, (_, parameter: string) => {
    if (parameter === 'action') return 'kill'
    if (parameter === 'version') return '1'
    if (parameter === 'name')
      return isReal ? name : name.replace(/crown/i, (word) => (word === 'CROWN' ? 'NOSUCH' : 'nosuch'))
    if (parameter === 'id' && kind === 'sandboxes') return isReal ? real.sandbox! : 'nosuch'
    if (parameter === 'id') return isReal ? (path.includes('dead-letters') ? letter : invocation) : NOBODY
    return isReal ? real[parameter]! : `nosuch${parameter}`
  })
}

/** Status, and what it says with names and ids made alike. */
async function ask(operation: Operation, isReal: boolean, headers: Record<string, string>): Promise<string> {
  const path = fill(operation.path, isReal)
  const abort = new AbortController()
  const hasBody = operation.method === 'PUT' || operation.method === 'POST'
  const response = await fetch(platform.url + path, {
    method: operation.method,
    headers,
    signal: abort.signal,
    ...(hasBody ? { body: '{"no": "such"}' } : {}),
  })
  const isStream = response.headers.get('content-type')?.includes('event-stream')
  const body = isStream ? '' : await response.text()
  abort.abort()
  const shown = path.split('/').slice(3).concat(NOBODY, invocation, letter, real.sandbox!)
  let text = body
  for (const part of shown) if (/crown|nosuch|-/i.test(part) || part === real.sandbox) text = text.replaceAll(part, '…')
  return `${response.status} ${text.replaceAll(/"\d{4}-\d\d-\d\dT[^"]+"/g, '"…"')}`
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

describe('every control route', () => {
  test('is in the document', () => {
    expect(operations.length).toBeGreaterThan(45)
    const known = new Set(operations.map(({ id }) => id))
    expect([...INVOKE, ...READ, ...DEPLOY, ...PLATFORM].filter((id) => !known.has(id))).toEqual([])
  })

  test('is 401 without a token and with a wrong one, and says nothing else', async () => {
    const wrong = `fn_aaaaaaaaaa_${'x'.repeat(43)}`
    for (const operation of operations) {
      for (const headers of [
        {},
        bearer(wrong),
        bearer(tokens.admin!.slice(0, -1)),
        { cookie: `token=${platform.token}` },
      ]) {
        const answer = await ask(operation, true, headers as Record<string, string>)
        expect(answer, operation.id).toMatch(/^401 .*"code":"UNAUTHORIZED"/)
      }
    }
  })

  test('is 403 with a token that lacks its scope, and only then', async () => {
    const lists: Record<string, string[]> = { invoke: [...INVOKE, ...READ], deploy: [...DEPLOY, ...READ] }
    for (const operation of operations) {
      for (const [scope, allowed] of Object.entries(lists)) {
        const answer = await ask(operation, false, bearer(tokens[scope]!))
        if (allowed.includes(operation.id)) expect(answer, `${operation.id} with ${scope}`).not.toMatch(/^40[13] /)
        else expect(answer, `${operation.id} with ${scope}`).toMatch(/^403 .*"code":"FORBIDDEN"/)
      }
      const own = await ask(operation, false, bearer(tokens.admin!))
      if (PLATFORM.includes(operation.id)) expect(own, operation.id).toMatch(/^403 /)
      else expect(own, `${operation.id} with admin`).not.toMatch(/^40[13] /)
    }
  })

  test('shows the administrator of another namespace the same for what is there and what is not', async () => {
    for (const operation of operations) {
      const there = await ask(operation, true, bearer(tokens.stranger!))
      expect(there, operation.id).not.toMatch(/crown/i)
      if (operation.path.includes('{'))
        expect(there, operation.id).toBe(await ask(operation, false, bearer(tokens.stranger!)))
      const named = await ask(operation, true, { ...bearer(tokens.stranger!), 'fn-namespace': 'default' })
      expect(named, operation.id).toMatch(/^403 .*"code":"FORBIDDEN"/)
    }
  })

  test('let nobody change anything of it', async () => {
    for (const path of [
      '/v1/volumes/crownvolume',
      '/v1/secrets/CROWNSECRET',
      '/v1/tokens/crowntoken',
      '/v1/functions/crownfunction/schedules/crownschedule',
      `/v1/functions/crownfunction/dead-letters/${letter}`,
      `/v1/invocations/${invocation}`,
    ])
      expect((await platform.request(path)).status, path).toBe(200)
    const { aliases } = await platform.json<{ aliases: object }>('/v1/functions/crownfunction')
    expect(aliases).toHaveProperty('crownalias')
    const live = await platform.json<{ id: string }[]>('/v1/sandboxes')
    expect(live.map(({ id }) => id)).toContain(real.sandbox)
  })
})

describe('a caller without a token', () => {
  const detail = async (path: string, headers = {}) =>
    ((await (await fetch(platform.url + path, { headers })).json()) as { detail: string }).detail

  test('is not told names, versions or aliases of functions that are not public', async () => {
    expect(await detail('/fn/crownfunctio')).toBe('unknown function crownfunctio')
    for (const reference of ['99', 'crownalia'])
      expect(await detail(`/fn/crownfunction@${reference}`)).toBe('function crownfunction has no such version or alias')
    await platform.deploy(join(ROOT, 'functions', 'hello.ts'), '--name', 'openfunction')
    expect(await detail('/fn/openfunctio')).toContain('did you mean openfunction?')
    expect(await detail('/fn/openfunctio', { 'fn-namespace': 'shop' })).toBe('unknown function openfunctio')
  })

  test('is what the holder of an expired token is', async () => {
    const body = JSON.stringify({ scopes: ['deploy'], expires: '1s' })
    const { token } = await platform.json<{ token: string }>('/v1/tokens/brief', { method: 'PUT', body })
    const seen = new Set<number>()
    await until('it has ended', async () => {
      const { status } = await platform.request('/v1/functions', { headers: bearer(token) })
      seen.add(status)
      return status === 401
    })
    expect([...seen]).toEqual([200, 401])
  })
})
