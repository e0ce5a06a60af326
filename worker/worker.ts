// The worker of one host: joins calls, pool, records and logs behind worker/api.ts. Holds no policy of its own.
import { join } from 'node:path'
import type { Clock, LimitCeiling, Logger, Runtime } from '../runtime/api.ts'
import { tellLateFault } from './after-answer.ts'
import type {
  FunctionVersion,
  Invocation,
  InvocationFailure,
  InvocationRecord,
  InvocationRequest,
  InvocationSink,
  LogLine,
  LogQuery,
  PlatformEvent,
  RecordQuery,
  SandboxAction,
  SandboxInfo,
  SlotState,
  Worker,
  WorkerErrorCode,
  WorkerStats,
} from './api.ts'
import { WorkerError } from './api.ts'
import { CallLimits } from './call-limits.ts'
import { CodeCaches } from './code-caches.ts'
import { draining, messageOf } from './failures.ts'
import { Call, type CallHost } from './invoke.ts'
import { openLogs } from './logs/log-rate.ts'
import type { LogStore } from './logs/log-store.ts'
import { DeadlineTimer } from './pool/deadline-timer.ts'
import { Pool, type PoolOptions, type QueueBounds } from './pool/pool.ts'
import { runUpkeep } from './pool/pool-upkeep.ts'
import { KeptRetention } from './pool/retention-file.ts'
import { type Slot, slotInfo } from './pool/slot.ts'
import { SLOT_STATES } from './pool/slot-state.ts'
import { LAYERS_REASON, stemKindOf } from './pool/stem-policy.ts'
import { setFate } from './pool/version-fate.ts'
import type { RecordInstants } from './record-columns.ts'
import { Records } from './records.ts'
import { QuotaExceeded } from './registry/quota-exceeded.ts'
import type { Quotas } from './registry/quotas.ts'
import { actOnSandbox, listSandboxes } from './sandbox-actions.ts'
import { SourceMaps } from './source-maps/source-maps.ts'
import type { Tracing } from './tracing.ts'
import { CallLog } from './worker-logs.ts'

export interface WorkerOptions {
  readonly runtime: Runtime
  /** Logs lie in `<stateDir>/logs`. */
  readonly stateDir: string
  readonly clock: Clock
  readonly logger: Logger
  /** null: off, at no cost. */
  readonly tracing: Tracing | null
  /** Sandboxes started at once; default: the host's. */
  readonly cores?: number
  /** What all sandboxes together may be charged with. */
  readonly memoryBytes: number
  readonly maxSandboxes?: number
  readonly queue?: QueueBounds
  /** A sandbox frozen for so long has its memory reclaimed; default 30 s. */
  readonly reclaimAfterMs?: number
  /** Booted sandboxes without a function kept ready, of each kind; default none. */
  readonly stems?: number
  /** Values of the secrets a version names; without it no function has any. */
  readonly secretsOf?: PoolOptions['secretsOf']
  /** Highest limits of namespaces and host; default none. */
  readonly ceilings?: readonly LimitCeiling[]
  /** What a namespace may have; default: as much as there is. */
  readonly quotas?: Quotas
  /** Closed with the worker; default: its own. */
  readonly sourceMaps?: SourceMaps
  /** Whether an alias names the version; default: one does. */
  readonly isPointedAt?: PoolOptions['isPointedAt']
}

const DEFAULT_QUEUE: QueueBounds = { perFunction: 1000, perHost: 10_000, maxWaitMs: 60_000 }
const DEFAULT_MAX_SANDBOXES = 1000
const DEFAULT_RECLAIM_AFTER_MS = 30_000
/** Lines that still wait for their source map when the worker closes wait no longer. */
const LAST_LINES_MS = 1000

/** Makes the worker of this host. `close` it to destroy its sandboxes; the runtime stays the caller's. */
export function createWorker(options: WorkerOptions): Worker {
  return new HostWorker(options)
}

class HostWorker implements Worker, CallHost {
  readonly clock: Clock
  readonly pool: Pool
  readonly #options: WorkerOptions
  readonly #timer: DeadlineTimer
  readonly #logs: LogStore
  readonly #callLog: CallLog
  readonly #caches: CodeCaches
  readonly #sourceMaps: SourceMaps
  readonly #knownCalls: KeptRetention
  readonly #limits: CallLimits
  readonly #records = new Records()
  readonly #open = new Map<string, Call>()
  readonly #listeners = new Set<(event: PlatformEvent) => void>()
  #draining = false
  #drained: (() => void) | null = null

