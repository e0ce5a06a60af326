// The border of runtime/: what the layers above may use of sandboxes, limits and metering; images, networks and volumes have an
// api.ts of their own and are passed on here.
// Nothing above reaches past this file (one composition file excepted), and no word of HTTP, queues or jobs comes in.
import type { Readable } from 'node:stream'
import type { ImageStore } from './image/api.ts'
import type { Limits } from './limits/limits.ts'
import type { NetworkMode, Networks } from './network/api.ts'
import type { VolumeMount, VolumeStore } from './volumes/api.ts'

export { RuntimeError, type RuntimeErrorCode } from './errors.ts'
export { writeDurable } from './host/durable-file.ts'
export { type SpawnedProcess, type SpawnOptions, spawn } from './host/spawn.ts'
export { type TextChange, TextMapFile, type TextMapForm } from './host/text-map-file.ts'
export { Turns } from './host/turns.ts'
export type { ImageParts, ImageStore, StoredImage } from './image/api.ts'
export {
  applyCeilings,
  CEILING_NAMES,
  type CeilingName,
  expectUnderCeilings,
  type LimitCeiling,
} from './limits/ceilings.ts'
export { isAbove, lowerLimits, mergeLimits } from './limits/limit-rules.ts'
export { limitText } from './limits/limit-text.ts'
export {
  DEFAULT_LIMITS,
  type DeviceRate,
  type DeviceWeight,
  LIMITS,
  type LimitDefinition,
  LimitError,
  type LimitName,
  type Limits,
  MOST_LIMIT_CHARS,
  MOST_LIMIT_ENTRIES,
  parseLimit,
  parseLimits,
  type Ulimit,
} from './limits/limits.ts'
export { memoryClassBytes } from './limits/memory-class.ts'
export { formatBytes, formatDuration, parseBytes, parseDurationMs, UnitError } from './limits/units.ts'
export {
  type AllowList,
  isPublicAddress,
  parseAllowList,
} from './network/addresses.ts'
export type { NetworkMode, Networks } from './network/api.ts'
export { type EgressRule, egressRuleText, parseEgressRule } from './network/egress-rules.ts'
export { mayTake, placesFor } from './shares.ts'
export { type BucketRate, TokenBucket } from './token-bucket.ts'
export type { Volume, VolumeMount, VolumeStore } from './volumes/api.ts'

/** Structured log lines of the platform itself (never of functions). Injected; pino outside, nothing in tests. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** Time, injected. `now` is wall-clock ms since the epoch, `monotonicMs` never steps. */
export interface Clock {
  now(): number
  monotonicMs(): number
  /** Runs `fire` once after `ms`; the returned function cancels it. Never keeps the process alive. */
  after(ms: number, fire: () => void): () => void
}

/** How long the platform's event loop stood: ran or slept in one piece. Time in which it only waited for a core is not in it. */
export interface LoopStands {
  /** The longest since the last time this was asked, ms, at most 20 ms too long; 0 when all were below 30 ms. */
  takeLongestMs(): number
  /** Calls `tell` after each stand of 30 ms or more; the returned function ends that. */
  onStand(tell: (ms: number) => void): () => void
  /** ms since the start in which the loop was ready to run and had no core. */
  coreWaitMs(): number
  /** What the watchdog did: sandboxes it killed since the start, and how often it started the platform over, before this start. */
  stalls(): { readonly sandboxesKilled: number; readonly restarts: number }
}

/** A sandbox the watchdog kills when the event loop stands over it. */
export interface WatchedSandbox {
  readonly id: string
  /** Our ends of its sockets. */
  readonly descriptors: readonly number[]
  /** Of its cgroup, one in each hierarchy. */
  readonly directories: readonly string[]
  /** Called once the loop turns again: the watchdog killed the sandbox after so many ms of standing. Must not throw. */
  onKilled(stoodMs: number): void
}

/** Notes whose bytes the event loop handles, for the watchdog. */
export interface SandboxWatch {
  /** `handling` is called before bytes of the sandbox are handled and costs one store; `killedAfterMs` asks whether the watchdog has
   *  killed it (and calls `onKilled` then); `leave` ends the watch. */
  watch(sandbox: WatchedSandbox): { handling(): void; killedAfterMs(): number | null; leave(): void }
}

/** States of a sandbox: `creating → running ⇄ frozen; any → stopped` (runtime/sandbox/state.ts holds the table). */
export type SandboxState = 'creating' | 'running' | 'frozen' | 'stopped'

