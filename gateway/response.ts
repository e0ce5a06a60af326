// Owns the response class of the gateway's server: a ServerResponse that knows its sink and whether its client still waits
// for `100 Continue`. Holds no logic of answering.
import { type IncomingMessage, ServerResponse } from 'node:http'
import type { ResponseSink } from './invocation/response-sink.ts'

export class GatewayResponse<Request extends IncomingMessage = IncomingMessage> extends ServerResponse<Request> {
  /** The invocation this response belongs to; null for control calls. */
  sink: ResponseSink | null = null
  /** The client sent `Expect: 100-continue` and holds its body back. */
  awaitsContinue = false

  /** Lets the client send its body. Idempotent. */
  allowBody(): void {
    if (!this.awaitsContinue) return
    this.awaitsContinue = false
    this.writeContinue()
  }
}
