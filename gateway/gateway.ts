// Owns the listener: what is an invocation, what is a control call, what is refused before either. Works on raw request targets;
// Hono sees only control calls that passed. Owns start and stop of the HTTP face, nothing of what lies behind it.
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Clock } from '../runtime/api.ts'
import { QuotaRate } from '../worker/registry/quota-rates.ts'
import { createControl } from './app.ts'
import { AuditLog } from './auth/audit-log.ts'
import { HeldRequests, MOST_STREAMS } from './auth/held-requests.ts'
import { createHostCheck } from './auth/known-host.ts'
import { TokenRates } from './auth/rate.ts'
import { ReadTurns } from './auth/read-turns.ts'
import { TokenCheck } from './auth/token.ts'
import { expectNarrowWorker, expectNotDashboard } from './auth/web-pages.ts'
import { ConnectionBounds } from './connection-bounds.ts'
import { ControlGate } from './control-gate.ts'
import { GatewayError, type Refusal, refusalOf, refusalOfError } from './errors.ts'
import { expectFramed, isContinue } from './invocation/framing.ts'
import { Invoker } from './invocation/invoker.ts'
import { readRequestHeaders } from './invocation/request-headers.ts'
import { parseHostTarget, parsePathTarget, toOriginForm } from './invocation/target.ts'
import { UploadWatch } from './invocation/upload-watch.ts'
import { LiveStreams } from './live-stream.ts'
import { Metrics } from './metrics.ts'
import type { GatewayOptions } from './options.ts'
import { PeerListener } from './peers/peer-listener.ts'
import { answerProblem, isClosing, refuseSocket } from './problem.ts'
import { GatewayResponse } from './response.ts'
import { removeStaleUploads } from './upload/read-upload.ts'

export interface Gateway {
  readonly url: string
  readonly server: Server
  /** Takes another certificate for connections made from now on. Only for a gateway that was made with one. Throws what
   *  `tls.createSecureContext` throws. */
  renewTls(tls: { readonly cert: string | Buffer; readonly key: string | Buffer }): void
  /** Accepts no more connections, lets running requests end for up to `graceMs`, then cuts what is left. Idempotent. */
  close(graceMs: number): Promise<void>
}

/** Highest request head, bytes; beyond it 431. */
const MAX_HEAD_BYTES = 32 * 1024
const MAX_CONNECTIONS = 10_000
const HEADERS_TIMEOUT_MS = 15_000
const KEEP_ALIVE_MS = 65_000
const CHECK_INTERVAL_MS = 5000
const CLOSE_POLL_MS = 20
/** Said though it is node's default: a NODE_OPTIONS must not lower it. */
const TLS_RULES = { minVersion: 'TLSv1.2' } as const

/** Listens. Rejects with node's own error (`code: 'EADDRINUSE'` …) when it cannot. */
export async function createGateway(options: GatewayOptions): Promise<Gateway> {
  const { tokens: book, clock } = options
  const tokens = new TokenCheck(options.token, (token) => book?.find(token) ?? null)
  const rates = new TokenRates(clock)
  const { quotas } = options
  const requests = quotas === undefined ? null : new QuotaRate(quotas, 'requestsPerSecond', clock)
  const audit = new AuditLog(options.stateDir, clock, options.logger, options.audit)
  const streams = new LiveStreams(options.clock)
  const metrics = new Metrics(options)
  const watch = new UploadWatch(clock)
  const invoker = new Invoker({
    ...options,
    tokens,
    rates,
    requests,
    watch,
    behindProxy: options.behindProxy ?? false,
    tellsFaults: options.tellsFaults ?? true,
    secure: options.tls !== undefined,
  })
  const { sandboxNetworks } = options
  const peers =
    sandboxNetworks === undefined ? null : new PeerListener({ ...options, networks: sandboxNetworks, invoker })
  const control = createControl({ ...options, streams, metrics, secure: options.tls !== undefined })
  const gate = new ControlGate({
    control,
    invoker,
    tokens,
    rates,
    requests,
    held: new HeldRequests(quotas ?? null),
    streams: new HeldRequests(quotas ?? null, 'streams', MOST_STREAMS),
    turns: new ReadTurns(),
    audit,
    watch,
    isKnownHost: createHostCheck(options.listen.host, options.hosts),
    behindProxy: options.behindProxy ?? false,
  })
  const front = new Front(invoker, gate, tokens)
  const server = serve(options, front)
  const { maxConnections = MAX_CONNECTIONS, behindProxy = false } = options
  new ConnectionBounds(maxConnections, !behindProxy, options.logger).watch(server)
  await removeStaleUploads(options.stateDir)
  try {
    await listen(server, options.listen)
  } catch (error) {
    metrics.close()
    invoker.close()
    watch.close()
    await audit.close()
    throw error
  }
  let closing: Promise<void> | null = null
  return {
    url: urlOf(server, options),
    server,
    renewTls: (tls) => (server as unknown as TlsServer).setSecureContext({ ...TLS_RULES, ...tls }),
    close: (graceMs) => {
      closing ??= Promise.all([closeServer(server, streams, options.clock, graceMs), peers?.close(graceMs)]).then(
        () => {
          metrics.close()
          invoker.close()
          watch.close()
          return audit.close()
        },
      )
      return closing
    },
  }
}

