// What a gateway is made from: all that lies behind it is given, here and nowhere else.
import type { Clock, HostReport, Limits, Logger, LoopStands, Networks, VolumeStore } from '../runtime/api.ts'
import type { Deployer, Fleet, Worker } from '../worker/api.ts'
import type { Callbacks, DurableLane, Schedules } from '../worker/queue/api.ts'
import type { Registry } from '../worker/registry/api.ts'
import type { FunctionNetworks } from '../worker/registry/networks.ts'
import type { Quotas } from '../worker/registry/quotas.ts'
import type { Secrets } from '../worker/registry/secrets.ts'
import type { Tokens } from '../worker/registry/tokens.ts'
import type { AuditRetention } from './auth/audit-files.ts'

export interface GatewayOptions {
  readonly worker: Worker
  readonly deployer: Deployer
  readonly registry: Registry
  /** Null: no durable lane; asynchronous calls are 503. */
  readonly lane: DurableLane | null
  /** Null or not given: schedules are 503. */
  readonly schedules?: Schedules | null
  /** Null or not given: what belongs to callbacks is 503. */
  readonly callbacks?: Callbacks | null
  /** null: sandboxes are the fleet's alone. */
  readonly runtimeHost: HostReport | null
  readonly token: string
  /** Tokens of namespaces; not given: there is the platform's own alone. */
  readonly tokens?: Tokens
  /** Not given: secrets are 501. */
  readonly secrets?: Secrets
  /** Not given: namespaces have no quotas. */
  readonly quotas?: Quotas
  /** Workers in other processes; not given: there is `worker` alone. */
  readonly fleet?: Fleet
  /** Not given: volumes are 501. */
  readonly volumes?: VolumeStore
  /** Not given: networks are 501. */
  readonly networks?: FunctionNetworks
  /** Of the sandboxes of this process; not given: functions do not call each other by name here. */
  readonly sandboxNetworks?: Networks | undefined
  readonly listen: { readonly host: string; readonly port: number }
  /** Further host names under which `/v1` answers (FN_HOSTS). */
  readonly hosts: readonly string[]
  readonly stateDir: string
  /** How long and how much of the audit log is kept; not given: the defaults. */
  readonly audit?: AuditRetention
  readonly logger: Logger
  readonly clock: Clock
  /** Not given: the metrics of the event loop are left out. */
  readonly loop?: LoopStands
  readonly version: string
  /** Throws RuntimeError LIMIT_UNSUPPORTED. */
  readonly checkLimits: (asked: Partial<Limits>) => void
  /** The configuration for people; nothing secret. */
  readonly config: object
  readonly ready: () => { readonly ready: boolean; readonly reason?: string; readonly warning?: string }
  /** True: `X-Forwarded-*` of the peer are believed and extended. */
  readonly behindProxy?: boolean
  /** Whether callers without a token learn what went wrong in a function (FN_ERRORS); default: they do. */
  readonly tellsFaults?: boolean
  readonly tls?: { readonly cert: string | Buffer; readonly key: string | Buffer }
  /** Connections at once; default 10,000. */
  readonly maxConnections?: number
  /** Highest bodies, bytes; for tests. */
  readonly bodyLimits?: { readonly sync: number; readonly async: number }
}
