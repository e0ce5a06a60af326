// Owns who may call the control API, judged on the raw request target before any router sees it: open paths, known hosts, the
// token. What is neither open nor under /v1/ does not exist.
import type { IncomingMessage } from 'node:http'
import { isLoopbackAddress } from './auth/known-host.ts'
import type { TokenCheck } from './auth/token.ts'
import { GatewayError } from './errors.ts'
import type { Invoker } from './invocation/invoker.ts'
import type { RequestHeaders } from './invocation/request-headers.ts'
import { hasDotSegments } from './invocation/target.ts'
import type { GatewayResponse } from './response.ts'

/** Answers a control call that may be made. */
export type Control = (incoming: IncomingMessage, outgoing: GatewayResponse) => void

export interface ControlGateOptions {
  readonly control: Control
  readonly invoker: Invoker
  readonly tokens: TokenCheck
  readonly isKnownHost: (host: string) => boolean
  readonly behindProxy: boolean
}

const OPEN: ReadonlySet<string> = new Set(['/', '/healthz', '/readyz', '/openapi.json'])
/** Highest body of a control call: a deploy's tar, and anything else. */
export const UPLOAD_BYTES = 256 * 1024 ** 2
export const DOCUMENT_BYTES = 64 * 1024

export class ControlGate {
  readonly #options: ControlGateOptions

  constructor(options: ControlGateOptions) {
    this.#options = options
  }

  /** Throws GatewayError when the call may not be made. `url` is in origin form. */
  handle(incoming: IncomingMessage, outgoing: GatewayResponse, headers: RequestHeaders, url: string): void {
    if (hasDotSegments(url)) throw new GatewayError('BAD_REQUEST', 'the path has dot segments')
    const query = url.indexOf('?')
    const path = query < 0 ? url : url.slice(0, query)
    if (path === '/metrics') this.#allowMetrics(incoming, headers)
    else if (path.startsWith('/v1/')) this.#allow(headers)
    else if (!OPEN.has(path)) throw new GatewayError('NOT_FOUND', `nothing is at ${path.slice(0, 200)}`)
    // Hono builds its URL from this, and an absolute form would give it another host.
    incoming.url = url
    if (incoming.method === 'POST' && path.startsWith('/v1/functions/') && path.endsWith('/invocations')) {
      this.#options.invoker.enqueue(incoming, outgoing, headers, specOf(path, query < 0 ? '' : url.slice(query + 1)))
      return
    }
    const limit = incoming.method === 'PUT' && isFunctionPath(path) ? UPLOAD_BYTES : DOCUMENT_BYTES
    if (headers.contentLength > limit)
      throw new GatewayError('BODY_TOO_LARGE', `the request body is larger than ${limit} bytes`)
    outgoing.allowBody()
    this.#options.control(incoming, outgoing)
  }

  #allow(headers: RequestHeaders): void {
    if (!this.#options.isKnownHost(headers.host))
      throw new GatewayError('FORBIDDEN_HOST', `unknown host ${JSON.stringify(headers.host)}; name it in FN_HOSTS`)
    if (!this.#options.tokens.isValid(headers.authorization))
      throw new GatewayError('UNAUTHORIZED', 'send Authorization: Bearer TOKEN (the file token in the state directory)')
  }

  // Behind a proxy everybody comes from loopback.
  #allowMetrics(incoming: IncomingMessage, headers: RequestHeaders): void {
    const local = !this.#options.behindProxy && isLoopbackAddress(incoming.socket.remoteAddress)
    if (!local || !this.#options.isKnownHost(headers.host)) this.#allow(headers)
  }
}

function isFunctionPath(path: string): boolean {
  return path.startsWith('/v1/functions/') && !path.includes('/', '/v1/functions/'.length)
}

/** `/v1/functions/{name}/invocations` + `version=…` → `name` or `name@version`. Throws GatewayError BAD_REQUEST. */
function specOf(path: string, query: string): string {
  const name = path.slice('/v1/functions/'.length, -'/invocations'.length)
  const version = new URLSearchParams(query).get('version')
  if (name.includes('/') || name.includes('@'))
    throw new GatewayError('NOT_FOUND', `nothing is at ${path.slice(0, 200)}`)
  return version === null ? name : `${name}@${version}`
}
