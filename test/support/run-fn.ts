// Runs `fn` in this process: arguments, environment and streams in, exit status and text out; and a small HTTP server that
// stands where a gateway would, answering from a table and remembering what it was asked.
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable, Writable } from 'node:stream'
import { main } from '../../cli/main.ts'

export interface FnResult {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}
export interface FnOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly stdin?: string
  readonly isTTY?: boolean
}

/** Runs one command line. Nothing of this process's own environment is seen. */
export async function runFn(args: readonly string[], options: FnOptions = {}): Promise<FnResult> {
  const stdout = sink(options.isTTY ?? false)
  const stderr = sink(options.isTTY ?? false)
  const status = await main(
    args,
    { FN_STATE_DIR: '/nonexistent', ...options.env },
    {
      stdin: Readable.from(options.stdin === undefined ? [] : [Buffer.from(options.stdin)]),
      stdout: stdout.stream,
      stderr: stderr.stream,
      cwd: options.cwd ?? process.cwd(),
    },
  )
  return { status, stdout: stdout.text(), stderr: stderr.text() }
}

function sink(isTTY: boolean): { stream: Writable & { isTTY: boolean }; text(): string } {
  const chunks: Buffer[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk)
      done()
    },
  })
  return { stream: Object.assign(stream, { isTTY }), text: () => Buffer.concat(chunks).toString('utf8') }
}

export interface Asked {
  readonly method: string
  readonly target: string
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}
export interface Answer {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** Objects are sent as JSON. */
  readonly body?: unknown
  /** Cut the connection after the body instead of ending it. */
  readonly cut?: boolean
}
export interface FakeGateway {
  readonly url: string
  readonly asked: readonly Asked[]
  close(): Promise<void>
}

/** Answers `METHOD /path` (without query) from `routes`; everything else with the gateway's 404. */
export async function startFakeGateway(
  routes: Readonly<Record<string, Answer | ((asked: Asked) => Answer)>>,
): Promise<FakeGateway> {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const entry = {
        method: request.method ?? '',
        target: request.url ?? '',
        headers: request.headers,
        body: Buffer.concat(chunks),
      }
      asked.push(entry)
      const route = routes[`${entry.method} ${entry.target.split('?')[0]}`] ?? notFound(entry)
      const answer = typeof route === 'function' ? route(entry) : route
      const isText = typeof answer.body === 'string' || Buffer.isBuffer(answer.body) || answer.body === undefined
      const body = isText ? (answer.body as string | Buffer | undefined) : JSON.stringify(answer.body)
      response.writeHead(answer.status ?? 200, {
        ...(isText ? {} : { 'content-type': 'application/json' }),
        ...answer.headers,
      })
      if (answer.cut) response.write(body ?? '', () => response.destroy())
      else response.end(body)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    close: () => closeServer(server),
  }
}

/** A problem as the gateway writes it. */
export function problem(status: number, code: string, component: string, detail: string, more: object = {}): Answer {
  return {
    status,
    headers: { 'content-type': 'application/problem+json' },
    body: { type: `urn:thaw:problem:${code.toLowerCase()}`, title: code, status, detail, code, component, ...more },
  }
}

function notFound(asked: Asked): Answer {
  return problem(404, 'NOT_FOUND', 'gateway', `no route ${asked.method} ${asked.target}`)
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
