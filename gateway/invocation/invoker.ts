// Owns the way of an invocation through the gateway: resolve, authorise, read options, take the body, hand it to the worker or
// to the durable lane. Everything that runs on a warm call is here and in the files beside it; no Hono, no URL objects.
import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import type { Clock, Limits, Logger } from '../../runtime/api.ts'
import type { FunctionVersion, Worker } from '../../worker/api.ts'
import type { Callbacks, DurableLane } from '../../worker/queue/api.ts'
import type { Registry } from '../../worker/registry/api.ts'
import { DEFAULT_NAMESPACE } from '../../worker/registry/names.ts'
import type { QuotaRate } from '../../worker/registry/quota-rates.ts'
import { bearerOf } from '../auth/authorization.ts'
import type { TokenRates } from '../auth/rate.ts'
import { namespaceFor } from '../auth/scopes.ts'
import { type Caller, hasScope, type TokenCheck } from '../auth/token.ts'
import { GatewayError, refusalOf, refusalOfError } from '../errors.ts'
import { answerProblem } from '../problem.ts'
import type { GatewayResponse } from '../response.ts'
import { AsyncCalls } from './async-calls.ts'
import type { Call, Lane } from './call.ts'
import { type CallOptions, namespaceOf, parseCallOptions, prefersAsync } from './call-options.ts'
import { IdSource } from './id.ts'
import { GATHER_BYTES, gatherBody, RequestBody, tooLarge } from './request-body.ts'
import { addForwarded, type RequestHeaders } from './request-headers.ts'
import { ResponseSink } from './response-sink.ts'
import { RouteCache } from './route-cache.ts'
import type { InvocationTarget } from './target.ts'
import type { UploadWatch } from './upload-watch.ts'

const GIB = 1024 ** 3
/** Highest body of a synchronous and of an asynchronous call. */
export const BODY_LIMITS = Object.freeze({ sync: GIB, async: 100 * 1024 ** 2 })

export interface InvokerOptions {
  readonly worker: Worker
  readonly registry: Registry
  readonly lane: DurableLane | null
  readonly tokens: TokenCheck
  readonly rates: TokenRates
  /** Requests of each namespace; null: none is counted. */
  readonly requests: QuotaRate | null
  readonly watch: UploadWatch
  readonly clock: Clock
  readonly logger: Logger
  /** Says what no callback will reach. */
  readonly callbacks?: Pick<Callbacks, 'refusal'> | null
  readonly behindProxy: boolean
  /** Callers without a token also learn what went wrong in a function (FN_ERRORS). */
  readonly tellsFaults: boolean
  readonly secure: boolean
  /** Throws when this host cannot enforce a limit. */
  readonly checkLimits: (asked: Partial<Limits>) => void
  readonly bodyLimits?: { readonly sync: number; readonly async: number }
}

export class Invoker {
  readonly #options: InvokerOptions
  readonly #routes: RouteCache
  readonly #ids: IdSource
  readonly #async: AsyncCalls
  readonly #limits: { readonly sync: number; readonly async: number }
  readonly #proto: string

  constructor(options: InvokerOptions) {
    this.#options = options
    this.#routes = new RouteCache(options.registry)
    this.#ids = new IdSource(() => options.clock.now())
    this.#async = new AsyncCalls(options.lane, options.logger)
    this.#limits = options.bodyLimits ?? BODY_LIMITS
    this.#proto = options.secure ? 'https' : 'http'
  }

