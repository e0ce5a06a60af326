// Records of asynchronous calls as values: the states a call goes through, seen from outside. Pure.
import { LimitError, type Limits, lowerLimits } from '../../runtime/api.ts'
import type { InvocationFailure, InvocationRecord, InvocationState } from '../api.ts'
import { isoTime } from '../iso-time.ts'
import type { FailedAttempt } from './api.ts'
import type { Envelope } from './envelope.ts'
import type { FinalState } from './outcome.ts'

const OPEN: ReadonlySet<InvocationState> = new Set<InvocationState>(['queued', 'running'])

export function isOpen(state: InvocationState): boolean {
  return OPEN.has(state)
}

/** What the record of a call says that has not run. */
export const NOT_RUN = {
  attempt: 0,
  start: null,
  status: null,
  error: null,
  startedAt: null,
  endedAt: null,
  queueMs: 0,
  startMs: 0,
  thawMs: 0,
  initMs: 0,
  runMs: 0,
  metering: null,
} as const satisfies Partial<InvocationRecord>

/** Accepted and never run. */
export function queuedRecord(envelope: Envelope): InvocationRecord {
  return {
    id: envelope.id,
    namespace: envelope.version.namespace,
    function: envelope.version.name,
    version: envelope.version.version,
    state: 'queued',
    ...NOT_RUN,
    createdAt: isoTime(envelope.acceptedAtMs),
    limits: limitsOf(envelope),
  }
}

export function runningRecord(envelope: Envelope, attempt: number, nowMs: number): InvocationRecord {
  const waited = attempt === 1 ? Math.max(0, nowMs - envelope.notBeforeMs) : 0
  return { ...queuedRecord(envelope), state: 'running', attempt, startedAt: isoTime(nowMs), queueMs: waited }
}

/** Over: what the attempt's record says, under the call's own times. `attempted` null: it never ran. */
export function finalRecord(
  running: InvocationRecord,
  attempted: InvocationRecord | null,
  state: FinalState,
  error: InvocationFailure | null,
  nowMs: number,
): InvocationRecord {
  return {
    ...running,
    ...(attempted === null ? {} : outcomeOf(running, attempted)),
    state,
    error: state === 'succeeded' ? null : (error ?? attempted?.error ?? null),
    endedAt: isoTime(nowMs),
  }
}

/** Back in the queue; the last attempt's error stays visible. */
export function requeuedRecord(
  envelope: Envelope,
  attempt: number,
  error: InvocationFailure | null,
  startedAt: string | null,
): InvocationRecord {
  return { ...queuedRecord(envelope), attempt, error, startedAt }
}

/** Longest text kept of an error, for each of several attempts. */
const TEXT_MAX = 8 * 1024

/** What a dead letter keeps of an attempt, from the record it would have had as the last one. */
export function failedAttempt(record: InvocationRecord, attempt: number): FailedAttempt {
  const { start, status, error, startedAt, endedAt, queueMs, startMs, thawMs, initMs, runMs, metering } = record
  const ended = endedAt ?? record.createdAt
  const phases = { queueMs, startMs, thawMs, initMs, runMs }
  return { attempt, start, status, error: shortened(error), startedAt, endedAt: ended, ...phases, metering }
}

function shortened(error: InvocationFailure | null): InvocationFailure | null {
  if (error === null) return null
  const message = error.message.slice(0, TEXT_MAX)
  return error.stack === undefined
    ? { ...error, message }
    : { ...error, message, stack: error.stack.slice(0, TEXT_MAX) }
}

function outcomeOf(running: InvocationRecord, attempted: InvocationRecord): Partial<InvocationRecord> {
  const { start, status, startMs, thawMs, initMs, runMs, limits, metering } = attempted
  const startedAt = attempted.startedAt ?? running.startedAt
  return {
    start,
    status,
    startMs,
    thawMs,
    initMs,
    runMs,
    limits,
    metering,
    startedAt,
    queueMs: running.queueMs + attempted.queueMs,
  }
}

/** The worker refuses what is not allowed; a record shows the function's own limits then. */
function limitsOf(envelope: Envelope): Limits {
  const { limits, maxLimits } = envelope.version.config
  try {
    return lowerLimits(limits, maxLimits, envelope.limits)
  } catch (error) {
    if (error instanceof LimitError) return limits
    throw error
  }
}
