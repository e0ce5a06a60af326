// What is around durable calls, through HTTP and `fn` alone: schedules, chains and signed callbacks, pausing, dead letters,
// cancelling.
import { createHmac } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Platform, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'

interface Received {
  readonly headers: IncomingHttpHeaders
  readonly body: string
}
let platform: Platform
let receiver: Server
let receiverUrl: string
let folder: string
const received: Received[] = []
/** What the receiver answers next, then 204. */
const answers: number[] = []

const SOURCE = `
export default {
  async fetch(request) {
    const { pathname } = new URL(request.url)
    if (pathname === '/fail') return new Response('no', { status: 400 })
    const text = await request.text()
    console.log('got ' + (request.headers.get('fn-schedule') ?? '-') + ' ' + text.slice(0, 400))
    return Response.json({ said: text.slice(0, 20), depth: request.headers.get('fn-chain-depth') })
  },
}
`

beforeAll(async () => {
  receiver = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      received.push({ headers: incoming.headers, body: Buffer.concat(chunks).toString() })
      outgoing.writeHead(answers.shift() ?? 204).end()
    })
  })
  await new Promise<void>((done) => receiver.listen(0, '127.0.0.1', done))
  receiverUrl = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`
  folder = mkdtempSync(join(tmpdir(), 'thaw-surface-'))
  writeFileSync(join(folder, 'say.ts'), SOURCE)
  platform = await startPlatform({ args: ['--callback-allow', '127.0.0.1'] })
  const say = join(folder, 'say.ts')
  await platform.deploy(say, '--name', 'say', '--retry-attempts', '1')
  await platform.deploy(say, '--name', 'second')
  await platform.deploy(say, '--name', 'first', '--on-success', 'second', '--on-failure', `${receiverUrl}/failed`)
  await platform.deploy(say, '--name', 'round', '--on-success', 'round')
})
beforeEach(() => {
  received.length = 0
  answers.length = 0
})
afterAll(async () => {
  await platform?.stop()
  receiver?.close()
  rmSync(folder, { recursive: true, force: true })
})

async function queue(name: string, path = '/', headers: Record<string, string> = {}): Promise<string> {
  const response = await platform.request(`/fn/${name}${path}`, {
    method: 'POST',
    body: 'hello',
    headers: { prefer: 'respond-async', authorization: `Bearer ${platform.token}`, ...headers },
  })
  expect(response.status).toBe(202)
  return ((await response.json()) as { id: string }).id
}
interface Row {
  readonly id: string
  readonly state: string
  readonly kind?: string
  readonly error?: string | null
  readonly tries?: number
}
const jobsOf = (name: string) => platform.json<Row[]>(`/v1/invocations?function=${name}&limit=100`)
const callbacksOf = (id: string) => platform.json<Row[]>(`/v1/invocations/${id}/callbacks`)
const stateOf = async (id: string) => (await platform.json<Row>(`/v1/invocations/${id}`)).state
const reaches = (id: string, state: string) =>
  until(`${id} is ${state}`, async () => (await stateOf(id)) === state || (await stateOf(id)), 30_000)

test('a schedule set by fn fires with its body, is listed, and goes with fn', async () => {
  const path = join(folder, 'x.json')
  writeFileSync(path, '{"from":"schedule"}')
  const set = await platform.fn(
    'schedule',
    'say',
    'set',
    'often',
    '* * * * * *',
    '--time-zone',
    'Europe/Zurich',
    '--data',
    `@${path}`,
  )
  expect(set.stderr).toBe('')
  expect(set.stdout).toContain('Europe/Zurich')
  await until('it fired', async () => (await jobsOf('say')).some(({ state }) => state === 'succeeded') || 'no', 30_000)
  const shown = JSON.parse((await platform.fn('schedule', 'say', 'show', 'often', '--json')).stdout)
  expect(shown).toMatchObject({ cron: '* * * * * *', payload: { from: 'schedule' }, missed: 'run-once' })
  expect(shown.next).toHaveLength(3)
  expect((await platform.fn('schedule', 'say', 'ls')).stdout).toContain('often')
  expect((await platform.fn('logs', 'say')).stdout).toContain('got often {"from":"schedule"}')
  expect((await platform.fn('schedule', 'say', 'rm', 'often')).code).toBe(0)
  expect(await platform.json('/v1/functions/say/schedules')).toEqual([])
  const bad = await platform.fn('schedule', 'say', 'set', 'bad', '61 * * * *')
  expect(bad.code).toBe(1)
  expect(bad.stderr).toMatch(/minute/)
})

test('the end of a call starts the next function, which gets it as a CloudEvent', async () => {
  const id = await queue('first')
  await until('second was told', async () => (await callbacksOf(id))[0]?.state === 'delivered' || 'no', 30_000)
  const [told] = await callbacksOf(id)
  expect(told).toMatchObject({ kind: 'onSuccess', destination: 'second', state: 'delivered' })
  await reaches(told!.id, 'succeeded')
  expect((await platform.fn('logs', 'second')).stdout).toMatch(/"type":"thaw\.invocation\.succeeded"/)
})

test('a failure is told by a signed POST that is made again until it is taken', async () => {
  answers.push(500)
  const id = await queue('first', '/fail')
  await until('it was told twice', () => received.length >= 2 || String(received.length), 30_000)
  const { secret } = await platform.json<{ secret: string }>('/v1/webhook-secret')
  expect((await platform.fn('webhook-secret')).stdout.trim()).toBe(secret)
  const [one, two] = received
  for (const { headers, body } of [one!, two!]) {
    const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`
    const key = Buffer.from(secret.replace('whsec_', ''), 'base64')
    expect(headers['webhook-signature']).toBe(`v1,${createHmac('sha256', key).update(signed).digest('base64')}`)
    expect(headers['content-type']).toMatch(/^application\/cloudevents\+json/)
    expect(JSON.parse(body)).toMatchObject({
      type: 'thaw.invocation.failed',
      subject: id,
      data: { response: { status: 400, body: 'no' } },
    })
  }
  expect(one!.headers['webhook-id']).toBe(two!.headers['webhook-id'])
  await until('it is told', async () => (await callbacksOf(id))[0]?.state === 'delivered' || 'no', 15_000)
  expect((await callbacksOf(id))[0]).toMatchObject({ kind: 'onFailure', tries: 2 })
})

