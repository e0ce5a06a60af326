// The host trusts nothing inside: what a function says on the wire and in its answers. After every attack the sandbox that
// said it is gone, another one serves, and nothing on the host has changed.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { InvocationRecord } from '../../worker/api.ts'
import { until } from '../support/until.ts'
import { type Attacked, attackPlatform } from './attacker.ts'
import { FORGED_ATTACKS, type ForgedAttack, POISON_ATTACKS, SMUGGLED_ATTACKS } from './wire-attacks.ts'

let attacked: Attacked
beforeAll(async () => {
  attacked = await attackPlatform('--concurrency', '1', '--timeout', '10s')
})
afterAll(() => attacked.close())

/** Which process answers now. */
async function born(): Promise<string> {
  const response = await attacked.call('/state')
  expect(response.status).toBe(200)
  return ((await response.json()) as { born: string }).born
}

async function expectNeighbourServes(): Promise<void> {
  const response = await attacked.platform.request('/fn/neighbour')
  expect(response.status).toBe(200)
  await response.arrayBuffer()
}

interface Heard {
  readonly status: number
  readonly invocation: string
  /** null: the connection was cut. */
  readonly text: string | null
}

async function hear(path: string): Promise<Heard> {
  const response = await attacked.call(path)
  const text = await response.text().catch(() => null)
  return { status: response.status, invocation: response.headers.get('fn-invocation-id') ?? '', text }
}

async function expectKilled(attack: ForgedAttack, name: string): Promise<void> {
  const before = await born()
  const [sandbox] = await attacked.sandboxes('attacker')
  const { status, text, invocation } = await hear(`/wire/${name}`)
  if (attack.caller === '502') {
    expect(status, `${name}: ${text}`).toBe(502)
    const { code, component } = JSON.parse(text!) as { code: string; component: string }
    expect(`${component} ${code}`, name).toMatch(
      name === 'closed' ? /^function FUNCTION_(PROTOCOL|CRASHED)$/ : /^function FUNCTION_PROTOCOL$/,
    )
  } else if (attack.caller === 'cut or 502') {
    expect(text === null || status === 502, `${name}: ${status} ${text}`).toBe(true)
    const record = await attacked.platform.json<InvocationRecord>(`/v1/invocations/${invocation}`)
    expect(record.error?.code, name).toBe('FUNCTION_PROTOCOL')
  } else expect(status, `${name}: ${text}`).toBe(200)
  await until(`${name}: its sandbox is gone`, async () =>
    (await attacked.sandboxes('attacker')).every((row) => row.id !== sandbox!.id),
  )
  expect(await born(), name).not.toBe(before)
}

describe('the wire', () => {
  for (const attack of FORGED_ATTACKS) {
    test(`${attack.id}: an attempt to ${attack.tries}`, async () => {
      for (const name of attack.says) await expectKilled(attack, name)
      await expectNeighbourServes()
      attacked.watch.check()
    })
  }
})

/** Two requests on one connection, and all that comes back. */
async function pipelined(path: string): Promise<string> {
  const host = `Host: 127.0.0.1:${attacked.platform.port}\r\n`
  const first = `GET /fn/attacker${path} HTTP/1.1\r\n${host}\r\n`
  const second = `GET /fn/neighbour HTTP/1.1\r\n${host}Connection: close\r\n\r\n`
  return (await attacked.platform.rawRequest(first + second)).toString('latin1')
}

/** Bodies of the responses on a connection, read as a strict client would; throws an Error for bytes that are none of one. */
function readResponses(bytes: string): { readonly head: string; readonly body: string; readonly whole: boolean }[] {
  const responses = []
  let rest = bytes
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n')
    if (!rest.startsWith('HTTP/1.1 ') || end < 0) throw new Error(`no response: ${JSON.stringify(rest.slice(0, 200))}`)
    const head = rest.slice(0, end).toLowerCase()
    rest = rest.slice(end + 4)
    const lengths = [...head.matchAll(/\r\ncontent-length: *(\S+)/g)].map((match) => match[1]!)
    const chunked = /\r\ntransfer-encoding: *chunked/.test(head)
    if (lengths.length > 1 || (chunked && lengths.length > 0) || lengths.some((length) => !/^\d+$/.test(length)))
      throw new Error(`two readings: ${head}`)
    const { body, used, whole } = chunked ? readChunks(rest) : readCounted(rest, Number(lengths[0] ?? 0))
    responses.push({ head, body, whole })
    rest = rest.slice(used)
  }
  return responses
}

function readCounted(text: string, length: number): { body: string; used: number; whole: boolean } {
  const body = text.slice(0, length)
  return { body, used: body.length, whole: body.length === length }
}

function readChunks(text: string): { body: string; used: number; whole: boolean } {
  let body = ''
  let at = 0
  for (;;) {
    const line = text.indexOf('\r\n', at)
    if (line < 0) return { body, used: text.length, whole: false }
    const size = Number.parseInt(text.slice(at, line), 16)
    if (size === 0) return { body, used: text.indexOf('\r\n\r\n', line - 2) + 4, whole: true }
    body += text.slice(line + 2, line + 2 + size)
    at = line + 2 + size + 2
  }
}

describe('the answer', () => {
  for (const attack of SMUGGLED_ATTACKS) {
    test(`${attack.id}: an attempt to ${attack.tries}`, async () => {
      for (const name of attack.says) {
        const responses = readResponses(await pipelined(`/wire/${name}`))
        expect(responses.length, name).toBeLessThanOrEqual(2)
        const [first, second] = responses
        expect(first!.body, name).not.toContain('Hello')
        // A response that ends too early ends the connection with it; else the neighbour's comes behind, whole.
        if (second !== undefined)
          expect(second, name).toMatchObject({ whole: true, body: expect.stringContaining('Hello') })
        else expect(first!.whole, name).toBe(false)
        expect(first!.head, name).not.toMatch(
          /\r\n(upgrade|trailer|x-hop|x-dropped|service-worker-allowed|keep-alive: timeout=9999)/,
        )
        expect(first!.head, name).not.toMatch(/forged|fn-version: 999/)
      }
      await expectNeighbourServes()
      attacked.watch.check()
    })
  }
})

describe('the process inside', () => {
  for (const attack of POISON_ATTACKS) {
    test(`${attack.id}: an attempt to ${attack.tries}`, async () => {
      for (const name of attack.poisons) {
        const { status } = await hear(`/poison/${name}`)
        expect([200, 500, 502, 504], name).toContain(status)
        const [sandbox] = await attacked.sandboxes('attacker')
        await expectNeighbourServes()
        // What is spoilt is spoilt for its own calls alone, until the sandbox goes.
        if (sandbox !== undefined)
          await attacked.platform.request(`/v1/sandboxes/${sandbox.id}/kill`, { method: 'POST' })
        await born()
      }
      attacked.watch.check()
    })
  }
})
