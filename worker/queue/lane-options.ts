// What a durable lane is made with. Data; nothing runs here.
import type { Clock, Logger } from '../../runtime/api.ts'
import type { Worker } from '../api.ts'
import type { Quotas } from '../registry/quotas.ts'
import type { RedisTarget } from '../store/connect.ts'
import type { Tracing } from '../tracing.ts'
import type { ReconcileTimes } from './reconciler.ts'
import type { SharedFiles } from './shared-files.ts'

export interface DurableLaneOptions {
  readonly target: RedisTarget
  readonly worker: Worker
  readonly stateDir: string
  readonly clock: Clock
  readonly logger: Logger
  /** False: calls are accepted here and run elsewhere. Default true. */
  readonly runs?: boolean
  /** How long this process leaves a call that another accepted to others, ms, by the function's key. Default: not at all. */
  readonly turnMs?: (functionKey: string) => number
  /** Where bodies and results of other processes lie. Default null: no other process serves these queues. */
  readonly files?: SharedFiles | null
  /** Runs at once, over all functions. Default 128. */
  readonly concurrency?: number
  /** No other platform serves these queues: what is active at the start was left by a dead one. Default: true on a unix socket. */
  readonly soleOwner?: boolean
  /** How long records and results of calls that are over stay. Default 24 h. */
  readonly keptMs?: number
  /** Default: a walk over all calls each two minutes; what does not change for 30 s is put right. */
  readonly reconcile?: Partial<ReconcileTimes>
  /** So long after a worker's last word its calls may run elsewhere. Default 15 s. */
  readonly lockMs?: number
  /** Default null: off. */
  readonly tracing?: Tracing | null
  /** What namespaces may have queued and kept. Default: any amount. */
  readonly quotas?: Quotas
  /** In [0, 1); spreads retries. Default Math.random. */
  readonly chance?: () => number
}