test('Fn-Callback is sent also when the platform was killed in between, and refused where it may not go', async () => {
  answers.push(503, 503)
  const id = await queue('say', '/', { 'fn-callback': `${receiverUrl}/cb` })
  const headers = { 'fn-callback': 'http://169.254.169.254/latest', prefer: 'respond-async' }
  const authorization = `Bearer ${platform.token}`
  const inside = await platform.request('/fn/say', { headers: { ...headers, authorization } })
  expect([inside.status, await inside.text()]).toEqual([
    400,
    expect.stringMatching(/Fn-Callback: 169\.254\.169\.254 is not a public address.*--callback-allow/),
  ])
  await until('it was tried', () => received.length >= 1 || String(received.length), 30_000)
  await platform.kill9()
  await platform.restart()
  await until('it is told', async () => (await callbacksOf(id))[0]?.state === 'delivered' || 'no', 75_000)
  expect(new Set(received.map(({ headers }) => headers['webhook-id'])).size).toBe(1)
  expect(
    (await platform.request('/fn/say', { headers: { 'fn-callback': receiverUrl, prefer: 'respond-async' } })).status,
  ).toBe(401)
})

test('a chain that comes back to itself ends', async () => {
  await queue('round', '/', { 'fn-chain-depth': '12' })
  await until(
    'five calls ran',
    async () => {
      const rows = await jobsOf('round')
      return (rows.length >= 5 && rows.every(({ state }) => state === 'succeeded')) || String(rows.length)
    },
    60_000,
  )
  const last = (await jobsOf('round'))[0]!
  await until(
    'its follow-up was given up',
    async () => (await callbacksOf(last.id))[0]?.state === 'failed' || 'no',
    15_000,
  )
  expect((await callbacksOf(last.id))[0]?.error).toMatch(/16 calls long/)
  expect((await jobsOf('round')).length).toBe(5)
})

test('a paused function accepts calls and runs them when resumed; a queued one can be cancelled, once', async () => {
  expect((await platform.fn('pause', 'say')).stdout).toContain('paused')
  const kept = await queue('say')
  const dropped = await queue('say')
  expect(await stateOf(kept)).toBe('queued')
  expect((await platform.fn('get', 'say')).stdout).toMatch(/paused, 2 waiting/)
  expect((await platform.fn('ls')).stdout).toContain('paused')
  expect((await platform.request('/v1/functions/say', { method: 'DELETE' })).status).toBe(409)
  expect((await platform.fn('jobs', 'cancel', dropped)).stdout).toContain('cancelled')
  const again = await platform.fn('jobs', 'cancel', dropped)
  expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('NOT_CANCELLABLE')])
  expect((await platform.fn('resume', 'say')).stdout).toContain('open')
  await reaches(kept, 'succeeded')
  expect(await stateOf(dropped)).toBe('cancelled')
})

test('a dead letter is listed, shown, queued again and forgotten', async () => {
  const id = await queue('say', '/fail')
  const other = await queue('say', '/fail')
  await reaches(id, 'failed')
  await reaches(other, 'failed')
  expect((await platform.fn('dead-letters', 'ls', 'say')).stdout).toContain(id)
  const shown = JSON.parse((await platform.fn('dead-letters', 'show', 'say', id, '--json')).stdout)
  expect(shown).toMatchObject({ id, state: 'failed', target: '/fail', attempts: [{ attempt: 1, status: 400 }] })
  expect((await platform.fn('dead-letters', 'redrive', 'say', id)).stdout).toContain('queued again')
  await until(
    'it failed again',
    async () => {
      const letters = await platform.json<(Row & { attempts: object[] })[]>('/v1/functions/say/dead-letters')
      return letters.find((letter) => letter.id === id)?.attempts.length === 2 || JSON.stringify(letters)
    },
    30_000,
  )
  expect((await platform.fn('dead-letters', 'purge', 'say')).code).toBe(2)
  expect((await platform.fn('dead-letters', 'purge', 'say', id)).stdout).toContain('forgotten')
  expect((await platform.fn('dead-letters', 'purge', 'say', '--all')).stdout).toContain('1 forgotten')
  expect((await platform.request(`/v1/functions/say/dead-letters/${id}`)).status).toBe(404)
})