  constructor(options: WorkerOptions) {
    const { runtime, clock, logger } = options
    this.#options = options
    this.clock = clock
    this.#timer = new DeadlineTimer(clock, (nowMs) => this.#scan(nowMs))
    this.#logs = openLogs(options.stateDir, options.quotas, clock, logger)
    this.#callLog = new CallLog(clock, (line) => this.#write(line))
    const codeOf = (image: string) => runtime.images.get(image)
    this.#sourceMaps = options.sourceMaps ?? new SourceMaps({ clock, logger, codeOf })
    const { nodeVersion, arch } = runtime.host
    const engine = `${nodeVersion} ${arch}`
    this.#caches = new CodeCaches({ directory: join(options.stateDir, 'code-cache'), engine, logger })
    this.pool = new Pool({
      runtime,
      clock,
      logger,
      cores: options.cores ?? runtime.host.cores,
      memoryBytes: options.memoryBytes,
      maxSandboxes: options.maxSandboxes ?? DEFAULT_MAX_SANDBOXES,
      stems: options.stems ?? 0,
      caches: this.#caches,
      sourceMaps: this.#sourceMaps,
      ...(options.secretsOf === undefined ? {} : { secretsOf: options.secretsOf }),
      ...(options.quotas === undefined ? {} : { quotas: options.quotas }),
      ...(options.isPointedAt === undefined ? {} : { isPointedAt: options.isPointedAt }),
      queue: options.queue ?? DEFAULT_QUEUE,
      reclaimAfterMs: options.reclaimAfterMs ?? DEFAULT_RECLAIM_AFTER_MS,
      wakeAt: (atMs) => this.wakeAt(atMs),
      moved: (slot) => this.#moved(slot),
      output: (slot, ...line) => this.#callLog.outside(slot, ...line),
      ended: (slot, reason) =>
        tellLateFault(slot, reason, this.#records, this.#callLog, (event) => this.#publish(event)),
    })
    this.#limits = new CallLimits(runtime, this.pool.supply.room, options.ceilings ?? [])
    const path = join(options.stateDir, 'known-calls.json')
    this.#knownCalls = new KeptRetention({ path, retention: this.pool.retention, logger })
    if (this.pool.supply.stems.setting > 0) this.wakeAt(clock.monotonicMs())
  }

  invoke(request: InvocationRequest, sink: InvocationSink): Invocation {
    const pool = this.pool.of(request.version)
    const asked = this.#limits.of(pool, request.limits)
    const limits = 'code' in asked ? pool.config.limits : asked
    const { tracing } = this.#options
    const trace = tracing === null ? null : tracing.startInvocation(request)
    const call = new Call(this, request, sink, pool, limits, trace)
    this.#open.set(call.id, call)
    pool.lastUsedMs = call.arrivedAtMs
    pool.fn.arrivals.arrived(call.arrivedAtMs)
    if (this.#draining) call.refuse(draining())
    else if ('code' in asked) call.refuse(asked)
    else this.pool.acquire(call)
    return call
  }

  verify(version: FunctionVersion): Promise<void> {
    if (this.#draining) return Promise.reject(workerError(draining()))
    const pool = this.pool.of(version)
    pool.retired = false
    pool.superseded = false
    // A version that turns out not to load takes nothing from the one that works.
    const keepWarm = () => {
      pool.fn.newest = pool
      this.pool.supply.want(pool)
      this.wakeAt(this.clock.monotonicMs())
    }
    if (pool.slots.size > pool.starting) {
      keepWarm()
      return Promise.resolve()
    }
    try {
      // A function deployed before a maximum fell is not kept warm either.
      this.#limits.expectOwn(pool)
      this.#options.quotas?.expect(version.namespace, 'memory', 0, pool.config.limits.memory)
      this.#options.quotas?.expect(version.namespace, 'volumesBytes', 0, pool.config.limits.scratch ?? 0)
    } catch (error) {
      if (error instanceof QuotaExceeded) return Promise.reject(error)
      return Promise.reject(new WorkerError('LIMIT_UNSUPPORTED', messageOf(error), { cause: error }))
    }
    const sinceMs = this.clock.monotonicMs()
    pool.lastUsedMs = sinceMs
    return new Promise((resolve, reject) => {
      const loaded = () => {
        keepWarm()
        resolve()
      }
      this.pool.probe(pool, { sinceMs, loaded, failed: (why) => reject(workerError(why)) })
    })
  }

  async retire(fate: Parameters<Worker['retire']>[0], of?: Parameters<Worker['retire']>[1]): Promise<void> {
    this.#caches.retire((version) => fate(version) === 'kept', of)
    const fn = of === undefined ? null : this.pool.functions.get(`${of.namespace}/${of.name}`)
    const destroyed: Promise<void>[] = []
    for (const pool of [...(fn === null ? this.pool.versions.values() : (fn?.versions ?? []))])
      destroyed.push(...setFate(this.pool, pool, fate(pool.version)))
    if (destroyed.length > 0) this.wakeAt(this.clock.monotonicMs())
    await Promise.all(destroyed)
  }

  renew(which: (version: FunctionVersion) => boolean): void {
    for (const pool of this.pool.active) {
      if (!which(pool.version)) continue
      for (const slot of [...pool.slots]) {
        // One that is loading may have the old already: it goes when it is loaded, after the call it was started for.
        if (slot.state === 'loading') slot.condemned = true
        else if (slot.state !== 'starting' && slot.state !== 'stem') this.pool.condemn(slot, Number.POSITIVE_INFINITY)
      }
      this.pool.supply.want(pool)
    }
    this.pool.supply.schedule()
  }

  sandboxes(namespace: string | null): SandboxInfo[] {
    return listSandboxes(this.pool, namespace)
  }

  callsIn(sandboxId: string): string[] {
    return [...this.#open.values()].filter((call) => call.sandboxId === sandboxId).map(({ id }) => id)
  }

  act(sandboxId: string, action: SandboxAction): Promise<SandboxInfo> {
    return actOnSandbox(this.pool, sandboxId, action)
  }

  async coldReason(version: FunctionVersion): Promise<string | null> {
    if (this.pool.supply.stems.setting === 0) return 'stem sandboxes are off (FN_STEMS=0)'
    const kind = stemKindOf(version.config)
    if (typeof kind === 'string') return kind
    const { layers } = await this.#options.runtime.images.get(version.image)
    return layers.length > 0 ? LAYERS_REASON : null
  }

  async record(id: string): Promise<InvocationRecord | null> {
    const open = this.#open.get(id)
    return open === undefined ? this.#records.get(id) : open.done
  }

  records(query: RecordQuery): InvocationRecord[] {
    return this.#records.query(query)
  }

  async logs(query: LogQuery): Promise<LogLine[]> {
    const known = query.invocation === undefined ? null : this.#records.get(query.invocation)
    const narrowed = query.function === undefined && known?.namespace === query.namespace
    await this.#callLog.settled(query.namespace, query.function)
    return await this.#logs.query(narrowed ? { ...query, function: known.function } : query)
  }

  subscribe(listener: (event: PlatformEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  stats(): WorkerStats {
    const sandboxes = Object.fromEntries(SLOT_STATES.map((state) => [state, 0])) as Record<SlotState, number>
    const { supply, waiting } = this.pool
    for (const pool of this.pool.active) for (const slot of pool.slots) sandboxes[slot.state]++
    sandboxes.stem += supply.stems.size
    return { sandboxes, waiting, running: supply.running, memoryBytes: supply.room.usedBytes }
  }

  async drain(ms: number): Promise<void> {
    this.#draining = true
    this.pool.supply.stems.stop()
    if (this.#open.size > 0) {
      await new Promise<void>((resolve) => {
        const cancel = this.clock.after(ms, resolve)
        this.#drained = () => {
          cancel()
          resolve()
        }
      })
    }
    this.pool.refuseWaiting(draining())
    // Calls that still run learn why, before connections and sandboxes go.
    for (const call of [...this.#open.values()]) call.drop(draining())
  }

  async close(): Promise<void> {
    this.#draining = true
    this.pool.refuseWaiting(draining())
    await this.pool.supply.close('the platform is stopping')
    this.#timer.close()
    await this.#knownCalls.close()
    // ORDER: no line comes any more; those that wait are written before the log closes.
    await this.#callLog.close(LAST_LINES_MS)
    await this.#sourceMaps.close()
    await this.#logs.close()
    await this.#caches.close()
  }

  // ---- for calls ----

  wakeAt(atMs: number): void {
    this.#timer.wakeAt(atMs)
  }

  log(call: Call, stream: 'stdout' | 'stderr', line: string): void {
    this.#callLog.output(call, stream, line)
  }

  ended(call: Call, record: InvocationRecord, instants: RecordInstants): void {
    if (this.#open.get(call.id) === call) this.#open.delete(call.id)
    this.#records.add(record, instants)
    this.#callLog.ended(call, record)
    if (this.#listeners.size > 0) this.#publish({ type: 'invocation', record })
    call.trace?.end(record)
    if (this.#open.size === 0) this.#drained?.()
  }

  #scan(nowMs: number): number {
    let nextMs = Math.min(runUpkeep(this.pool, nowMs), this.#knownCalls.look(nowMs))
    for (const call of this.#open.values()) nextMs = Math.min(nextMs, call.lookAt(nowMs))
    return nextMs
  }

  #moved(slot: Slot): void {
    if (this.#listeners.size > 0 && slot.sandbox !== null) this.#publish({ type: 'sandbox', sandbox: slotInfo(slot) })
  }

  #write(line: LogLine): void {
    if (this.#logs.append(line) && this.#listeners.size > 0) this.#publish({ type: 'log', line })
  }

  #publish(event: PlatformEvent): void {
    for (const listener of this.#listeners) listener(event)
  }
}

const WORKER_CODES: ReadonlySet<string> = new Set<WorkerErrorCode>([
  'FUNCTION_INIT_FAILED',
  'FUNCTION_INIT_TIMEOUT',
  'SANDBOX_CREATE_FAILED',
  'HOST_FULL',
  'DRAINING',
])

/** A version that could not be loaded, as an error of `verify`. */
function workerError(why: InvocationFailure): WorkerError {
  const code = WORKER_CODES.has(why.code) ? (why.code as WorkerErrorCode) : 'FUNCTION_INIT_FAILED'
  return new WorkerError(code, why.message, why.stack === undefined ? {} : { functionStack: why.stack })
}
