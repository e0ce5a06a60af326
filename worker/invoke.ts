// One attempt to run a version: hands what the sandbox produces to the caller's sink, keeps its time-out clock, and ends in
// exactly one record. Chooses no slot: pool.ts does. One object a call; no timers, and no promise unless asked for.
import type { CallSink, Clock, Fault, Limits, Metering, SandboxExchange } from '../runtime/api.ts'
import { formatDuration } from '../runtime/api.ts'
import { AfterAnswer } from './after-answer.ts'
import type {
  Invocation,
  InvocationFailure,
  InvocationRecord,
  InvocationRequest,
  InvocationSink,
  StartKind,
} from './api.ts'
import { failure, failureOfFault, withOwnPositions } from './failures.ts'
import { CallClock, SLOW_CLIENT_MS } from './invoke-clock.ts'
import { meterCall } from './invoke-metering.ts'
import { type CallTimes, instantsOf, phasesOf, recordOf, timesFrom } from './invoke-record.ts'
import type { LogCap } from './logs/log-cap.ts'
import type { Pool } from './pool/pool.ts'
import type { Slot } from './pool/slot.ts'
import type { PoolCall, VersionPool } from './pool/version-pool.ts'
import type { RecordInstants } from './record-columns.ts'
import { type InvocationTrace, withTraceparent } from './tracing.ts'
import { isUnread } from './unread-body.ts'

/** What a call needs of the worker. */
export interface CallHost {
  readonly clock: Clock
  readonly pool: Pool
  /** Asks for `lookAt` no later than this instant. */
  wakeAt(atMs: number): void
  log(call: Call, stream: 'stdout' | 'stderr', line: string): void
  /** The call is over and accounted; called exactly once. */
  ended(call: Call, record: InvocationRecord, instants: RecordInstants): void
}

/** After its time-out a handler may still end by itself for so long; then its sandbox is killed. */
export const TIMEOUT_GRACE_MS = 250
/** A cancelled call, and others beside a call that is to be killed, may end by themselves for so long. */
export const KILL_GRACE_MS = 2000
/** A killed sandbox that does not report the end of its call is given up after this. */
const LOST_MS = 10_000
const NEVER = Number.POSITIVE_INFINITY

export class Call implements Invocation, CallSink, PoolCall {
  readonly id: string
  readonly request: InvocationRequest
  readonly pool: VersionPool
  readonly limits: Limits
  readonly trace: InvocationTrace | null
  readonly arrivedAtMs: number
  readonly timeoutMs: number
  needsFresh = false
  waiting = false
  /** The sandbox it ran in last; empty before. */
  sandboxId = ''
  /** Output so far; made by the log when there is some. */
  logCap: LogCap | null = null
  readonly #host: CallHost
  readonly #clock: CallClock
  readonly #times: CallTimes
  /** Null once it got its `end` or `failed`. */
  #sink: InvocationSink | null
  #slot: Slot | null = null
  #exchange: SandboxExchange | null = null
  #start: StartKind | null = null
  #status: number | null = null
  #failure: InvocationFailure | null = null
  /** Its failure is known when the positions in its stack are. */
  #failing: Promise<void> | null = null
  /** What went wrong when the answer had ended. */
  #afterAnswer: AfterAnswer | null = null
  /** The sandbox reported the end of the response, or its failure. */
  #responseOver = false
  #over = false
  #started = false
  #mayRepeat = true
  #repeat = false
  #killAtMs = NEVER
  #lostAtMs = NEVER
  #record: InvocationRecord | null = null
  #resolve: ((record: InvocationRecord) => void) | null = null
  #done: Promise<InvocationRecord> | null = null

  /** `limits` are complete and checked. The call does nothing before `Pool.acquire`. */
  constructor(
    host: CallHost,
    request: InvocationRequest,
    sink: InvocationSink,
    pool: VersionPool,
    limits: Limits,
    trace: InvocationTrace | null,
  ) {
    this.id = request.id
    this.request = request
    this.pool = pool
    this.limits = limits
    this.trace = trace
    this.#host = host
    this.#sink = sink
    const { timeoutMs } = pool.config
    this.timeoutMs = request.timeoutMs === null ? timeoutMs : Math.min(request.timeoutMs, timeoutMs)
    this.#clock = new CallClock(this.timeoutMs)
    this.arrivedAtMs = host.clock.monotonicMs()
    this.#times = timesFrom(this.arrivedAtMs)
  }

