// Owns the way of one invocation's response to its client: head, chunks, end or failure, written straight to node:http.
// Runs on every warm call: a small response leaves in one write. Knows nothing of routing or options.
import type { IncomingMessage } from 'node:http'
import type { Metering } from '../../runtime/api.ts'
import type {
  Invocation,
  InvocationFailure,
  InvocationSink,
  Phases,
  ResponseHead,
  StartKind,
} from '../../worker/api.ts'
import { type Refusal, refusalOf, refusalOfFailure } from '../errors.ts'
import { answerProblem } from '../problem.ts'
import type { GatewayResponse } from '../response.ts'
import { discardRest } from './request-body.ts'
import { filterResponseHeaders, pushTiming } from './response-headers.ts'

/** A client that reads nothing of a finished response for this long is cut off. */
export const SLOW_READER_MS = 30_000

/** `open`: no head yet. `headed`: the head came and waits for company until the end of this turn. `written`: it is on its way. */
type SinkState = 'open' | 'headed' | 'written' | 'over'

export class ResponseSink implements InvocationSink {
  readonly #incoming: IncomingMessage
  readonly #outgoing: GatewayResponse
  readonly #id: string
  readonly #version: string
  readonly #wantsTrailer: boolean
  #invocation: Invocation | null = null
  #state: SinkState = 'open'
  #head: ResponseHead | null = null
  #chunk: Buffer | null = null
  /** Bytes the function promised; −1: none promised. */
  #promised = -1
  #sent = 0
  #hasBody = true
  #clientGone = false
  #drainListens = false
  /** Whether the caller may know what went wrong in the function. */
  readonly tellsFaults: boolean
  /** Why the body stream failed, when it did: a better answer than the failure it causes below. */
  bodyRefusal: Refusal | null = null

  constructor(
    incoming: IncomingMessage,
    outgoing: GatewayResponse,
    id: string,
    version: number,
    wantsTrailer: boolean,
    tellsFaults: boolean,
  ) {
    this.tellsFaults = tellsFaults
    this.#incoming = incoming
    this.#outgoing = outgoing
    this.#id = id
    this.#version = String(version)
    this.#wantsTrailer = wantsTrailer
    outgoing.sink = this
    outgoing.on('close', onClose)
  }

