// What http.IncomingMessage and http.ServerResponse promise holds without a connection, too. Every member of Node's prototypes has a
// row; each row is asked of a real server and of fromNode, and the answers are compared.
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fromNode, type NodeListener } from '../../../runtime/from-node.ts'
import { CUTS, OTHERS, REQUEST } from '../../support/node-api/request-rows.ts'
import { type Probe, RESPONSE } from '../../support/node-api/response-rows.ts'
import { until } from '../../support/until.ts'

/** What a caller saw: the answer, or that it was cut. */
interface Seen {
  readonly status: number | null
  readonly body: string
  readonly cut: boolean
  readonly headers: Record<string, string>
}

const BODY = 'body of the request'
const HEADERS = { 'X-A': '1', 'content-type': 'text/plain' }
let origin = ''
let current: NodeListener = () => undefined
const server = http.createServer((req, res) => current(req, res))
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${(server.address() as { port: number }).port}`
})
afterAll(() => {
  server.close()
  server.closeAllConnections()
})

const FRAMING = new Set(['connection', 'keep-alive', 'date', 'transfer-encoding', 'content-length', 'trailer'])

async function see(answer: () => Promise<Response>): Promise<Seen> {
  let status: number | null = null
  let body = ''
  const headers: Record<string, string> = {}
  try {
    const response = await answer()
    status = response.status
    response.headers.forEach((value, name) => {
      if (!FRAMING.has(name)) headers[name] = value
    })
    const decoder = new TextDecoder()
    for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>)
      body += decoder.decode(chunk, { stream: true })
    return { status, body, cut: false, headers }
  } catch {
    return { status, body, cut: true, headers }
  }
}

const request = (method: string): RequestInit & { duplex: 'half' } => ({
  method,
  headers: HEADERS,
  ...(method === 'POST' ? { body: BODY } : {}),
  duplex: 'half',
})
const real = (listener: NodeListener, method: string): Promise<Seen> => {
  current = listener
  return see(() => fetch(`${origin}/path?q=1`, request(method)))
}
const ours = (listener: NodeListener, method: string): Promise<Seen> =>
  see(async () =>
    fromNode(listener).fetch(new Request(`${origin}/path?q=1`, request(method)), {}, { rawUrl: '/path?q=1' } as never),
  )

/** Runs the probe in a handler of each kind; what it gave, and what the caller saw. A probe that leaves the response open has it
 *  ended, unless `leaves`. */
async function both(probe: Probe, method = 'GET', leaves = false): Promise<{ real: unknown; ours: unknown }> {
  const run = async (how: typeof real) => {
    const { promise, resolve } = Promise.withResolvers<unknown>()
    const seen = await how(async (req, res) => {
      try {
        const given = await probe(req, res)
        if (!leaves && !res.headersSent && !res.writableEnded && !res.destroyed) res.end()
        resolve(given)
      } catch (error) {
        resolve({ threw: (error as { code?: string }).code ?? (error as Error).name })
        res.destroy()
      }
    }, method)
    return { given: await promise, seen }
  }
  return { real: await run(real), ours: await run(ours) }
}

function ownMembers(Class: { prototype: object }): string[] {
  return Object.getOwnPropertyNames(Class.prototype).filter((name) => name !== 'constructor' && !name.startsWith('_'))
}

describe('the table', () => {
  test('has a row for every public member of Node’s classes', () => {
    const response = [...ownMembers(http.OutgoingMessage), ...ownMembers(http.ServerResponse)].filter(
      (name) => !(name in RESPONSE),
    )
    const request = ownMembers(http.IncomingMessage).filter((name) => !(name in REQUEST))
    expect({ response, request }).toEqual({ response: [], request: [] })
  })
})

const rows = (table: Readonly<Record<string, readonly Probe[] | string>>): [string, Probe][] =>
  Object.entries(table).flatMap(([name, probes]) =>
    typeof probes === 'string' ? [] : probes.map((probe, index): [string, Probe] => [`${name}, ${index + 1}`, probe]),
  )

/** The client at the real server takes no 100 that it did not ask for; a socket whose own time-out nobody else hears of is closed
 *  there before what was just written has left. */
const ANSWERS_DIFFER = new Set(['writeContinue, 1', 'setTimeout, 2'])
const given = (result: unknown): unknown => (result as { given: unknown }).given

describe.each(['GET', 'POST'])('%s', (method) => {
  test.each([...rows(RESPONSE), ...rows(REQUEST), ...Object.entries(OTHERS)])('%s', async (_name, probe) => {
    const results = await both(probe, method)
    if (ANSWERS_DIFFER.has(_name)) expect(given(results.ours)).toEqual(given(results.real))
    else expect(results.ours).toEqual(results.real)
  })

  test.each(Object.entries(CUTS))('%s after the head cuts the answer', async (_name, cut) => {
    const probe: Probe = async (q, s) => {
      s.write('part')
      await new Promise((resolve) => setTimeout(resolve, 10))
      cut(q, s)
    }
    const results = await both(probe, method)
    expect(results.ours).toMatchObject({ seen: { status: 200, cut: true } })
    expect((results.ours as { seen: Seen }).seen.cut).toBe((results.real as { seen: Seen }).seen.cut)
  })

  test.each(Object.entries(CUTS).filter(([name]) => !name.startsWith('a pipeline')))(
    '%s before the head fails the call',
    async (_name, cut) => {
      const results = await both((q, s) => cut(q, s), method, true)
      expect(results.ours).toMatchObject({ seen: { status: null, cut: true } })
    },
  )
})

describe('what is no listener', () => {
  test('an http.Server, an app with callback() and one with routing() are taken', async () => {
    const answer = (_req: IncomingMessage, res: ServerResponse) => void res.end('answered')
    const apps = [
      http.createServer(answer),
      { callback: () => answer },
      { routing: answer, ready: async () => undefined },
    ]
    for (const app of apps) {
      const response = await fromNode(app as never).fetch(new Request('http://x/'), {}, {} as never)
      expect(await (await response).text()).toBe('answered')
    }
  })

  test.each([[undefined], [null], [5], ['app'], [{}], [{ routing() {} }]])(
    '%j is refused, and told what would do',
    (app) => {
      expect(() => fromNode(app as never)).toThrow('expected a function (req, res)')
    },
  )
})

test('the time-out begins again with everything that passes', async () => {
  let heard = false
  const listener: NodeListener = (_req, res) => {
    res.setTimeout(40, () => {
      heard = true
    })
    let left = 4
    const timer = setInterval(() => {
      res.write('.')
      if (--left > 0) return
      clearInterval(timer)
      res.end()
    }, 15)
  }
  expect((await ours(listener, 'GET')).body).toBe('....')
  expect(heard).toBe(false)
})

test('a caller who leaves destroys socket, request and response', async () => {
  const left = new AbortController()
  const names: string[] = []
  const listener: NodeListener = (req, res) => {
    req.on('aborted', () => names.push('aborted'))
    req.on('close', () => names.push('req'))
    res.on('close', () => names.push('res'))
    req.socket.on('close', () => names.push('socket'))
    res.write('part')
  }
  const response = await fromNode(listener).fetch(
    new Request('http://x/', { method: 'POST', body: 'x', signal: left.signal, duplex: 'half' } as RequestInit),
    {},
    {} as never,
  )
  left.abort()
  await until('all are closed', () => names.length === 4)
  expect(names.sort()).toEqual(['aborted', 'req', 'res', 'socket'])
  await expect(response.text()).rejects.toThrow('the caller has left')
})