  get done(): Promise<InvocationRecord> {
    this.#done ??=
      this.#record === null
        ? new Promise((resolve) => {
            this.#resolve = resolve
          })
        : Promise.resolve(this.#record)
    return this.#done
  }

  /** True while it holds a place in a slot. */
  get running(): boolean {
    return this.#slot !== null
  }

  // ---- from the pool ----

  run(slot: Slot, start: StartKind): void {
    const sandbox = slot.sandbox!
    const { request } = this
    this.#slot = slot
    this.#start = start
    this.sandboxId = sandbox.id
    slot.calls++
    slot.lastInvocation = request.id
    slot.pool.calls++
    if (start === 'cold' || start === 'stem') {
      this.#times.launchedAtMs = slot.launchedAtMs
      this.#times.createdAtMs = slot.createdAtMs
      this.#times.loadedAtMs = slot.loadedAtMs
    }
    // ORDER: accounting begins before the thaw, and the thaw is written before the call: nobody waits for its notice.
    sandbox.beginMetering(slot.justMetered)
    if (start === 'thawed') this.#times.thawUs = sandbox.thaw()
    const headers = this.trace === null ? request.headers : withTraceparent(request.headers, this.trace.traceparent)
    const { id, method, target, body, attempt } = request
    const nowMs = this.#host.clock.monotonicMs()
    this.#times.handedOverAtMs = nowMs
    this.#clock.handedOver(nowMs)
    const exchange = sandbox.invoke({ id, method, target, headers, body, timeoutMs: this.timeoutMs, attempt }, this)
    if (this.#slot === slot) this.#exchange = exchange
    this.#host.wakeAt(nowMs + this.timeoutMs)
  }

  refuse(why: InvocationFailure): void {
    this.#fail(why)
    this.#finish(null)
  }

  // ---- from the sandbox ----

  started(): void {
    this.#started = true
    const nowMs = this.#host.clock.monotonicMs()
    this.#clock.started(nowMs)
    this.#host.wakeAt(nowMs + this.timeoutMs)
  }

  head(status: number, headers: readonly string[], reason?: string): void {
    this.#status = status
    if (this.#sink === null) return
    const phases = phasesOf(this.#times, this.#host.clock.monotonicMs())
    this.#sink.head({ status, reason, headers, start: this.#start!, phases })
  }

  data(chunk: Buffer): boolean {
    if (this.#sink === null || this.#sink.data(chunk)) return true
    const nowMs = this.#host.clock.monotonicMs()
    this.#clock.paused(nowMs)
    this.#host.wakeAt(nowMs + SLOW_CLIENT_MS)
    return false
  }

  end(): void {
    this.#endResponse()
    if (this.request.wantsMetering) return
    const sink = this.#sink
    this.#sink = null
    sink?.end(null)
  }

  failed(fault: Fault): void {
    if (
      fault.code === 'NOT_SENT' &&
      !this.#started &&
      this.#mayRepeat &&
      this.#sink !== null &&
      isUnread(this.request.body)
    ) {
      this.#repeat = true
      return
    }
    this.#endResponse()
    const why = withOwnPositions(failureOfFault(fault), (text) => this.pool.mapPositions(text))
    if (why instanceof Promise) this.#failLater(why)
    else this.#fail(why)
  }

  idle(reusable: boolean): void {
    const slot = this.#slot
    if (slot === null) return
    this.#slot = null
    this.#exchange = null
    if (this.#repeat) {
      this.#repeatElsewhere(slot)
      return
    }
    if (!this.#responseOver) this.#fail(failure('FUNCTION_PROTOCOL', 'the sandbox went idle before the response ended'))
    this.#endResponse()
    const metering = meterCall(slot, this.#host.clock.monotonicMs())
    const sink = this.#sink
    this.#sink = null
    sink?.end(metering)
    const nowMs = this.#host.clock.monotonicMs()
    slot.ended(nowMs, nowMs - this.#times.handedOverAtMs, metering)
    // The next call is handed over before this one is written up.
    const spoilt = (metering !== null && metering.oomKills > 0) || slot.hasLeftovers
    this.#host.pool.release(slot, reusable && !spoilt)
    slot.justMetered = false
    this.#finish(metering)
  }

  late(fault: Fault): void {
    this.#afterAnswer = this.#afterAnswer ?? new AfterAnswer(fault, this.pool)
  }

  log(stream: 'stdout' | 'stderr', line: string): void {
    this.#host.log(this, stream, line)
  }

  // ---- from the caller ----

  resume(): void {
    if (this.#sink === null) return
    this.#resumeClock()
    this.#exchange?.resume()
  }

  abort(reason: 'client' | 'cancelled'): void {
    if (this.#over || this.#responseOver) return
    const why =
      reason === 'client'
        ? failure('CLIENT_GONE', 'the caller left before the response was complete')
        : failure('CANCELLED', 'the invocation was cancelled')
    if (this.#slot === null) {
      this.#host.pool.leave(this)
      this.refuse(why)
      return
    }
    // Of a call that has failed already only its end can be hastened.
    if (this.#sink === null && reason === 'client') return
    this.#cut(why, reason)
    if (reason === 'cancelled') this.#killAt(this.#host.clock.monotonicMs() + KILL_GRACE_MS)
  }

  /** The platform stops: the caller is told why; the sandbox goes with the platform. */
  drop(why: InvocationFailure): void {
    if (this.#over || this.#responseOver || this.#slot === null) return
    this.#cut(why, 'cancelled')
  }

  // ---- from the clock ----

  /** Does what is due and returns the next instant to look again; Infinity while it waits or is over. */
  lookAt(nowMs: number): number {
    if (this.#slot === null) return NEVER
    if (nowMs >= this.#lostAtMs) {
      this.idle(false)
      return NEVER
    }
    if (nowMs >= this.#killAtMs) this.#kill(nowMs)
    else if (this.#killAtMs === NEVER && this.#lostAtMs === NEVER) this.#lookAtClock(nowMs)
    const pending = Math.min(this.#killAtMs, this.#lostAtMs)
    return pending === NEVER ? this.#clock.dueAtMs() : pending
  }

  #lookAtClock(nowMs: number): void {
    const due = this.#clock.due(nowMs)
    if (due === 'timeout') {
      this.#cut(
        failure('FUNCTION_TIMEOUT', `the function ran longer than its time-out of ${formatDuration(this.timeoutMs)}`),
        'timeout',
      )
      this.#killAtMs = nowMs + TIMEOUT_GRACE_MS
    } else if (due === 'slow-client') {
      const seconds = SLOW_CLIENT_MS / 1000
      this.#cut(failure('CLIENT_SLOW', `the reader of the response made no progress for ${seconds} s`), 'client')
    } else if (due === 'background') {
      this.log(
        'stderr',
        `work after the response was killed: it ran longer than the time-out of ${formatDuration(this.timeoutMs)}`,
      )
      this.#kill(nowMs)
    }
  }

  /** The caller gets nothing more; the code inside is told, and what it still sends is thrown away. */
  #cut(why: InvocationFailure, reason: 'client' | 'timeout' | 'cancelled'): void {
    this.#exchange?.cancel(reason)
    this.#resumeClock()
    this.#fail(why)
    this.#exchange?.resume()
  }

  #resumeClock(): void {
    this.#clock.resumed(this.#host.clock.monotonicMs())
    this.#host.wakeAt(this.#clock.dueAtMs())
  }

  #killAt(atMs: number): void {
    this.#killAtMs = Math.min(this.#killAtMs, atMs)
    this.#host.wakeAt(this.#killAtMs)
  }

  #kill(nowMs: number): void {
    const slot = this.#slot!
    this.#killAtMs = NEVER
    this.#lostAtMs = nowMs + LOST_MS + KILL_GRACE_MS
    const killAtMs = slot.inFlight > 1 ? nowMs + KILL_GRACE_MS : nowMs
    this.#host.pool.condemn(slot, killAtMs)
    if (killAtMs === nowMs) slot.sandbox!.kill({ code: 'KILLED', message: 'killed: the call did not end in time' })
  }

  #endResponse(): void {
    if (this.#responseOver) return
    this.#responseOver = true
    const nowMs = this.#host.clock.monotonicMs()
    if (Number.isNaN(this.#times.endedAtMs)) this.#times.endedAtMs = nowMs
    this.#clock.ended(nowMs)
  }

  /** The first failure counts; the sink hears of it unless it has had its end. */
  #fail(why: InvocationFailure): void {
    const sink = this.#sink
    if (sink === null) return
    this.#sink = null
    this.#failure = why
    const nowMs = this.#host.clock.monotonicMs()
    this.#times.endedAtMs = nowMs
    sink.failed(why, this.#start, this.#start === null ? null : phasesOf(this.#times, nowMs))
  }

  /** The caller and the record wait for the stack's source map; the sandbox does not. */
  #failLater(why: Promise<InvocationFailure>): void {
    const sink = this.#sink
    if (sink === null) return
    this.#sink = null
    const nowMs = this.#host.clock.monotonicMs()
    this.#times.endedAtMs = nowMs
    this.#failing = why.then((mapped) => {
      this.#failing = null
      this.#failure = mapped
      sink.failed(mapped, this.#start, this.#start === null ? null : phasesOf(this.#times, nowMs))
    })
  }

  /** The sandbox had died before the call was written: another one takes it, once. */
  #repeatElsewhere(slot: Slot): void {
    this.#repeat = false
    this.#mayRepeat = false
    this.#start = null
    this.#host.pool.release(slot, false)
    this.#host.pool.acquire(this)
  }

  #finish(metering: Metering | null): void {
    if (this.#over) return
    const pending = this.#failing ?? this.#afterAnswer?.pending
    if (pending) {
      void pending.then(() => this.#finish(metering))
      return
    }
    this.#over = true
    const nowMs = this.#host.clock.monotonicMs()
    if (Number.isNaN(this.#times.endedAtMs)) this.#times.endedAtMs = nowMs
    const afterAnswer = this.#afterAnswer?.failure ?? null
    const { limits } = this
    const outcome = { start: this.#start, status: this.#status, error: this.#failure, afterAnswer, metering, limits }
    const instants = instantsOf(this.request, this.#times, nowMs, this.#host.clock.now())
    const record = recordOf(this.request, this.#times, outcome, instants)
    this.#record = record
    this.#host.ended(this, record, instants)
    this.#resolve?.(record)
  }
}
