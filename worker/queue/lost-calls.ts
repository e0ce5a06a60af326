// The record and dead letter of a call that the queue lost: made from what is still known of it. Pure.
import { DEFAULT_LIMITS } from '../../runtime/api.ts'
import type { InvocationFailure, InvocationRecord } from '../api.ts'
import { isoTime } from '../iso-time.ts'
import type { FailedAttempt } from './api.ts'
import { functionKeyOf } from './envelope.ts'
import { type DeadEntry, timeOfId } from './invocation-store.ts'
import { failedAttempt, NOT_RUN } from './records.ts'

export const JOB_GONE: InvocationFailure = {
  code: 'JOB_LOST',
  component: 'queue',
  message:
    'the queue lost this call: its request is no longer in Redis, so that it cannot run; send it again, and find out why keys vanish (eviction, a restored copy, DEL)',
}
export const JOB_UNREADABLE: InvocationFailure = {
  code: 'JOB_LOST',
  component: 'queue',
  message: 'what the queue holds of this call cannot be read, so that it cannot run; send it again',
}

/** Over, for `error`. `text`: its record as it was, '' or `@…` where that says nothing. */
export function lostRecord(
  id: string,
  queueKey: string,
  text: string,
  error: InvocationFailure,
  nowMs: number,
): InvocationRecord {
  const known = text.startsWith('{') ? (JSON.parse(text) as InvocationRecord) : unknownRecord(id, queueKey, nowMs)
  return { ...known, state: 'failed', error, endedAt: isoTime(nowMs) }
}

/** It cannot run again: it has no envelope. */
export function lostLetter(
  record: InvocationRecord,
  nowMs: number,
): { readonly failed: FailedAttempt; readonly dead: DeadEntry } {
  const dead = { envelope: null, record, state: 'failed' as const, attempt: record.attempt, diedAtMs: nowMs }
  return { failed: failedAttempt(record, record.attempt), dead }
}

/** A call that runs no more and waits again. */
export function waitingRecord(text: string): InvocationRecord {
  const running = JSON.parse(text) as InvocationRecord
  return { ...running, state: 'queued', attempt: Math.max(0, running.attempt - 1), startedAt: null, queueMs: 0 }
}

function unknownRecord(id: string, queueKey: string, nowMs: number): InvocationRecord {
  const [namespace, name] = functionKeyOf(queueKey).split('/') as [string, string]
  return {
    id,
    namespace,
    function: name,
    version: 0,
    state: 'failed',
    ...NOT_RUN,
    createdAt: isoTime(timeOfId(id) ?? nowMs),
    limits: DEFAULT_LIMITS,
  }
}
