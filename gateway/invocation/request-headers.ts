// Owns the one pass over a request's raw headers: what goes on to the function, what is ours, what is hop-by-hop. Decides
// nothing about the call: call-options.ts does. Runs on every warm call: no regular expressions, no objects per header.

import { isProxyHeader, PROXY_HEADERS } from './proxy-headers.ts'

const HOP = 1
const HOST = 2
const CONNECTION = 3
const AUTHORIZATION = 4
const FORWARDED = 5
const CONTENT_LENGTH = 6
const TRANSFER_ENCODING = 7
const PREFER = 8
const IDEMPOTENCY_KEY = 9
const TRACEPARENT = 10
const SERVICE_WORKER = 11
const PROXY = 12

const KINDS: ReadonlyMap<string, number> = new Map([
  ['connection', CONNECTION],
  ['keep-alive', HOP],
  ['proxy-connection', HOP],
  ['proxy-authenticate', HOP],
  ['proxy-authorization', HOP],
  ['te', HOP],
  ['trailer', HOP],
  ['upgrade', HOP],
  ['expect', HOP],
  ['http2-settings', HOP],
  ['transfer-encoding', TRANSFER_ENCODING],
  ['host', HOST],
  ['authorization', AUTHORIZATION],
  ['x-forwarded-for', FORWARDED],
  ['x-forwarded-host', FORWARDED],
  ['x-forwarded-proto', FORWARDED],
  ['x-forwarded-prefix', FORWARDED],
  ['content-length', CONTENT_LENGTH],
  ['prefer', PREFER],
  ['idempotency-key', IDEMPOTENCY_KEY],
  ['traceparent', TRACEPARENT],
  ['service-worker', SERVICE_WORKER],
])
for (const name of PROXY_HEADERS) (KINDS as Map<string, number>).set(name, PROXY)

/** What one pass found. `headers` is what the function may see so far, flat, spelled as sent. */
export class RequestHeaders {
  readonly headers: string[] = []
  /** More than one is a request smuggling attempt: 400. */
  hosts = 0
  host = ''
  /** −1: none given. */
  contentLength = -1
  chunked = false
  /** A transfer coding besides `chunked`, as sent: nobody here decodes one, and a function must not get it undecoded. */
  otherCoding: string | null = null
  /** `Authorization` as sent; only in `headers` when it is not a token of ours. */
  authorization: string | null = null
  prefer: string | null = null
  idempotencyKey: string | null = null
  traceparent: string | null = null
  /** A browser asks for the script of a service worker. */
  forServiceWorker = false
  /** The request's `Fn-*` headers, flat, names in lower case; null when there are none. */
  own: string[] | null = null
  /** Incoming `X-Forwarded-For`, `-Host`, `-Proto` and `-Prefix`, flat, names in lower case; null when there are none. */
  forwarded: string[] | null = null
  /** Other headers in which a proxy says which client it speaks for, flat, as sent; null when there are none. */
  proxied: string[] | null = null
  /** The header, in lower case, that has a token of ours in it and is no `Authorization`; null: there is none. */
  strayToken: string | null = null
}

/** What is a token of ours. */
export interface TokenRules {
  /** An `Authorization` value is ours, and so never handed on. */
  isOurs(authorization: string): boolean
  /** Another value has a token of ours in it. */
  isIn(text: string): boolean
}

/** Sorts a request's raw headers. */
export function readRequestHeaders(raw: readonly string[], tokens: TokenRules): RequestHeaders {
  const found = new RequestHeaders()
  let connection: string | null = null
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index]!
    const value = raw[index + 1]!
    const lower = name.toLowerCase()
    const kind = KINDS.get(lower)
    if (kind === undefined) {
      if (lower.charCodeAt(0) === 102 && lower.charCodeAt(1) === 110 && lower.charCodeAt(2) === 45) {
        found.own ??= []
        found.own.push(lower, value)
      } else if (isProxyHeader(lower)) pushProxied(found, name, value)
      else if (!isDisguised(lower)) {
        if (tokens.isIn(value)) found.strayToken = lower
        found.headers.push(name, value)
      }
    } else if (kind === CONNECTION) connection = connection === null ? value : `${connection},${value}`
    else if (kind !== HOP) takeKnown(found, kind, name, value, tokens)
  }
  if (connection !== null && !isPlainConnection(connection)) dropNamed(found, connection)
  return found
}