  /** The invocation that feeds this sink; calls may come before it is known. */
  attach(invocation: Invocation): void {
    this.#invocation = invocation
    if (this.#clientGone && this.#state !== 'over') invocation.abort('client')
  }

  head(head: ResponseHead): void {
    if (this.#state !== 'open') return
    this.#state = 'headed'
    this.#head = head
    const { status } = head
    this.#hasBody = this.#incoming.method !== 'HEAD' && status !== 204 && status !== 304
    process.nextTick(flushHead, this)
  }

  data(chunk: Buffer): boolean {
    if (this.#state === 'over' || chunk.length === 0 || !this.#hasBody) return true
    this.#sent += chunk.length
    if (this.#state === 'headed') {
      if (this.#chunk === null) {
        this.#chunk = chunk
        return true
      }
      this.flush()
      if ((this.#state as SinkState) === 'over') return true
    }
    if (this.#promised >= 0 && this.#sent > this.#promised) {
      this.#cut()
      return true
    }
    return this.#outgoing.write(chunk) || this.#waitForDrain()
  }

  end(metering: Metering | null): void {
    if (this.#state === 'over' || this.#state === 'open') return
    const outgoing = this.#outgoing
    if (this.#state === 'headed') {
      if (!this.#writeHead(true)) return
      if (this.#wantsTrailer && metering !== null) addMetering(outgoing, metering)
      this.#state = 'over'
      if (this.#chunk === null) outgoing.end()
      else if (this.#wantsTrailer) outgoing.end(this.#chunk)
      else outgoing.endWhole(this.#chunk)
    } else {
      if (this.#promised >= 0 && this.#sent !== this.#promised && this.#hasBody) {
        this.#cut()
        return
      }
      if (this.#wantsTrailer && metering !== null) addMetering(outgoing, metering)
      this.#state = 'over'
      outgoing.end()
    }
    this.#settle()
  }

  failed(failure: InvocationFailure, start: StartKind | null, phases: Phases | null): void {
    if (this.#state === 'over') return
    // Of a head that is still held back the client knows nothing yet: it gets the failure instead.
    if (this.#state === 'headed') this.#state = 'open'
    // A fault after the head cuts the connection: nothing else tells a client that the body is not whole.
    if (this.#state !== 'open' || failure.code === 'CLIENT_GONE' || failure.code === 'CLIENT_SLOW') {
      this.#cut()
      return
    }
    const refusal = failure.code === 'BODY_ABORTED' && this.bodyRefusal !== null ? this.bodyRefusal : null
    this.refuse(refusal ?? refusalOfFailure(failure, this.#id, this.tellsFaults), start, phases)
  }

  /** Answers with a problem, if nothing was answered yet. */
  refuse(refusal: Refusal, start: StartKind | null = null, phases: Phases | null = null): void {
    if (this.#state !== 'open') return
    this.#state = 'over'
    const headers = ['Fn-Invocation-Id', this.#id, 'Fn-Version', this.#version]
    pushTiming(headers, start, phases)
    answerProblem(this.#incoming, this.#outgoing, refusal, headers)
  }

  /** Somebody else answers: this sink does nothing more. */
  detach(): void {
    this.#state = 'over'
  }

  /** Writes a head that is still held back, with the first chunk if there is one. Called at the end of the turn. */
  flush(): void {
    if (this.#state !== 'headed' || !this.#writeHead(false)) return
    this.#state = 'written'
    const chunk = this.#chunk
    this.#chunk = null
    if (chunk === null) this.#outgoing.flushHeaders()
    else if (this.#promised >= 0 && this.#sent > this.#promised) this.#cut()
    else this.#outgoing.write(chunk)
  }

  /** The connection closed, for whatever reason. */
  closed(): void {
    this.#clientGone = true
    if (this.#state === 'over') return
    this.#state = 'over'
    this.#invocation?.abort('client')
  }

  /** False once the whole answer was given, or never will be. */
  get isOpen(): boolean {
    return this.#state !== 'over'
  }

  /** The caller is given up on: answers with `refusal` if it still can, and lets the call know. After the answer it can only
   *  take the connection from a body that nobody waits for. */
  abandon(refusal: Refusal): void {
    if (this.#state === 'over') {
      if (!this.#incoming.complete) this.#incoming.destroy()
      return
    }
    if (this.#state === 'open') this.refuse(refusal)
    else this.#cut()
    this.#invocation?.abort('client')
  }

  #writeHead(whole: boolean): boolean {
    const head = this.#head!
    const { headers, contentLength } = filterResponseHeaders(head.headers)
    // Trailers need the chunked coding, which HTTP/1.0 has not.
    const trailer = this.#wantsTrailer && this.#hasBody && this.#incoming.httpVersionMinor > 0
    if (trailer) headers.push('Trailer', 'Fn-Metering')
    else if (!this.#hasBody) {
      if (contentLength >= 0 && head.status !== 204) headers.push('Content-Length', String(contentLength))
    } else if (whole) headers.push('Content-Length', String(this.#sent))
    else if (contentLength >= 0) {
      this.#promised = contentLength
      headers.push('Content-Length', String(contentLength))
    }
    headers.push('Fn-Invocation-Id', this.#id, 'Fn-Version', this.#version)
    pushTiming(headers, head.start, head.phases)
    try {
      if (head.reason === undefined) this.#outgoing.writeHead(head.status, headers)
      else this.#outgoing.writeHead(head.status, head.reason, headers)
      return true
    } catch (error) {
      this.#state = 'open'
      this.refuse(
        refusalOf('FUNCTION_INVALID_RESPONSE', `the response's head cannot be sent: ${(error as Error).message}`, {
          invocationId: this.#id,
        }),
        head.start,
        head.phases,
      )
      this.#invocation?.abort('client')
      return false
    }
  }

  #waitForDrain(): false {
    if (!this.#drainListens) {
      this.#drainListens = true
      this.#outgoing.on('drain', () => this.#invocation?.resume())
    }
    return false
  }

  #cut(): void {
    const over = this.#state === 'over'
    this.#state = 'over'
    this.#outgoing.destroy()
    if (!over) this.#invocation?.abort('client')
  }

  // What the function did not read of its request still has to leave the connection; and a client that reads nothing must not
  // hold the rest of the response for ever.
  #settle(): void {
    if (!this.#incoming.complete) discardRest(this.#incoming)
    if (this.#outgoing.writableLength > 0) this.#outgoing.socket?.setTimeout(SLOW_READER_MS)
  }
}

function onClose(this: GatewayResponse): void {
  this.sink?.closed()
}

function flushHead(sink: ResponseSink): void {
  sink.flush()
}

/** Says what a call used, behind its body. Node leaves trailers out by itself where the coding has none. */
export function addMetering(outgoing: GatewayResponse, metering: Metering): void {
  outgoing.addTrailers([['Fn-Metering', JSON.stringify(metering)]])
}
