// Owns the response class of the gateway's server: a ServerResponse that knows its sink and whether its client still waits
// for `100 Continue`. Holds no logic of answering.
import { type IncomingMessage, ServerResponse } from 'node:http'
import type { Caller } from './auth/token.ts'
import type { ResponseSink } from './invocation/response-sink.ts'

/** Strings up to 16 KiB leave node without an allocation; the head takes its part. */
const ONE_STRING_BYTES = 8 * 1024

export class GatewayResponse<Request extends IncomingMessage = IncomingMessage> extends ServerResponse<Request> {
  /** The invocation this response belongs to; null for control calls. */
  sink: ResponseSink | null = null
  /** Who calls the control API; null: nobody known, or an invocation. */
  caller: Caller | null = null
  /** The client sent `Expect: 100-continue` and holds its body back. */
  awaitsContinue = false
  /** A whole refusal was written, and the rest of the request's body is let run by before the end. */
  lingers = false

  /** Ends a response whose head was just written and whose body is `body` alone. The same bytes as `end(body)`, but head and
   *  body leave as one string in one write: as two chunks they cost a writev and three entries of the socket's queue. */
  endWhole(body: Buffer): void {
    const head = this as { _header?: unknown }
    if (body.length > ONE_STRING_BYTES || typeof head._header !== 'string') {
      this.end(body)
      return
    }
    head._header += body.toString('latin1')
    this.end()
  }

  /** Lets the client send its body. Idempotent. */
  allowBody(): void {
    if (!this.awaitsContinue) return
    this.awaitsContinue = false
    this.writeContinue()
  }
}