function takeKnown(found: RequestHeaders, kind: number, name: string, value: string, tokens: TokenRules): void {
  switch (kind) {
    case HOST:
      found.hosts++
      found.host = value
      break
    case AUTHORIZATION:
      if (tokens.isOurs(value)) {
        found.authorization = value
        return
      }
      // One of ours counts, whatever else is there.
      found.authorization ??= value
      break
    case PROXY:
      pushProxied(found, name, value)
      return
    case FORWARDED:
      found.forwarded ??= []
      found.forwarded.push(name.toLowerCase(), value)
      return
    case CONTENT_LENGTH:
      found.contentLength = Number(value)
      break
    case TRANSFER_ENCODING:
      found.chunked = true
      if (value !== 'chunked' && value.trim().toLowerCase() !== 'chunked') found.otherCoding = value
      return
    case PREFER:
      found.prefer = found.prefer === null ? value : `${found.prefer},${value}`
      break
    case IDEMPOTENCY_KEY:
      found.idempotencyKey = value
      break
    case TRACEPARENT:
      found.traceparent = value
      break
    case SERVICE_WORKER:
      found.forServiceWorker = true
      break
  }
  found.headers.push(name, value)
}

function pushProxied(found: RequestHeaders, name: string, value: string): void {
  found.proxied ??= []
  found.proxied.push(name, value)
}

/** Names that code reads as another: `Content_Length` and `Fn_Timeout` become `HTTP_CONTENT_LENGTH` and `HTTP_FN_TIMEOUT` in a CGI's
 *  environment, as the real ones do. */
function isDisguised(lower: string): boolean {
  if (!lower.includes('_')) return false
  const plain = lower.replaceAll('_', '-')
  return KINDS.has(plain) || plain.startsWith('fn-') || isProxyHeader(plain)
}

function isPlainConnection(value: string): boolean {
  return value === 'keep-alive' || value === 'close' || value === 'Keep-Alive'
}

/** `Connection: x-secret` makes `X-Secret` hop-by-hop. Runs before ours are added, so that it cannot name those away. */
function dropNamed(found: RequestHeaders, connection: string): void {
  const named = new Set(connection.split(',').map((token) => token.trim().toLowerCase()))
  const { headers } = found
  let kept = 0
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index]!
    const lower = name.toLowerCase()
    if (named.has(lower) && lower !== 'host') continue
    headers[kept] = name
    headers[kept + 1] = headers[index + 1]!
    kept += 2
  }
  headers.length = kept
}

/** Adds `X-Forwarded-*`. Behind a proxy, what it said is kept and the address it came from is added to the chain; else what
 *  the client claimed is replaced, and what only a proxy may say is gone. `prefix` empty: the function lies at the root of its host. */
export function addForwarded(
  found: RequestHeaders,
  hop: { readonly address: string; readonly proto: string; readonly prefix: string; readonly behindProxy: boolean },
): void {
  const { headers, forwarded, proxied } = found
  if (hop.behindProxy && proxied !== null) for (const text of proxied) headers.push(text)
  let chain = ''
  let host = found.host
  let proto = hop.proto
  let prefix = hop.prefix
  if (hop.behindProxy && forwarded !== null) {
    for (let index = 0; index < forwarded.length; index += 2) {
      const value = forwarded[index + 1]!
      if (forwarded[index] === 'x-forwarded-for') chain += `${value}, `
      else if (forwarded[index] === 'x-forwarded-host') host = value
      else if (forwarded[index] === 'x-forwarded-proto') proto = value
      else prefix = value + hop.prefix
    }
  }
  headers.push('X-Forwarded-For', chain + hop.address, 'X-Forwarded-Host', host, 'X-Forwarded-Proto', proto)
  if (prefix !== '') headers.push('X-Forwarded-Prefix', prefix)
}
