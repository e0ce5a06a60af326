// From the instants of a call to its phases, its record and its REPORT line. Pure.
import { formatBytes, type Limits, type Metering } from '../runtime/api.ts'
import type {
  InvocationFailure,
  InvocationRecord,
  InvocationRequest,
  InvocationState,
  Phases,
  StartKind,
} from './api.ts'
import { FAILURES, stateOfFailure } from './failures.ts'
import { isoTime } from './iso-time.ts'
import type { RecordInstants } from './record-columns.ts'

/** Instants of one call, monotonic ms. NaN: it never got there. */
export interface CallTimes {
  arrivedAtMs: number
  /** Launch, creation and load of the sandbox, where the call waited for them (start kind `cold` or `stem`). */
  launchedAtMs: number
  createdAtMs: number
  loadedAtMs: number
  thawUs: number
  /** Limits and thaw written, and the call handed to the sandbox. */
  handedOverAtMs: number
  /** End or failure of the response. */
  endedAtMs: number
}

/** Those of a call that has just arrived: NaN is what has not happened. */
export function timesFrom(arrivedAtMs: number): CallTimes {
  const never = Number.NaN
  return {
    arrivedAtMs,
    launchedAtMs: never,
    createdAtMs: never,
    loadedAtMs: never,
    thawUs: 0,
    handedOverAtMs: never,
    endedAtMs: never,
  }
}

/** Phases up to `untilMs`; together they are the time since the arrival. */
export function phasesOf(times: CallTimes, untilMs: number): Phases {
  const { arrivedAtMs, handedOverAtMs } = times
  if (Number.isNaN(handedOverAtMs)) {
    return { queueMs: toUs(untilMs - arrivedAtMs), startMs: 0, thawMs: 0, initMs: 0, runMs: 0 }
  }
  const thawMs = times.thawUs / 1000
  let startMs = 0
  let initMs = 0
  if (!Number.isNaN(times.loadedAtMs)) {
    startMs = Math.max(0, times.createdAtMs - Math.max(times.launchedAtMs, arrivedAtMs))
    initMs = Math.max(0, times.loadedAtMs - Math.max(times.createdAtMs, arrivedAtMs))
  }
  const queueMs = Math.max(0, handedOverAtMs - arrivedAtMs - startMs - initMs - thawMs)
  return {
    queueMs: toUs(queueMs),
    startMs: toUs(startMs),
    thawMs: toUs(thawMs),
    initMs: toUs(initMs),
    runMs: toUs(Math.max(0, untilMs - handedOverAtMs)),
  }
}

/** What became of a call. */
export interface CallOutcome {
  readonly start: StartKind | null
  /** Of the function's response; null when there was none. */
  readonly status: number | null
  readonly error: InvocationFailure | null
  /** What went wrong when the answer had ended. */
  readonly afterAnswer?: InvocationFailure | null
  readonly metering: Metering | null
  readonly limits: Limits
}

/** The instants of an ended call on the wall clock. `nowMs` and `wallMs` are the same instant on both clocks. */
export function instantsOf(
  request: InvocationRequest,
  times: CallTimes,
  nowMs: number,
  wallMs: number,
): RecordInstants {
  // The wall clock has whole milliseconds only, and may be another machine's: nothing is to begin before it was accepted.
  const createdAtMs = request.acceptedAtMs
  return {
    createdAtMs,
    startedAtMs: Math.max(createdAtMs, wallMs - (nowMs - times.handedOverAtMs)),
    endedAtMs: Math.max(createdAtMs, wallMs - (nowMs - times.endedAtMs)),
  }
}

export function recordOf(
  request: InvocationRequest,
  times: CallTimes,
  outcome: CallOutcome,
  instants: RecordInstants,
): InvocationRecord {
  const { version } = request
  const phases = phasesOf(times, times.endedAtMs)
  const { error, metering, limits, start } = outcome
  return {
    id: request.id,
    namespace: version.namespace,
    function: version.name,
    version: version.version,
    state: stateOf(outcome),
    attempt: request.attempt,
    start,
    status: error === null ? outcome.status : FAILURES[error.code].status,
    error,
    createdAt: isoTime(instants.createdAtMs),
    startedAt: Number.isNaN(instants.startedAtMs) ? null : isoTime(instants.startedAtMs),
    endedAt: isoTime(instants.endedAtMs),
    queueMs: phases.queueMs,
    startMs: phases.startMs,
    thawMs: phases.thawMs,
    initMs: phases.initMs,
    runMs: phases.runMs,
    limits,
    metering,
    ...(outcome.afterAnswer ? { afterAnswer: outcome.afterAnswer } : {}),
  }
}

/** A function that answers 4xx has done its work: it found that the caller is wrong. One that answers 5xx says itself that it
 *  failed (RFC 9110, section 15). For asynchronous calls the retry table decides. */
function stateOf(outcome: CallOutcome): InvocationState {
  if (outcome.error !== null) return stateOfFailure(outcome.error.code)
  return outcome.status !== null && outcome.status < 500 ? 'succeeded' : 'failed'
}

/** The line that closes an invocation in its log. */
export function reportLine(record: InvocationRecord): string {
  const parts = [`REPORT ${record.id}`, `status ${record.status ?? '-'}`]
  if (record.error !== null) parts.push(record.error.code)
  parts.push(`start ${record.start ?? 'none'}`, `run ${ms(record.runMs)}`)
  if (record.queueMs >= 1) parts.push(`queue ${ms(record.queueMs)}`)
  if (record.start === 'cold' || record.start === 'stem')
    parts.push(`create ${ms(record.startMs)}`, `init ${ms(record.initMs)}`)
  const { metering } = record
  if (metering !== null) {
    parts.push(
      `cpu ${ms((metering.cpuUserUs + metering.cpuSystemUs) / 1000)}`,
      `memory peak ${formatBytes(metering.memoryPeakBytes)} of ${formatBytes(record.limits.memory)}`,
    )
  }
  return parts.join('  ')
}

function ms(value: number): string {
  return `${value.toFixed(2)} ms`
}

/** ms, kept to the microsecond. */
function toUs(value: number): number {
  return Math.round(value * 1000) / 1000
}