  /** Answers a call of `/fn/…` or of a function's own host. `trusted`: a function of the same network calls, which needs no
   *  token. Gives the id of the call, or null for one that was refused. Never throws. */
  invoke(
    incoming: IncomingMessage,
    outgoing: GatewayResponse,
    headers: RequestHeaders,
    target: InvocationTarget,
    trusted = false,
  ): string | null {
    let id: string | null = null
    let version: FunctionVersion | null = null
    try {
      const caller = headers.authorization === null ? null : this.#identify(headers.authorization)
      const named = target.namespace ?? namespaceOf(headers.own)
      const namespace = (caller === null ? named : namespaceFor(caller, named)) ?? DEFAULT_NAMESPACE
      this.#options.requests?.expect(namespace)
      const candidate = this.#ids.next()
      version = this.#routes.find(namespace, target.spec, candidate)
      const authorised = trusted || authorise(caller, version)
      const tellsFaults = this.#options.tellsFaults || caller !== null || authorised
      id = candidate
      const options = parseCallOptions(headers.own, version.config)
      const lane: Lane = prefersAsync(headers.prefer) ? 'accept' : options.durable ? 'dispatch' : 'sync'
      if (headers.own !== null) this.#checkOptions(options, authorised, lane)
      addForwarded(headers, {
        address: addressOf(incoming),
        proto: this.#proto,
        prefix: target.prefix,
        behindProxy: this.#options.behindProxy,
      })
      const call: Call = {
        incoming,
        outgoing,
        sink: new ResponseSink(incoming, outgoing, id, version.version, options.wantsMetering, tellsFaults),
        lane,
        id,
        version,
        options,
        headers,
        target: target.target,
        method: incoming.method ?? 'GET',
        caller: caller?.id ?? 'anonymous',
      }
      if (headers.chunked || headers.contentLength > 0) this.#takeBody(call)
      else this.#start(call, null)
      return id
    } catch (error) {
      this.#refuse(incoming, outgoing, error, id, version)
      return null
    }
  }

  /** Answers `POST /v1/functions/{name}/invocations`; the caller is authorised already. `spec` is `name` or `name@reference`.
   *  The function sees `POST /` with body and content type as sent. Never throws. */
  enqueue(incoming: IncomingMessage, outgoing: GatewayResponse, headers: RequestHeaders, spec: string): void {
    let id: string | null = null
    let version: FunctionVersion | null = null
    try {
      const candidate = this.#ids.next()
      const { caller } = outgoing
      const namespace = namespaceFor(caller, namespaceOf(headers.own)) ?? DEFAULT_NAMESPACE
      version = this.#routes.find(namespace, spec, candidate)
      id = candidate
      const options = parseCallOptions(headers.own, version.config)
      if (headers.own !== null) this.#checkOptions(options, true, 'accept')
      keepContentHeaders(headers)
      const call: Call = {
        incoming,
        outgoing,
        sink: new ResponseSink(incoming, outgoing, id, version.version, false, true),
        lane: 'accept',
        id,
        version,
        options,
        headers,
        target: '/',
        method: 'POST',
        caller: caller?.id ?? 'token',
      }
      if (headers.chunked || headers.contentLength > 0) this.#takeBody(call)
      else this.#start(call, null)
    } catch (error) {
      this.#refuse(incoming, outgoing, error, id, version)
    }
  }

  close(): void {
    this.#routes.close()
  }