/** What a sandbox is made from; all of it is fixed at creation except those limits that can change per call. */
export interface SandboxSpec {
  /** Digests (`sha256:…`) of add-on layers, mounted read-only above the base, lowest first. */
  readonly layers: readonly string[]
  readonly limits: Limits
  readonly network: NetworkMode
  /** Bytes of a copy-on-write root on a bounded tmpfs; null for a read-only root. */
  readonly writableRootBytes: number | null
  /** Variables that have to be there when the process starts. Default none. */
  readonly bootEnv?: Readonly<Record<string, string>>
  /** What is mounted besides; fixed at creation, so a sandbox with any is made for it. Default none. */
  readonly volumes?: readonly VolumeMount[]
}

/** How the entry exports its handler: `web` = default export (fetch object or function), `lambda` = named `handler`. */
export type HandlerForm = 'web' | 'lambda'

/** One CommonJS bundle and what it is to see. Travels over the wire in INIT, never over a mount. */
export interface Code {
  readonly source: Buffer
  /** File name for stack traces, e.g. `hello.js`; shown as `/code/<fileName>:line:column`. */
  readonly fileName: string
  readonly form: HandlerForm
  /** Becomes `env` and `process.env` of the handler. */
  readonly env: Readonly<Record<string, string>>
  /** Becomes `ctx.functionName` and `ctx.version`. */
  readonly functionName: string
  readonly version: string
  /** What `codeCache` gave of the same code of the same version; null or absent: none. One that V8 rejects does no harm. */
  readonly cache?: Buffer | null
  /** Sandboxes of one group (a namespace) share a budget of what they make the host read; absent: this one has only its own. */
  readonly group?: string
  /** The process inside ends itself after a call that leaves timers or children; absent: they stay. */
  readonly leftovers?: 'kill'
}

/** One request for the code in a sandbox. Header lists are flat `[name, value, name, value, …]`, latin1. */
export interface SandboxCall {
  /** Invocation id (UUID), as the code sees it in `ctx.invocationId`. */
  readonly id: string
  readonly method: string
  /** Raw origin-form target: `/path?query`, as the client sent it. */
  readonly target: string
  readonly headers: readonly string[]
  /** A whole small body, a stream, or null for none. A stream is paused while the sandbox gives no credit. */
  readonly body: Buffer | Readable | null
  readonly timeoutMs: number
  readonly attempt: number
}

/** A failure as data: it crosses the wire, the queue and HTTP unchanged. */
export interface Fault {
  readonly code: FaultCode
  readonly message: string
  /** Stack as V8 printed it inside, positions still those of the bundle. */
  readonly stack?: string
  /** Numbers that belong to the code, e.g. `{limitBytes, peakBytes}` of an out-of-memory. */
  readonly data?: Readonly<Record<string, number | string>>
}
export type FaultCode =
  /** the handler threw or its promise rejected; the sandbox is fine */
  | 'HANDLER_THREW'
  /** the handler returned something that is not a response */
  | 'INVALID_RESPONSE'
  /** the code could not be loaded: it threw at load or has no usable export */
  | 'LOAD_FAILED'
  /** the code did not finish loading in time */
  | 'LOAD_TIMEOUT'
  /** the process inside ended by itself (exit code or signal in `data`) */
  | 'EXITED'
  /** killed by the kernel at the memory limit, or V8 gave up at its heap limit */
  | 'OUT_OF_MEMORY'
  /** what came over the wire broke the protocol; the sandbox was killed */
  | 'PROTOCOL'
  /** killed from outside (operator, shutdown, cancel) */
  | 'KILLED'
  /** killed by the watchdog: the platform's event loop stood over it */
  | 'STALLED'
  /** the sandbox had ended before the call was written: nothing of it ran, another sandbox may take it */
  | 'NOT_SENT'
  /** the request's own body stream failed before its end */
  | 'BODY_ABORTED'

/** Receives what a call produces, in order: started? head? data* end|failed idle. Every method must not throw. */
export interface CallSink {
  /** The code itself began to run (the time-out clock starts here). Exactly once, before head. */
  started(): void
  /** `reason`: the reason phrase, where the function gave one. */
  head(status: number, headers: readonly string[], reason?: string): void
  /** Returns false to hold back further data until `SandboxExchange.resume()`. */
  data(chunk: Buffer): boolean
  end(): void
  /** The call failed, before or after its head; nothing follows but `idle`. */
  failed(fault: Fault): void
  /** Response ended and every `waitUntil` promise settled (also after `failed`): the sandbox may be frozen or reused.
   *  Called exactly once; `reusable` is false when the sandbox is stopped or stopping. */
  idle(reusable: boolean): void
  /** The code went wrong after its response had ended, in background work or by taking the process with it. Before `idle`, if
   *  at all. */
  late?(fault: Fault): void
  /** One line of the function's output. */
  log(stream: 'stdout' | 'stderr', line: string): void
}