/** Tells invocations from control calls by the raw target and the Host, and refuses what neither may see. */
class Front {
  readonly #invoker: Invoker
  readonly #gate: ControlGate
  readonly #tokens: TokenCheck
  /** The last Host that was judged good. */
  #plainHost: string | null = null

  constructor(invoker: Invoker, gate: ControlGate, tokens: TokenCheck) {
    this.#invoker = invoker
    this.#gate = gate
    this.#tokens = tokens
  }

  readonly handle = (incoming: IncomingMessage, outgoing: GatewayResponse): void => {
    // After a badly framed request any bytes may look like the next one: its answer is the last on this connection.
    if (isClosing(incoming.socket)) return
    try {
      const headers = readRequestHeaders(incoming.rawHeaders, this.#tokens)
      if (headers.hosts !== 1) checkHosts(headers.hosts, incoming)
      else if (headers.host !== this.#plainHost) this.#plainHost = expectPlainHost(headers.host)
      if (incoming.httpVersionMajor !== 1) refuseVersion(incoming.httpVersion)
      if (headers.chunked) expectFramed(incoming, headers)
      if (headers.otherCoding !== null) refuseCoding(headers.otherCoding)
      if (incoming.method === 'TRACE') throw new GatewayError('METHOD_NOT_ALLOWED', 'TRACE is not allowed')
      let url = incoming.url!
      if (url.charCodeAt(0) !== 47) {
        const origin = toOriginForm(url, headers.host)
        if (origin === null) throw new GatewayError('BAD_REQUEST', 'the request target is not a path of this host')
        url = origin
      }
      const target = parseHostTarget(headers.host, url) ?? parsePathTarget(url)
      if (target !== null) {
        expectNotDashboard(headers.host, target)
        if (headers.forServiceWorker) expectNarrowWorker(url, target)
        if (headers.strayToken !== null) refuseStray(`the header ${headers.strayToken}`)
        if (this.#tokens.isIn(url)) refuseStray('the URL')
        this.#invoker.invoke(incoming, outgoing, headers, target)
      } else this.#gate.handle(incoming, outgoing, headers, url)
    } catch (error) {
      answerProblem(incoming, outgoing, refusalOfError(error))
    }
  }
}

/** The token would reach the function, whose author may be another person. */
function refuseStray(where: string): never {
  throw new GatewayError(
    'UNAUTHORIZED',
    `${where} has a token of this platform in it, which no function is given; send it as Authorization: Bearer TOKEN`,
  )
}

function refuseCoding(coding: string): never {
  const message = `the transfer coding ${JSON.stringify(coding)} is not decoded here; send the body plain or chunked`
  throw new GatewayError('NOT_IMPLEMENTED', message, { headers: ['Connection', 'close'] })
}

function checkHosts(hosts: number, incoming: IncomingMessage): void {
  // What else comes on such a connection is not to be trusted either.
  const headers = ['Connection', 'close']
  if (hosts > 1) throw new GatewayError('BAD_REQUEST', 'the request has more than one Host header', { headers })
  if (incoming.httpVersionMinor > 0)
    throw new GatewayError('BAD_REQUEST', 'the request has no Host header', { headers })
}

/** Whatever reads it later must read the same name out of it. */
function expectPlainHost(host: string): string {
  const name = host.replace(/:\d+$/, '').toLowerCase()
  const url = `http://${host}/`
  if (/^[\w.:[\]-]+$/.test(host) && URL.canParse(url) && new URL(url).hostname === name) return host
  const shown = JSON.stringify(host.slice(0, 200))
  throw new GatewayError('BAD_REQUEST', `the Host header ${shown} is not a host name with or without a port`, {
    headers: ['Connection', 'close'],
  })
}

function refuseVersion(version: string): never {
  const message = `HTTP/${version} is not spoken here in this form; send HTTP/1.1`
  throw new GatewayError('BAD_REQUEST', message, { headers: ['Connection', 'close'] })
}

function serve(options: GatewayOptions, front: Front): Server {
  const settings = {
    ServerResponse: GatewayResponse,
    maxHeaderSize: MAX_HEAD_BYTES,
    headersTimeout: HEADERS_TIMEOUT_MS,
    // A long upload is fine while it moves: UploadWatch ends those that stand still.
    requestTimeout: 0,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    highWaterMark: 64 * 1024,
    // Ours says it as a problem.
    requireHostHeader: false,
  }
  const server = (
    options.tls ? createTlsServer({ ...settings, ...TLS_RULES, ...options.tls }) : createServer(settings)
  ) as Server<typeof IncomingMessage, typeof GatewayResponse>
  // Node would silently drop headers above 2,000, and with them perhaps the ones we judge by; the head's size is bounded anyway.
  server.maxHeadersCount = 0
  server.on('request', front.handle as RequestListener<typeof IncomingMessage, typeof GatewayResponse>)
  const refuseExpectation = (incoming: IncomingMessage, outgoing: GatewayResponse): void => {
    outgoing.awaitsContinue = true
    const refusal = refusalOf('EXPECTATION_FAILED', `expected 100-continue, got ${incoming.headers.expect}`)
    answerProblem(incoming, outgoing, refusal)
  }
  server.on('checkContinue', (incoming: IncomingMessage, outgoing: GatewayResponse) => {
    // Node comes here with `100-continue, x`, too.
    if (!isContinue(incoming.headers.expect)) return refuseExpectation(incoming, outgoing)
    outgoing.awaitsContinue = true
    front.handle(incoming, outgoing)
  })
  server.on('checkExpectation', refuseExpectation)
  server.on('upgrade', (incoming: IncomingMessage, socket: Duplex) => {
    const asked = JSON.stringify(incoming.headers.upgrade ?? '')
    refuseSocket(socket, refusalOf('UPGRADE_UNSUPPORTED', `this server does not upgrade to ${asked}`))
  })
  server.on('connect', (_incoming: IncomingMessage, socket: Duplex) => {
    refuseSocket(socket, refusalOf('METHOD_NOT_ALLOWED', 'CONNECT is not allowed'))
  })
  server.on('clientError', answerClientError)
  return server as unknown as Server
}

/** What node's parser and timers refuse, as problems like all others. */
function answerClientError(error: Error & { code?: string }, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  // `parser` is node's, with the request it reads: one whose answer is there already gets no second one.
  const { parser } = socket as Socket & { parser?: { readonly incoming?: IncomingMessage | null } | null }
  // `_httpMessage` is the response in progress on a socket: bytes of ours must not land in the middle of one.
  const open = (socket as Socket & { _httpMessage?: GatewayResponse | null })._httpMessage
  if (open?.lingers) open.end()
  else if (open?.headersSent || (!open && parser?.incoming?.complete === false)) socket.destroy()
  else refuseSocket(socket, refusalOfClientError(error, open !== undefined && open !== null))
}

function refusalOfClientError(error: Error & { code?: string }, inBody: boolean): Refusal {
  if (error.code === 'HPE_HEADER_OVERFLOW')
    return refusalOf('HEADERS_TOO_LARGE', `the request's head is larger than ${MAX_HEAD_BYTES} bytes`)
  if (error.code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW')
    return refusalOf('BODY_TOO_LARGE', 'the chunk extensions are too large')
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return refusalOf('REQUEST_TIMEOUT', `the request's head did not arrive within ${HEADERS_TIMEOUT_MS / 1000} s`)
  if (inBody) return refusalOf('BODY_ABORTED', 'the request body ended early or is malformed')
  return refusalOf('BAD_REQUEST', `not a valid HTTP request: ${error.message}`)
}

function listen(server: Server, at: GatewayOptions['listen']): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(at.port, at.host, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

function urlOf(server: Server, options: GatewayOptions): string {
  const { port } = server.address() as AddressInfo
  const { host } = options.listen
  const name = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host
  return `${options.tls ? 'https' : 'http'}://${name}:${port}`
}

async function closeServer(server: Server, streams: LiveStreams, clock: Clock, graceMs: number): Promise<void> {
  let done = false
  const closed = new Promise<void>((resolve) =>
    server.close(() => {
      done = true
      resolve()
    }),
  )
  // Live streams never end by themselves.
  streams.close()
  const deadline = clock.monotonicMs() + graceMs
  // Connections kept alive turn idle one by one; node closes only those idle at the time of the call.
  const poll = (): void => {
    if (done) return
    if (clock.monotonicMs() >= deadline) server.closeAllConnections()
    else server.closeIdleConnections()
    setTimeout(poll, CLOSE_POLL_MS)
  }
  poll()
  await closed
}
