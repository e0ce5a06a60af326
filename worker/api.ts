// The border of worker/: invoking versions, records, logs, sandboxes, deploying. Serialisable, so that a remote worker can
// implement it: plain data plus byte streams. HTTP words stop in gateway/ (status and header lists of a function's own
// response are data here).
import type { Readable } from 'node:stream'
import type { Fault, Limits, Metering } from '../runtime/api.ts'
import type { FunctionVersion } from './function.ts'
import type { Registry } from './registry/api.ts'

export type { FunctionConfig, FunctionVersion, RetryCause, RetryPolicy, VolumeUse } from './function.ts'

export type StartKind = 'cold' | 'stem' | 'thawed' | 'warm'

export type InvocationState = 'queued' | 'running' | 'succeeded' | 'failed' | 'timed-out' | 'cancelled' | 'expired'

/** How an invocation went wrong. Codes map to HTTP in gateway/errors.ts alone. */
export type FailureCode =
  | 'FUNCTION_THREW'
  | 'FUNCTION_INVALID_RESPONSE'
  | 'FUNCTION_INIT_FAILED'
  | 'FUNCTION_INIT_TIMEOUT'
  | 'FUNCTION_CRASHED'
  | 'FUNCTION_OUT_OF_MEMORY'
  | 'FUNCTION_PROTOCOL'
  | 'FUNCTION_TIMEOUT'
  /** killed by an operator or on cancel */
  | 'FUNCTION_KILLED'
  /** the platform's event loop stood over the call's sandbox, which was killed for it */
  | 'PLATFORM_STALLED'
  /** the function's own queue is full, or a call waited longer in it than it may */
  | 'FUNCTION_BUSY'
  /** the host has no room (sandboxes, memory, host-wide queue) */
  | 'HOST_FULL'
  /** no sandbox could be created: the platform's fault */
  | 'SANDBOX_CREATE_FAILED'
  /** what is stored of the version is damaged: it does not have its digest, or is not there */
  | 'IMAGE_CORRUPT'
  /** even a fresh sandbox uses more than the limit this call asks for */
  | 'LIMIT_BELOW_USE'
  /** a limit of the call is unknown, malformed, above the maximum, or cannot be enforced here */
  | 'LIMIT_INVALID'
  /** the caller's body ended early */
  | 'BODY_ABORTED'
  /** the caller's body is larger than allowed */
  | 'BODY_TOO_LARGE'
  /** the caller left (record only) */
  | 'CLIENT_GONE'
  /** the reader of the response made no progress for 30 s */
  | 'CLIENT_SLOW'
  | 'CANCELLED'
  /** the platform is stopping */
  | 'DRAINING'
  /** the worker that ran the call died, and the call must not run twice */
  | 'WORKER_LOST'
  /** a call that goes by way of Redis, which is away */
  | 'QUEUE_UNAVAILABLE'
  /** a call that goes by way of Redis, which has no room for more */
  | 'QUEUE_FULL'
  /** what the queue held of an accepted call is gone, so that it cannot run (again) */
  | 'JOB_LOST'
  /** one sandbox of the function needs more than its namespace may have at all */
  | 'QUOTA_EXCEEDED'
export type FailureComponent = 'gateway' | 'queue' | 'worker' | 'sandbox' | 'function'

export interface InvocationFailure {
  readonly code: FailureCode
  readonly component: FailureComponent
  readonly message: string
  /** Stack with positions of the author's own source. */
  readonly stack?: string
  readonly data?: Readonly<Record<string, number | string>>
  /** Seconds, computed from the drain rate, where trying again makes sense. */
  readonly retryAfterS?: number
}

/** Phases of one attempt, ms. `run` in the response head is to the head; in the record it is to the end. */
export interface Phases {
  readonly queueMs: number
  readonly startMs: number
  readonly thawMs: number
  readonly initMs: number
  readonly runMs: number
}

/** The record of one invocation; times are RFC 3339 in UTC. */
export interface InvocationRecord extends Phases {
  readonly id: string
  readonly namespace: string
  readonly function: string
  readonly version: number
  readonly state: InvocationState
  readonly attempt: number
  readonly start: StartKind | null
  /** HTTP status of the function's response, or the one the failure maps to (499 caller left); null while open. */
  readonly status: number | null
  readonly error: InvocationFailure | null
  readonly createdAt: string
  readonly startedAt: string | null
  readonly endedAt: string | null
  readonly limits: Limits
  readonly metering: Metering | null
  /** What the call's code did wrong after its answer: an error that nothing caught, the end of its process, a `waitUntil` that
   *  failed. State and status stay what the caller saw. Absent: nothing. */
  readonly afterAnswer?: InvocationFailure
}