/** Receives lines of a sandbox outside of its calls: while it loads (`invocation` null), and what a call left running prints
 *  after its end, with the id of that call. Must not throw. */
export type SandboxLog = (stream: 'stdout' | 'stderr', line: string, invocation: string | null) => void

/** A call in flight. */
export interface SandboxExchange {
  /** The sink can take data again. */
  resume(): void
  /** Aborts `ctx.signal` (and `request.signal`) inside. The handler may still finish. Idempotent. */
  cancel(reason: 'client' | 'timeout' | 'cancelled'): void
}

/** What of a metering adds up over calls. */
export type Usage = Pick<
  Metering,
  | 'cpuUserUs'
  | 'cpuSystemUs'
  | 'throttledUs'
  | 'ioReadBytes'
  | 'ioWriteBytes'
  | 'ioReadOps'
  | 'ioWriteOps'
  | 'oomKills'
  | 'pageFaults'
>

/** Growth of the kernel's counters over one call; bytes, operations and µs. `null`: this host cannot count it. */
export interface Metering {
  /** False when calls overlapped in the sandbox: the figures then belong to all of them. */
  readonly exact: boolean
  readonly cpuUserUs: number
  readonly cpuSystemUs: number
  readonly throttledUs: number
  readonly memoryPeakBytes: number
  readonly memoryBytes: number
  readonly swapPeakBytes: number | null
  readonly ioReadBytes: number
  readonly ioWriteBytes: number
  readonly ioReadOps: number
  readonly ioWriteOps: number
  readonly netRxBytes: number
  readonly netTxBytes: number
  readonly oomKills: number
  /** The kernel counts them in lumps; those of a call that used less than 250 µs of CPU may be told with a later one. */
  readonly pageFaults: number
  readonly tasksPeak: number | null
  /** Duration of the freeze before this call and of its thaw; 0 when it was not frozen. */
  readonly freezeUs: number
  readonly thawUs: number
  /** CPU used in this sandbox between the previous call's accounting and this call's start. */
  readonly idleCpuUs: number
  /** Figures that this kernel keeps since the sandbox began only, not for one call: they are "at most" for this one. */
  readonly sinceStart?: readonly ('memoryPeakBytes' | 'swapPeakBytes' | 'tasksPeak')[]
  /** Where calls overlapped in the sandbox: what of the figures no overlapping call that ended before has in its own record.
   *  Summed over all calls it is what the sandbox used, each part once. */
  readonly unshared?: Usage
}

/** Answer of `applyLimits`: which limit is below what is in use, when one is. */
export type LimitOutcome =
  | { readonly applied: true }
  | { readonly applied: false; readonly limit: string; readonly asked: number; readonly inUse: number }

/** What a sandbox held before and after a reclaim, bytes. */
export interface Reclaimed {
  readonly beforeBytes: number
  readonly afterBytes: number
}

/** Why a sandbox stopped. */
export interface StopReason {
  /** `data.leftBy`: id of an earlier call that left what ended it. */
  readonly fault: Fault
  readonly atMs: number
  /** Calls that were open then. */
  readonly openCalls: number
}

