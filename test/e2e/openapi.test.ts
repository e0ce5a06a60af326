// The OpenAPI document against what the platform really answers: every operation of it is made at least once, with a status and a
// body that the document promises.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { breaches, type JsonSchema, type Schemas } from '../support/json-schema.ts'
import { type Platform, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'

interface Operation {
  readonly operationId: string
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, { schema?: JsonSchema }>> }>>
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Schemas }
}

let platform: Platform
let document: Document
const made = new Set<string>()
beforeAll(async () => {
  platform = await startPlatform({ env: { FN_STEMS: '0' } })
  document = await platform.json('/openapi.json')
  await platform.deploy('functions/echo.ts')
  await platform.deploy('test/fixtures/functions/probe.ts')
})
afterAll(() => platform.stop())

/** The operation a request is, the one with the fewest parameters where several fit. */
function operationOf(method: string, path: string): Operation {
  const parts = path.split('?')[0]!.split('/')
  const fitting = Object.keys(document.paths).filter((pattern) => {
    const wanted = pattern.split('/')
    return wanted.length === parts.length && wanted.every((part, at) => part.startsWith('{') || part === parts[at])
  })
  const [pattern = ''] = fitting.sort((a, b) => a.split('{').length - b.split('{').length)
  const operation = document.paths[pattern]?.[method.toLowerCase()]
  if (operation === undefined) throw new Error(`${method} ${path} is not in the document`)
  return operation
}

/** Makes a request and holds the answer against the document. Gives its JSON; null when it has none. */
async function make(method: string, path: string, status: number, body?: unknown): Promise<unknown> {
  const operation = operationOf(method, path)
  made.add(operation.operationId)
  const at = `${method} ${path}`
  const sent = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }
  const authorization = `Bearer ${platform.token}`
  const abort = new AbortController()
  const response = await platform.request(path, { method, ...sent, headers: { authorization }, signal: abort.signal })
  expect(response.status, at).toBe(status)
  const promised = operation.responses[status] ?? operation.responses.default
  if (status < 400 && !path.startsWith('/fn/')) expect(Object.keys(operation.responses), at).toContain(`${status}`)
  const type = response.headers.get('content-type')?.split(';')[0] ?? ''
  if (type === 'text/event-stream') {
    abort.abort()
    return null
  }
  const text = await response.text()
  const isJson = /[/+]json$/.test(type)
  const json = isJson ? JSON.parse(text) : null
  if (text === '' || path.startsWith('/fn/')) return json
  const media = promised?.content?.[type] ?? promised?.content?.['*/*']
  expect(media, `${at}: ${type} of ${Object.keys(promised?.content ?? {})}`).toBeDefined()
  if (isJson && media?.schema !== undefined)
    expect(breaches(json, media.schema, document.components.schemas), at).toEqual([])
  return json
}

const idOf = async (answer: Promise<unknown>): Promise<string> => ((await answer) as { id: string }).id

async function callFunctions(): Promise<void> {
  for (const method of ['GET', 'PUT', 'POST', 'DELETE', 'OPTIONS', 'HEAD', 'PATCH']) {
    await make(method, '/fn/echo', 200)
    await make(method, '/fn/echo/below', 200)
  }
  await make('GET', '/v1/functions?limit=1', 200)
  await make('GET', '/v1/functions/echo', 200)
  await make('GET', '/v1/functions/echo/versions', 200)
  await make('PUT', '/v1/functions/echo', 400, 'no tar')
  await make('DELETE', '/v1/functions/echo/versions/1', 409)
  await make('PUT', '/v1/functions/echo/aliases/prod', 200, { weights: { 1: 100 } })
  await make('PUT', '/v1/functions/echo/aliases/prod', 400, { weights: { 1: 50 } })
  await make('DELETE', '/v1/functions/echo/aliases/prod', 204)
  await make('GET', '/v1/functions/echo/logs', 200)
  await make('GET', '/v1/functions/nobody', 404)
}