/** One attempt to run a version. Header lists are flat `[name, value, …]`, latin1, hop-by-hop and `Fn-*` ones already gone. */
export interface InvocationRequest {
  readonly id: string
  readonly version: FunctionVersion
  readonly attempt: number
  readonly method: string
  /** Raw `/path?query` for the function. */
  readonly target: string
  readonly headers: readonly string[]
  readonly body: Buffer | Readable | null
  /** What this call asks for over the function's own limits (already parsed). */
  readonly limits: Partial<Limits>
  /** A time-out lower than the function's, or null. */
  readonly timeoutMs: number | null
  /** `end` waits for the accounting and hands over the metering. */
  readonly wantsMetering: boolean
  /** W3C trace context of the caller, or null. */
  readonly traceparent: string | null
  /** Wall-clock ms of acceptance. */
  readonly acceptedAtMs: number
}

export interface ResponseHead {
  readonly status: number
  /** The reason phrase, where the function gave one. */
  readonly reason?: string | undefined
  /** The function's own headers, flat, validated. */
  readonly headers: readonly string[]
  readonly start: StartKind
  readonly phases: Phases
}

/** Receives an invocation's response: head, data*, then end or failed, exactly one of the two. Methods must not throw. */
export interface InvocationSink {
  head(head: ResponseHead): void
  /** False: hold back until `Invocation.resume()`. */
  data(chunk: Buffer): boolean
  /** `metering` only when wanted. */
  end(metering: Metering | null): void
  /** Before head: answer with the failure. After head: cut the connection. `start`/`phases` when a sandbox was had. */
  failed(failure: InvocationFailure, start: StartKind | null, phases: Phases | null): void
}

/** A running or waiting invocation. */
export interface Invocation {
  readonly id: string
  /** The sink can take data again. */
  resume(): void
  /** The caller left (`client`) or somebody cancelled: a waiting call leaves the queue at once; a running one has its signal
   *  aborted and, for `cancelled`, is killed 2 s later if it still runs. The sink gets `failed` once at most, and nothing more. */
  abort(reason: 'client' | 'cancelled'): void
  /** Resolves when the attempt is over and accounted. Never rejects. */
  readonly done: Promise<InvocationRecord>
}

export type SlotState = 'starting' | 'stem' | 'loading' | 'idle' | 'frozen' | 'busy' | 'gone'

export interface SandboxInfo {
  readonly id: string
  readonly namespace: string
  readonly function: string
  readonly version: number
  readonly state: SlotState
  readonly pid: number
  readonly memoryBytes: number
  readonly cpuUs: number
  readonly calls: number
  readonly inFlight: number
  readonly createdAt: string
  readonly idleSince: string | null
}
export type SandboxAction = 'freeze' | 'thaw' | 'restart' | 'kill'

export interface LogLine {
  /** RFC 3339 UTC with ms. */
  readonly time: string
  readonly namespace: string
  readonly function: string
  readonly version: number
  /** null: output while loading. */
  readonly invocation: string | null
  readonly sandbox: string
  readonly stream: 'stdout' | 'stderr' | 'report'
  readonly line: string
}
export interface LogQuery {
  readonly namespace: string
  readonly function?: string
  readonly invocation?: string
  /** Only the last N lines. */
  readonly tail?: number
}

export interface RecordQuery {
  readonly namespace: string
  readonly function?: string
  readonly state?: InvocationState
  readonly sinceMs?: number
  /** At most this many, newest first. */
  readonly limit: number
  /** Only records older than this id (UUIDv7s sort by time). */
  readonly after?: string
}

/** What happens on the platform, live (`/v1/events`). */
export type PlatformEvent =
  | { readonly type: 'invocation'; readonly record: InvocationRecord }
  | { readonly type: 'sandbox'; readonly sandbox: SandboxInfo }
  | { readonly type: 'log'; readonly line: LogLine }
  | { readonly type: 'after-answer'; readonly fault: LateFault }

/** A sandbox ended between calls by what one of them had left. `invocation` null: no call had run in it. */
export interface LateFault {
  readonly namespace: string
  readonly function: string
  readonly version: number
  readonly sandbox: string
  readonly invocation: string | null
  readonly failure: InvocationFailure
}

/** Figures for /metrics and admission. */
export interface WorkerStats {
  readonly sandboxes: Readonly<Record<SlotState, number>>
  readonly waiting: number
  readonly running: number
  readonly memoryBytes: number
}

