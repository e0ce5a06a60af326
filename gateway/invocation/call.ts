// One call as the gateway understood it: what its head says, where it is answered. Plain data.
import type { IncomingMessage } from 'node:http'
import type { FunctionVersion } from '../../worker/api.ts'
import type { GatewayResponse } from '../response.ts'
import type { CallOptions } from './call-options.ts'
import type { RequestHeaders } from './request-headers.ts'
import type { ResponseSink } from './response-sink.ts'

/** `sync`: straight to the worker. `accept`: down the durable lane, answered with 202. `dispatch`: down the lane and awaited. */
export type Lane = 'sync' | 'accept' | 'dispatch'

/** Before its body. */
export interface Call {
  readonly incoming: IncomingMessage
  readonly outgoing: GatewayResponse
  readonly sink: ResponseSink
  readonly lane: Lane
  readonly id: string
  readonly version: FunctionVersion
  readonly options: CallOptions
  readonly headers: RequestHeaders
  /** Raw `/path?query` for the function. */
  readonly target: string
  readonly method: string
  /** Token id or `anonymous`. */
  readonly caller: string
}
