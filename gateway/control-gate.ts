// Owns who may call the control API, judged on the raw request target before any router sees it: open paths, known hosts, the
// token. What is neither open nor under /v1/ does not exist.
import type { IncomingMessage } from 'node:http'
import type { QuotaRate } from '../worker/registry/quota-rates.ts'
import type { AuditLog } from './auth/audit-log.ts'
import type { HeldRequests } from './auth/held-requests.ts'
import { isLoopbackAddress } from './auth/known-host.ts'
import type { TokenRates } from './auth/rate.ts'
import type { ReadTurns } from './auth/read-turns.ts'
import { expectScope, namespaceFor } from './auth/scopes.ts'
import type { TokenCheck } from './auth/token.ts'
import { expectOwnOrigin } from './auth/web-pages.ts'
import { GatewayError } from './errors.ts'
import { namespaceOf, ownValue } from './invocation/call-options.ts'
import type { Invoker } from './invocation/invoker.ts'
import type { RequestHeaders } from './invocation/request-headers.ts'
import { hasDotSegments } from './invocation/target.ts'
import { giveUpUpload, type UploadWatch } from './invocation/upload-watch.ts'
import type { GatewayResponse } from './response.ts'

/** Answers a control call that may be made. */
export type Control = (incoming: IncomingMessage, outgoing: GatewayResponse) => void

export interface ControlGateOptions {
  readonly control: Control
  readonly invoker: Invoker
  readonly tokens: TokenCheck
  readonly rates: TokenRates
  /** Requests of each namespace; null: none is counted. */
  readonly requests: QuotaRate | null
  readonly held: HeldRequests
  readonly streams: HeldRequests
  readonly turns: ReadTurns
  readonly audit: AuditLog
  readonly watch: UploadWatch
  readonly isKnownHost: (host: string) => boolean
  readonly behindProxy: boolean
}

const OPEN: ReadonlySet<string> = new Set(['/', '/healthz', '/readyz', '/openapi.json'])
/** Highest body of a control call: a deploy's tar, and anything else. */
export const UPLOAD_BYTES = 256 * 1024 ** 2
export const DOCUMENT_BYTES = 64 * 1024
/** Highest time for a deploy's tar to come. */
const UPLOAD_MS = 600_000
/** A connection on which nothing moves for so long while a control call is read is closed: who reads no answer holds none. Longer than
 *  any call waits (`/result?wait=60s`); streams have beats. */
const STILL_MS = 90_000

export class ControlGate {
  readonly #options: ControlGateOptions

  constructor(options: ControlGateOptions) {
    this.#options = options
  }

  /** Throws GatewayError when the call may not be made. `url` is in origin form. */
  handle(incoming: IncomingMessage, outgoing: GatewayResponse, headers: RequestHeaders, url: string): void {
    if (hasDotSegments(url))
      throw new GatewayError('BAD_REQUEST', 'the path has dot segments, a backslash or a fragment')
    const query = url.indexOf('?')
    const path = query < 0 ? url : url.slice(0, query)
    if (path === '/metrics' || path.startsWith('/v1/')) {
      const about = { path, namespace: namedIn(headers), address: this.#addressOf(incoming, headers) }
      this.#options.audit.watch(incoming, outgoing, { ...about, refusedAlone: isEnqueue(incoming, path) })
      if (path === '/metrics') this.#allowMetrics(incoming, outgoing, headers)
      else this.#allow(incoming, outgoing, headers, path)
    } else if (!OPEN.has(path)) throw new GatewayError('NOT_FOUND', `nothing is at ${path.slice(0, 200)}`)
    // Hono builds its URL from this, and an absolute form would give it another host.
    incoming.url = url
    if (isEnqueue(incoming, path)) {
      this.#options.invoker.enqueue(incoming, outgoing, headers, specOf(path, query < 0 ? '' : url.slice(query + 1)))
      return
    }
    const uploads = incoming.method === 'PUT' && isFunctionPath(path)
    const limit = uploads ? UPLOAD_BYTES : DOCUMENT_BYTES
    if (headers.contentLength > limit)
      throw new GatewayError('BODY_TOO_LARGE', `the request body is larger than ${limit} bytes`)
    if (headers.chunked || headers.contentLength > 0)
      this.#options.watch.add(
        incoming,
        () => giveUpUpload(incoming, outgoing),
        uploads ? { highestMs: UPLOAD_MS } : undefined,
      )
    // Calls that change something may wait for others, or for a function to load.
    if (incoming.method === 'GET') incoming.socket.setTimeout(STILL_MS)
    outgoing.allowBody()
    this.#begin(incoming, outgoing, path, query < 0 ? '' : url.slice(query + 1))
  }