export type WorkerErrorCode =
  /** the new version does not load: not kept */
  | 'FUNCTION_INIT_FAILED'
  | 'FUNCTION_INIT_TIMEOUT'
  | 'SANDBOX_NOT_FOUND'
  /** the action does not fit the sandbox's state, e.g. freeze of a busy one */
  | 'SANDBOX_STATE'
  | 'SANDBOX_CREATE_FAILED'
  | 'HOST_FULL'
  | 'LIMIT_UNSUPPORTED'
  /** the uploaded tar, bundle or configuration is not valid */
  | 'DEPLOY_INVALID'
  | 'DISK_FULL'
  | 'DRAINING'

export class WorkerError extends Error {
  readonly code: WorkerErrorCode
  /** Stack of the function's own error, source positions. */
  readonly functionStack: string | null
  constructor(code: WorkerErrorCode, message: string, options: { cause?: unknown; functionStack?: string } = {}) {
    super(message, options)
    this.name = 'WorkerError'
    this.code = code
    this.functionStack = options.functionStack ?? null
  }
}

export interface VersionName {
  readonly namespace: string
  readonly name: string
  readonly version: number
}

/** `superseded`: no alias names it; a call by its number starts it again, and it is destroyed soon after. `gone`: never again. */
export type VersionFate = 'kept' | 'superseded' | 'gone'

export interface Worker {
  /** Never throws; every outcome goes to the sink and the record. */
  invoke(request: InvocationRequest, sink: InvocationSink): Invocation
  /** Loads the version once in a sandbox, which then joins the pool; the handler is not called. Throws WorkerError. */
  verify(version: FunctionVersion): Promise<void>
  /** Destroys idle sandboxes of versions that are not `kept`, and busy ones when their calls end. `of`: only this function's are
   *  looked at. */
  retire(fate: (version: VersionName) => VersionFate, of?: { namespace: string; name: string }): Promise<void>
  /** Replaces the sandboxes of these versions: idle ones now, busy ones when their calls end. */
  renew(which: (version: FunctionVersion) => boolean): void
  /** Ids of the calls that run in a sandbox now, those whose response has ended included. Absent: nobody asks here. */
  callsIn?(sandboxId: string): string[]
  /** Of one namespace, or of all and then with the stems, which belong to none: state `stem`, function and namespace empty. */
  sandboxes(namespace: string | null): SandboxInfo[]
  /** Why sandboxes of the version never become of a stem but always start cold; null: they may. Rejects RuntimeError
   *  `IMAGE_NOT_FOUND` | `IMAGE_CORRUPT`. */
  coldReason(version: FunctionVersion): Promise<string | null>
  /** Throws WorkerError SANDBOX_NOT_FOUND | SANDBOX_STATE. */
  act(sandboxId: string, action: SandboxAction): Promise<SandboxInfo>
  /** Waits for the accounting of an invocation that is still open. null: unknown here. */
  record(id: string): Promise<InvocationRecord | null>
  records(query: RecordQuery): InvocationRecord[]
  logs(query: LogQuery): Promise<LogLine[]>
  /** The returned function unsubscribes. */
  subscribe(listener: (event: PlatformEvent) => void): () => void
  stats(): WorkerStats
  /** Refuses new calls (DRAINING) and waits up to `ms` for running ones. */
  drain(ms: number): Promise<void>
  close(): Promise<void>
}

/** What `PUT /v1/functions/{name}` hands down, unpacked from its tar. */
export interface DeployRequest {
  readonly namespace: string
  readonly name: string
  /** `fn.json` as parsed JSON, flags already merged in by the CLI. */
  readonly manifest: unknown
  readonly source: Buffer
  readonly sourceMap: Buffer | null
  /** Path of a temporary tar with `node_modules/…`, or null; the deployer removes it. */
  readonly addonTar: string | null
  /** An alias to point at the new version besides `latest`. */
  readonly alias: string | null
}
export interface DeployResult {
  readonly version: FunctionVersion
  /** False: this content was deployed before; `latest` was moved to it. */
  readonly created: boolean
}
/** Deploys: image, verify in a sandbox, registry. One at a time per function. Throws WorkerError | RegistryError. */
export interface Deployer {
  deploy(request: DeployRequest): Promise<DeployResult>
  /** Throws WorkerError DISK_FULL where nothing more may be written that is to become an image. */
  expectRoom(): void
  /** True while this version is being verified or kept: the registry does not know it yet. */
  isDeploying(version: { readonly namespace: string; readonly name: string; readonly version: number }): boolean
}

/** A failure inside a sandbox as the worker reports it. */
export type SandboxFault = Fault
export type { Fleet, FleetMember, FleetSandbox } from './fleet/api.ts'
export type { Registry }
