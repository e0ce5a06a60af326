// Owns what a control route is: one row that says method, path, words for OpenAPI, and what runs. Holds no route itself.
import type { IncomingMessage } from 'node:http'
import type { Context } from 'hono'
import type { LiveStreams } from '../live-stream.ts'
import type { Metrics } from '../metrics.ts'
import type { GatewayOptions } from '../options.ts'
import type { GatewayResponse } from '../response.ts'

export type ControlEnv = { Bindings: { incoming: IncomingMessage; outgoing: GatewayResponse } }
export type ControlContext = Context<ControlEnv>

/** What control routes work with. */
export interface ControlParts
  extends Pick<
    GatewayOptions,
    | 'worker'
    | 'deployer'
    | 'registry'
    | 'tokens'
    | 'secrets'
    | 'quotas'
    | 'volumes'
    | 'networks'
    | 'fleet'
    | 'lane'
    | 'schedules'
    | 'callbacks'
    | 'runtimeHost'
    | 'stateDir'
    | 'logger'
    | 'clock'
    | 'version'
    | 'config'
    | 'ready'
  > {
  readonly streams: LiveStreams
  readonly metrics: Metrics
  /** True: the listener speaks TLS. */
  readonly secure: boolean
}

export interface Route {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE'
  /** With parameters as in OpenAPI: `/v1/functions/{name}`. */
  readonly path: string
  /** OpenAPI's operationId. */
  readonly id: string
  readonly summary: string
  /** True: no token. */
  readonly open?: boolean
  /** Query parameter → what it says. */
  readonly query?: Readonly<Record<string, string>>
  /** Content type and meaning of the request body, and whether it may be left out. */
  readonly body?: {
    readonly type: string
    readonly doc: string
    readonly optional?: boolean
    /** JSON Schema; every part of it has a bound. */
    readonly schema: object
  }
  /** Status → what the answer is; `schema` names one of openapi.ts. */
  readonly answers: Readonly<Record<string, { readonly doc: string; readonly schema?: string; readonly type?: string }>>
  /** Null: answered before the router (it streams its body). */
  readonly handle: ((context: ControlContext) => Response | Promise<Response>) | null
}