  /** Reads of one namespace have their turn; what stays open has a bound of its own. Throws QuotaExceeded. */
  #begin(incoming: IncomingMessage, outgoing: GatewayResponse, path: string, query: string): void {
    const { control, streams, turns } = this.#options
    const namespace = outgoing.caller?.namespace ?? null
    const isRead = incoming.method === 'GET' || incoming.method === 'HEAD'
    const isFollowed = isRead && isStream(path, query)
    if (namespace !== null && isFollowed) streams.take(namespace, outgoing)
    if (namespace === null || !isRead || isFollowed || path.endsWith('/result')) control(incoming, outgoing)
    else turns.take(namespace, outgoing, () => control(incoming, outgoing))
  }

  #allow(incoming: IncomingMessage, outgoing: GatewayResponse, headers: RequestHeaders, path: string): void {
    if (!this.#options.isKnownHost(headers.host))
      throw new GatewayError('FORBIDDEN_HOST', `unknown host ${JSON.stringify(headers.host)}; name it in FN_HOSTS`)
    expectOwnOrigin(incoming, headers, this.#options.behindProxy)
    const caller = this.#options.tokens.identify(headers.authorization)
    if (caller === null)
      throw new GatewayError('UNAUTHORIZED', 'send Authorization: Bearer TOKEN (the file token in the state directory)')
    outgoing.caller = caller
    this.#options.rates.take(caller)
    // The platform's own token is the operator's: it must get through when a namespace is at its bound.
    if (caller.namespace !== null) this.#options.requests?.expect(caller.namespace)
    namespaceFor(caller, namespaceOf(headers.own))
    expectScope(caller, incoming.method ?? '', path)
    if (caller.namespace !== null) this.#options.held.take(caller.namespace, outgoing)
  }

  // Behind a proxy everybody comes from loopback.
  #allowMetrics(incoming: IncomingMessage, outgoing: GatewayResponse, headers: RequestHeaders): void {
    const local = !this.#options.behindProxy && isLoopbackAddress(incoming.socket.remoteAddress)
    if (!local || !this.#options.isKnownHost(headers.host)) this.#allow(incoming, outgoing, headers, '/metrics')
  }

  /** Who is at the other end, for the audit log; behind a proxy whom the proxy says. */
  #addressOf(incoming: IncomingMessage, { forwarded }: RequestHeaders): string {
    const peer = incoming.socket.remoteAddress ?? 'unknown'
    const at = this.#options.behindProxy && forwarded !== null ? forwarded.lastIndexOf('x-forwarded-for') : -1
    return at < 0 ? peer : forwarded![at + 1]!.split(',').at(-1)!.trim().slice(0, 80) || peer
  }
}

/** Queueing a call has a record of its own. */
function isEnqueue(incoming: IncomingMessage, path: string): boolean {
  return incoming.method === 'POST' && path.startsWith('/v1/functions/') && path.endsWith('/invocations')
}

function isStream(path: string, query: string): boolean {
  return path === '/v1/events' || (path.endsWith('/logs') && new URLSearchParams(query).get('follow') === 'true')
}

/** What the call says, right or wrong: for the audit log. */
function namedIn(headers: RequestHeaders): string | null {
  return ownValue(headers.own, 'fn-namespace')?.slice(0, 80) ?? null
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
  return version ? `${name}@${version}` : name
}
