// One HTTP request and its response over node:http, nothing interpreted: paths go out as they are, bodies come as they come,
// and a function may take as long as its time-out lets it (global fetch gives up after five minutes and refuses some ports).
import type { ClientRequest, IncomingMessage } from 'node:http'
import { pipeline, type Readable } from 'node:stream'
import { connectionFailure } from './connection-failure.ts'
import { CliError } from './errors.ts'

export interface ExchangeRequest {
  readonly method: string
  /** Absolute; http or https. */
  readonly base: string
  /** Path and query as sent; characters HTTP cannot carry are percent-encoded. */
  readonly path: string
  /** Flat list of names and values. */
  readonly headers: readonly string[]
  /** A stream is sent chunked unless a Content-Length is among the headers; it is destroyed in the end. */
  readonly body: string | Buffer | Readable | null
}

export interface HttpResponse {
  readonly status: number
  readonly statusText: string
  /** First value of a header, or null. */
  header(name: string): string | null
  /** To be read to its end, or destroyed. Fails when the connection breaks off. */
  readonly body: Readable
}

/** Resolves with the response's head. Throws CliError PLATFORM_UNREACHABLE, or USAGE for headers HTTP cannot carry. */
export function exchange(options: ExchangeRequest): Promise<HttpResponse> {
  return new Promise((resolve, reject) => {
    const { body } = options
    const url = new URL(options.base)
    // Imported at the top, node:http alone would take a third of the time of `fn --help`.
    const { request: start } = process.getBuiltinModule(url.protocol === 'https:' ? 'node:https' : 'node:http')
    const path = `${url.pathname.replace(/\/$/, '')}${options.path}`.replace(/[^\x21-\x7e]+/g, encodeURIComponent)
    const headers = [...options.headers]
    if (body !== null && !isStream(body)) headers.push('Content-Length', String(Buffer.byteLength(body)))
    let request: ClientRequest
    try {
      request = start({
        host: url.hostname.replace(/^\[|\]$/g, ''),
        port: url.port,
        method: options.method,
        path,
        headers: namesHost(headers) ? headers : ['Host', url.host, ...headers],
      })
    } catch (error) {
      if (isStream(body)) body.destroy()
      reject(new CliError('USAGE', (error as Error).message, { cause: error }))
      return
    }
    // The answer may come before the body is out (it was refused): what happens to the rest of it then is of no interest.
    request.once('response', (incoming) => resolve(responseOf(incoming)))
    request.on('error', (error) => reject(connectionFailure(error, options.base)))
    if (!isStream(body)) request.end(body ?? undefined)
    else {
      // What sends it may fail by itself: that is no fault of the connection.
      body.once('error', (error) => reject(bodyFailure(error)))
      pipeline(body, request, (error) => {
        if (error) reject(connectionFailure(error, options.base))
      })
    }
  })
}

/** Reads a body whole. */
export async function readText(body: Readable): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of body) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}

function responseOf(incoming: IncomingMessage): HttpResponse {
  return {
    status: incoming.statusCode ?? 0,
    statusText: incoming.statusMessage ?? '',
    header(name) {
      const value = incoming.headers[name.toLowerCase()]
      return (Array.isArray(value) ? value[0] : value) ?? null
    },
    body: incoming,
  }
}

function bodyFailure(error: Error): CliError {
  const code = error instanceof CliError ? error.code : 'FILE_NOT_FOUND'
  return new CliError(code, `what was to be sent could not be read: ${error.message}`, { cause: error })
}

function namesHost(headers: readonly string[]): boolean {
  return headers.some((name, index) => index % 2 === 0 && name.toLowerCase() === 'host')
}

function isStream(body: ExchangeRequest['body']): body is Readable {
  return typeof body === 'object' && body !== null && !Buffer.isBuffer(body)
}