/** One container sandbox. After `stopped` every method is a no-op or rejects with RuntimeError `SANDBOX_STOPPED`. */
export interface Sandbox {
  readonly id: string
  /** Host pid of the process inside. */
  readonly pid: number
  readonly state: SandboxState
  readonly createdAtMs: number
  /** Steps of the creation with their durations, ms. */
  readonly steps: readonly { readonly name: string; readonly ms: number }[]
  /** Resolves once, whatever ends it. Resources are freed by `destroy`, not by this. */
  readonly stopped: Promise<StopReason>
  /** Resolves when the process inside has prepared all it can without code: from then on a sandbox kept for later may be
   *  frozen. Before `load` only. Rejects RuntimeError `BOOT_TIMEOUT` | `SANDBOX_STOPPED`. */
  prepared(timeoutMs: number): Promise<void>
  /** Sends INIT and waits for LOADED; then CPU quota comes into force. Rejects RuntimeError `LOAD_FAILED` | `LOAD_TIMEOUT` | `SANDBOX_STOPPED`, whose `fault` says why. Output during load, and later what calls print after their end, goes to `log`. */
  load(code: Code, timeoutMs: number, log: SandboxLog): Promise<void>
  /** V8's code cache of what was loaded, only for later sandboxes of the same version: the code inside can
   *  forge it, and V8 does not verify it. Null when there is none, it is larger than `maxBytes` or does not come in time.
   *  At most once, while no call runs and it is not frozen. Rejects RuntimeError `SANDBOX_STOPPED`. */
  codeCache(maxBytes: number, timeoutMs: number): Promise<Buffer | null>
  /** Writes the limits that differ from those in force (synchronous, µs). Never kills by lowering. */
  applyLimits(limits: Limits): LimitOutcome
  /** Marks the start of a call's accounting. `atOnce`: in the same turn as the last `endMetering`, whose reading then does. */
  beginMetering(atOnce?: boolean): void
  /** Reads the counters and returns their growth since `beginMetering`. */
  endMetering(exact: boolean): Metering
  /** Ends the accounting of a call that overlaps with others without reading: what it used is told with the next that ends. */
  leaveMetering(): void
  invoke(call: SandboxCall, sink: CallSink): SandboxExchange
  /** Freezes and waits (bounded) until the kernel confirms. Resolves to µs taken; rejects RuntimeError `FREEZE_FAILED` after the ladder of retries, with the sandbox thawed again. A `thaw()` meanwhile wins: resolves to null. */
  freeze(): Promise<number | null>
  /** Writes the thaw and returns at once (µs taken by the write); 0 when not frozen. Never fails a running sandbox. */
  thaw(): number
  /** Gives memory of a frozen sandbox back to the host: page cache, and to swap what may be swapped. Takes a fraction of a
   *  second, off the event loop; null when it is not frozen, or was destroyed meanwhile. A thaw need not wait for it. */
  reclaim(): Promise<Reclaimed | null>
  /** CPU used by the sandbox since its creation, µs (a read of the kernel's counter). */
  cpuUs(): number
  /** µs since its start in which its main thread was ready and had no core; null where the kernel does not tell. */
  coreWaitUs(): number | null
  memoryBytes(): number
  /** Processes inside beside the one that runs the code (a read of the kernel's list). */
  otherProcesses(): number
  /** Whether its code computes for long at a stretch: then what wakes beside it need not wait for its turn to end. Its share of
   *  the CPU stays what it is. Nothing happens where the kernel knows no such thing (before 6.12). */
  setComputing(computes: boolean): void
  /** SIGKILL to all inside, thawing where the freezer would hold the signal back. */
  kill(fault: Fault): void
  /** Kills, waits until empty, and frees container, mounts, cgroups, uid range, sockets. Idempotent; what is already gone is fine. */
  destroy(): Promise<void>
}

/** What `fn doctor` prints for one limit. */
export interface LimitSupport {
  readonly enforced: boolean
  /** How it is enforced, or why it cannot be. */
  readonly how: string
  /** What would turn it on; only when not enforced. */
  readonly fix?: string
}

export interface HostReport {
  readonly cgroupMode: 'v1' | 'hybrid' | 'v2'
  readonly kernel: string
  readonly arch: string
  readonly cores: number
  readonly memoryBytes: number
  readonly swapBytes: number
  readonly ociRuntime: { readonly path: string; readonly version: string }
  readonly nodeVersion: string
  readonly freezer: string
  readonly limits: Readonly<Record<string, LimitSupport>>
  /** What sandboxes can have of a network, by mode. Absent: not known. */
  readonly networks?: Readonly<Record<NetworkMode, LimitSupport>>
  /** What the kernel counts for the whole machine, and how it is bounded here. Absent: not known. */
  readonly budgets?: Readonly<Record<string, LimitSupport>>
}

export interface Runtime {
  readonly host: HostReport
  readonly images: ImageStore
  readonly volumes: VolumeStore
  /** Absent: sandboxes have no network. */
  readonly networks?: Networks
  create(spec: SandboxSpec): Promise<Sandbox>
  /** Throws RuntimeError `LIMIT_UNSUPPORTED` naming the limit and what would turn it on. Defaults never throw.
   *  `whole`: all limits that would be in force together, where they are known. */
  checkLimits(asked: Partial<Limits>, whole?: Limits): void
  /** What a sandbox with this memory limit may take of the host in all: its limit and, on cgroup v1, socket buffers. */
  hostBytes(memoryBytes: number): number
  /** Destroys all sandboxes and removes every kernel object of this state directory. */
  close(): Promise<void>
}
