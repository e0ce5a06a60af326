// The two HTTP clients of the load generator. `lean` (http-connection.ts) costs as little as it can, so that the servers are what
// is measured; `node` is Node's own HTTP client, what a program in Node would call with. One connection each, one request at a time.
import { Agent, request as httpRequest } from 'node:http'
import { type Answer, HttpConnection } from './http-connection.ts'
import type { Target } from './load.ts'

export type ClientKind = 'lean' | 'node'

export interface Client {
  /** Sends the n-th request and resolves when its whole response is here. Rejects when the connection breaks. */
  exchange(n: number): Promise<Answer>
  close(): void
}

/** Connects to 127.0.0.1. */
export async function openClient(kind: ClientKind, target: Target): Promise<Client> {
  return kind === 'lean' ? openLean(target) : openNode(target)
}

/** Sets of request headers, at least one. */
function headerSets(target: Target): readonly Readonly<Record<string, string>>[] {
  return target.headers.length === 0 ? [{}] : target.headers
}

async function openLean(target: Target): Promise<Client> {
  const body = Buffer.alloc(target.method === 'POST' ? target.bodyBytes : 0, 'x')
  const requests = headerSets(target).map((headers) => {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    const length = target.method === 'POST' ? `content-length: ${body.length}\r\n` : ''
    const head = `${target.method} ${target.path} HTTP/1.1\r\nhost: 127.0.0.1:${target.port}\r\n${length}${lines.join('')}\r\n`
    return Buffer.concat([Buffer.from(head, 'latin1'), body])
  })
  const connection = await HttpConnection.open(target.port)
  return {
    exchange: (n) => connection.exchange(requests[n % requests.length]!),
    close: () => connection.close(),
  }
}

function openNode(target: Target): Client {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const body = target.method === 'POST' ? Buffer.alloc(target.bodyBytes, 'x') : null
  const length = body === null ? {} : { 'content-length': body.length }
  const sets = headerSets(target).map((headers) => ({
    ...{ agent, host: '127.0.0.1', port: target.port, path: target.path, method: target.method },
    headers: { ...headers, ...length },
  }))
  const exchange = (n: number) =>
    new Promise<Answer>((resolve, reject) => {
      const outgoing = httpRequest(sets[n % sets.length]!, (response) => {
        let bodyBytes = 0
        response.on('data', (chunk: Buffer) => {
          bodyBytes += chunk.length
        })
        response.once('end', () => resolve({ status: response.statusCode ?? 0, head: '', bodyBytes }))
        response.once('error', reject)
      })
      outgoing.once('error', reject)
      outgoing.end(body)
    })
  return { exchange, close: () => agent.destroy() }
}