async function queueCalls(): Promise<void> {
  await make('PUT', '/v1/functions/echo/state', 200, { paused: true })
  const held = await idOf(make('POST', '/v1/functions/echo/invocations', 202, 'x'))
  await make('GET', `/v1/invocations/${held}/result`, 202)
  await make('DELETE', '/v1/functions/echo', 409)
  await make('DELETE', `/v1/invocations/${held}`, 200)
  await make('DELETE', `/v1/invocations/${held}`, 409)
  await make('PUT', '/v1/functions/echo/state', 200, { paused: false })
  const run = await idOf(make('POST', '/v1/functions/echo/invocations', 202, 'x'))
  await make('GET', `/v1/invocations/${run}/result?wait=30s`, 200)
  await make('GET', `/v1/invocations/${run}`, 200)
  await make('GET', `/v1/invocations/${run}/logs`, 200)
  await make('GET', `/v1/invocations/${run}/callbacks`, 200)
  await make('GET', '/v1/invocations', 200)
}

async function failCalls(): Promise<void> {
  const headers = { authorization: `Bearer ${platform.token}`, prefer: 'respond-async', 'fn-max-attempts': '1' }
  const letters = '/v1/functions/probe/dead-letters'
  const { id } = (await (await platform.request('/fn/probe/throw/it', { headers })).json()) as { id: string }
  await until('the dead letter is there', async () => (await platform.request(`${letters}/${id}`)).status === 200)
  await make('GET', letters, 200)
  await make('GET', `${letters}/${id}`, 200)
  await make('GET', `/v1/invocations/${id}/result`, 500)
  await make('POST', `${letters}/${id}/redrive`, 200)
  await until('it is there again', async () => (await platform.request(`${letters}/${id}`)).status === 200)
  await make('DELETE', `${letters}/${id}`, 204)
  await make('POST', `${letters}/redrive`, 200)
  await make('DELETE', letters, 200)
}

async function setThings(): Promise<void> {
  for (const [path, body, set = 200] of [
    ['/v1/functions/echo/schedules/daily', { cron: '0 0 1 1 *' }],
    ['/v1/secrets/KEY', 'value'],
    ['/v1/volumes/bulk', { size: '16m' }],
    ['/v1/networks/net', {}],
    ['/v1/tokens/ci', { scopes: ['invoke'], rate: '5/s' }, 409],
  ] as const) {
    await make('PUT', path, 201, body)
    await make('PUT', path, set, body)
    await make('GET', path, 200)
    await make('GET', path.slice(0, path.lastIndexOf('/')), 200)
    await make('DELETE', path, 204)
    await make('GET', path, 404)
  }
  // A gigabyte, of which nothing is written.
  await make('PUT', '/v1/volumes/unsaid', 201)
  await make('DELETE', '/v1/volumes/unsaid', 204)
  await make('GET', '/v1/namespaces', 200)
  await make('GET', '/v1/namespaces/default', 200)
  await make('PUT', '/v1/namespaces/spare/quotas', 200, { functions: 3, memory: 'none' })
  await make('PUT', '/v1/namespaces/spare/quotas', 400, { functions: 'many' })
  await make('GET', '/v1/namespaces/spare/quotas', 200)
  await make('GET', '/v1/webhook-secret', 200)
  await make('POST', '/v1/webhook-secret/rotate', 200)
}

async function askThePlatform(): Promise<void> {
  for (const path of ['/', '/healthz', '/readyz', '/metrics', '/openapi.json']) await make('GET', path, 200)
  for (const path of ['/v1/doctor', '/v1/workers', '/v1/config', '/v1/events']) await make('GET', path, 200)
  let resting = ''
  await until('a sandbox rests', async () => {
    const all = (await make('GET', '/v1/sandboxes', 200)) as { id: string; state: string }[]
    resting = all.find(({ state }) => state === 'frozen')?.id ?? ''
    return resting !== ''
  })
  for (const action of ['thaw', 'freeze', 'kill']) await make('POST', `/v1/sandboxes/${resting}/${action}`, 200)
  await make('POST', `/v1/sandboxes/${resting}/kill`, 404)
  await make('DELETE', '/v1/functions/echo', 204)
}

test('every operation answers as the document says', async () => {
  await callFunctions()
  await queueCalls()
  await failCalls()
  await setThings()
  await askThePlatform()
  const all = Object.values(document.paths).flatMap((item) => Object.values(item).map(({ operationId }) => operationId))
  expect(all.filter((id) => !made.has(id))).toEqual([])
})