  /** Null for an `Authorization` that is none of ours: it is the function's. Throws UNAUTHORIZED | RATE_LIMITED. */
  #identify(authorization: string): Caller | null {
    const { tokens, rates } = this.#options
    if (!tokens.isOurs(authorization)) return null
    const caller = tokens.identify(authorization)
    if (caller === null) {
      const reason =
        bearerOf(authorization) === null ? 'send a token as Authorization: Bearer TOKEN' : 'the token is not valid'
      throw new GatewayError('UNAUTHORIZED', reason)
    }
    rates.take(caller)
    return caller
  }

  #checkOptions(options: CallOptions, authorised: boolean, lane: Lane): void {
    if (options.needsToken !== null && !authorised)
      throw new GatewayError('UNAUTHORIZED', `${options.needsToken} needs a token (Authorization: Bearer TOKEN)`)
    if (options.asyncOnly.length > 0 && lane === 'sync')
      throw new GatewayError(
        'BAD_REQUEST',
        `${options.asyncOnly[0]} is for asynchronous calls; add Prefer: respond-async or Fn-Dispatch: durable`,
      )
    if (Object.keys(options.limits).length > 0) this.#options.checkLimits(options.limits)
    const refusal = options.callback === null ? null : this.#options.callbacks?.refusal(new URL(options.callback))
    if (refusal) throw new GatewayError('BAD_REQUEST', `Fn-Callback: ${refusal}`)
  }

  #takeBody(call: Call): void {
    const { incoming, headers, sink } = call
    const limit = call.lane === 'sync' ? this.#limits.sync : this.#limits.async
    if (headers.contentLength > limit) {
      sink.refuse(refusalOfError(tooLarge(limit), call.id))
      return
    }
    call.outgoing.allowBody()
    const gathered = !headers.chunked && headers.contentLength <= GATHER_BYTES
    const stalled = (): void => {
      const words = 'the request body stood still or came too slowly'
      sink.abandon(refusalOf('REQUEST_TIMEOUT', words, { invocationId: call.id }))
    }
    // A function that reads a body as it comes has its own time-out; after its answer nobody reads any more.
    this.#options.watch.add(incoming, stalled, { mayTrickle: () => call.lane === 'sync' && !gathered && sink.isOpen })
    if (gathered) {
      gatherBody(incoming, headers.contentLength, (body) => this.#start(call, body))
      return
    }
    const body = new RequestBody(incoming, limit)
    body.on('error', (error) => {
      // Not when its reader gave it up: why it did is the better answer.
      if (error instanceof GatewayError) sink.bodyRefusal = refusalOfError(error, call.id)
    })
    this.#start(call, body)
  }

  /** Never throws: it also runs from events of the request. */
  #start(call: Call, body: Buffer | Readable | null): void {
    try {
      this.#send(call, body)
    } catch (error) {
      this.#options.logger.error({ err: error, invocation: call.id }, 'invocation failed')
      call.sink.refuse(refusalOfError(error, call.id))
    }
  }

  #send(call: Call, body: Buffer | Readable | null): void {
    if (call.lane === 'sync') this.#run(call, body)
    else if (call.lane === 'accept') void this.#async.accept(call, body)
    else void this.#async.dispatch(call, body)
  }

  #run(call: Call, body: Buffer | Readable | null): void {
    const { options, headers, sink } = call
    sink.attach(
      this.#options.worker.invoke(
        {
          id: call.id,
          version: call.version,
          attempt: 1,
          method: call.method,
          target: call.target,
          headers: headers.headers,
          body,
          limits: options.limits,
          timeoutMs: options.timeoutMs,
          wantsMetering: options.wantsMetering,
          traceparent: headers.traceparent,
          acceptedAtMs: this.#options.clock.now(),
        },
        sink,
      ),
    )
  }

  #refuse(
    incoming: IncomingMessage,
    outgoing: GatewayResponse,
    error: unknown,
    id: string | null,
    version: FunctionVersion | null,
  ): void {
    const refusal = refusalOfError(error, id)
    if (refusal.problem.code === 'INTERNAL')
      this.#options.logger.error({ err: error, invocation: id }, 'invocation failed')
    const resolved = id !== null && version !== null
    answerProblem(
      incoming,
      outgoing,
      refusal,
      resolved ? ['Fn-Invocation-Id', id!, 'Fn-Version', String(version!.version)] : [],
    )
  }
}

/** Whether the caller has the scope `invoke`, which a function that is not public needs. Throws UNAUTHORIZED | FORBIDDEN. */
function authorise(caller: Caller | null, version: FunctionVersion): boolean {
  if (hasScope(caller, 'invoke')) return true
  if (version.config.public) return false
  if (caller === null)
    throw new GatewayError('UNAUTHORIZED', `${version.name} is not public; send Authorization: Bearer TOKEN`)
  throw new GatewayError('FORBIDDEN', `${version.name} is not public: the token ${caller.name} lacks the scope invoke`)
}

function addressOf(incoming: IncomingMessage): string {
  const address = incoming.socket.remoteAddress ?? 'unknown'
  return address.startsWith('::ffff:') ? address.slice(7) : address
}

/** Of the caller's headers only those that describe the body. */
function keepContentHeaders(headers: RequestHeaders): void {
  const list = headers.headers
  let kept = 0
  for (let index = 0; index < list.length; index += 2) {
    const lower = list[index]!.toLowerCase()
    if (!lower.startsWith('content-') && lower !== 'host' && lower !== 'traceparent') continue
    list[kept] = list[index]!
    list[kept + 1] = list[index + 1]!
    kept += 2
  }
  list.length = kept
}
