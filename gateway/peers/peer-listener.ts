// Owns the listener that functions of a network call each other through, on the platform's own address of the sandboxes' bridge:
// who calls is told by the address alone, which the filter keeps true. No token, no Fn-* header and no control API is known here.
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import type { Logger, Networks } from '../../runtime/api.ts'
import type { Worker } from '../../worker/api.ts'
import type { Registry } from '../../worker/registry/api.ts'
import { peerOfOwner } from '../../worker/registry/network-text.ts'
import { isPeerOn } from '../../worker/registry/networks.ts'
import { GatewayError, refusalOf, refusalOfError } from '../errors.ts'
import { expectFramed } from '../invocation/framing.ts'
import type { Invoker } from '../invocation/invoker.ts'
import { readRequestHeaders } from '../invocation/request-headers.ts'
import { leavesRoot } from '../invocation/target.ts'
import { answerProblem, isClosing, refuseSocket } from '../problem.ts'
import { GatewayResponse } from '../response.ts'
import { CallDepths, expectPeer } from './peer-calls.ts'

export interface PeerListenerOptions {
  readonly networks: Networks
  readonly registry: Registry
  readonly worker: Pick<Worker, 'callsIn'>
  readonly invoker: Invoker
  readonly logger: Logger
}

const PORT = 80
const MAX_HEAD_BYTES = 32 * 1024
const HEADERS_TIMEOUT_MS = 15_000
/** Shorter than the connection pools of clients inside: a sandbox that was frozen meanwhile sees it closed and makes a new one. */
const KEEP_ALIVE_MS = 65_000
/** What a function says to another of its namespace is its own. */
const NO_TOKENS = { isOurs: () => false, isIn: () => false }

export class PeerListener {
  readonly #options: PeerListenerOptions
  readonly #depths = new CallDepths()
  #server: Server | null = null

  constructor(options: PeerListenerOptions) {
    this.#options = options
    const { networks, registry } = options
    networks.answerPeers((owner, name) => {
      const caller = peerOfOwner(owner)
      return caller !== null && isPeerOn(registry, caller.namespace, caller.network, name)
    })
    networks.onOpen((address) => this.#listen(address))
  }

  /** Accepts no more; what runs may end for `graceMs`. */
  async close(graceMs: number): Promise<void> {
    const server = this.#server
    if (server === null) return
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    server.closeIdleConnections()
    const cut = setTimeout(() => server.closeAllConnections(), graceMs)
    await closed
    clearTimeout(cut)
  }

  #listen(address: string): void {
    this.#server?.close()
    const server = createServer({
      ServerResponse: GatewayResponse,
      maxHeaderSize: MAX_HEAD_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_MS,
      requireHostHeader: false,
    })
    server.maxHeadersCount = 0
    const handle = (incoming: IncomingMessage, outgoing: GatewayResponse): void => this.#handle(incoming, outgoing)
    server.on('request', handle as RequestListener<typeof IncomingMessage, typeof GatewayResponse>)
    server.on('checkContinue', (incoming: IncomingMessage, outgoing: GatewayResponse) => {
      outgoing.awaitsContinue = true
      handle(incoming, outgoing)
    })
    server.on('upgrade', (_incoming, socket) =>
      refuseSocket(socket, refusalOf('UPGRADE_UNSUPPORTED', 'calls between functions do not upgrade')),
    )
    server.on('connect', (_incoming, socket) =>
      refuseSocket(socket, refusalOf('METHOD_NOT_ALLOWED', 'CONNECT is not allowed')),
    )
    server.on('clientError', (error: Error, socket) => {
      if (socket.writable && !('_httpMessage' in socket && socket._httpMessage !== null))
        refuseSocket(socket, refusalOf('BAD_REQUEST', `not a valid HTTP request: ${error.message}`))
      else socket.destroy()
    })
    server.on('error', (error) => this.#options.logger.warn({ error: String(error) }, 'calls between functions'))
    server.listen(PORT, address)
    this.#server = server as unknown as Server
  }

  #handle(incoming: IncomingMessage, outgoing: GatewayResponse): void {
    if (isClosing(incoming.socket)) return
    try {
      const { networks, registry, worker, invoker } = this.#options
      const from = incoming.socket.remoteAddress ?? ''
      const sandbox = networks.sandboxAt(from)
      const caller = sandbox === null ? null : peerOfOwner(sandbox.owner)
      if (sandbox === null || caller === null)
        throw new GatewayError(
          'FUNCTION_NOT_FOUND',
          'only functions on a network (fn network create) call each other here',
        )
      const headers = readRequestHeaders(incoming.rawHeaders, NO_TOKENS)
      expectFramed(incoming, headers)
      if (headers.hosts !== 1 || headers.otherCoding !== null || incoming.method === 'TRACE')
        throw new GatewayError('BAD_REQUEST', 'expected one Host header, a plain or chunked body, and not TRACE')
      const url = incoming.url ?? '/'
      if (!url.startsWith('/') || leavesRoot(url)) throw new GatewayError('BAD_REQUEST', 'the target is no path')
      const name = expectPeer(registry, caller, headers.host)
      const depth = this.#depths.next(worker.callsIn?.(sandbox.id) ?? [])
      // CONTRACT: what only callers with a token, or of the control API, may say is not heard here.
      headers.own = null
      headers.forwarded = null
      headers.proxied = null
      headers.prefer = null
      headers.idempotencyKey = null
      headers.authorization = null
      headers.headers.push('Fn-Caller', caller.name, 'Fn-Call-Depth', String(depth))
      const target = { namespace: caller.namespace, spec: name, target: url, prefix: '' }
      const id = invoker.invoke(incoming, outgoing, headers, target, true)
      if (id !== null) this.#depths.begin(id, depth)
    } catch (error) {
      answerProblem(incoming, outgoing, refusalOfError(error))
    }
  }
}
