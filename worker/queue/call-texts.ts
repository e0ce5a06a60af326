// What lies in Redis of a call and of its end, as values. Data; nothing runs here.
import type { InvocationRecord } from '../api.ts'
import type { FailedAttempt } from './api.ts'
import type { Envelope } from './envelope.ts'

/** A result as it lies in Redis; the body inline, or in `<state>/results/<file>`. */
export interface ResultHead {
  readonly status: number
  readonly headers: readonly string[]
  readonly bodyBytes: number
  readonly base64: string | null
  readonly file: string | null
  /** The process that has the file, where several share a Redis. */
  readonly holder?: string
  /** Of the file; hex. */
  readonly sha256?: string
}
/** Whose job it is, which decides who may publish. */
export interface JobHold {
  readonly queueKey: string
  readonly token: string
}
/** What becomes of the job: it is removed; waits until `atMs` with the attempt counted, or not; or is the next of its queue. */
export type JobMove =
  | { readonly how: 'finish' | 'front' }
  | { readonly how: 'retry' | 'delay'; readonly atMs: number; readonly delayMs: number }
/** `taken`: another holds the job now, nothing was written. `jobless`: nor was it; the job to be run again is not there. */
export type Settled = 'written' | 'taken' | 'jobless'
export interface RecordPage {
  readonly records: InvocationRecord[]
  readonly next: string | null
}
/** What became of one attempt. */
export interface Settlement {
  readonly record: InvocationRecord
  readonly result: ResultHead | null
  readonly hold: JobHold
  readonly move: JobMove
  readonly keptMs: number
  /** Joins the call's failed attempts. */
  readonly failed: FailedAttempt | null
  /** The call becomes a dead letter. */
  readonly dead: DeadEntry | null
  /** What the outbox is to say; null: nothing. */
  readonly notify: unknown
}
/** A dead letter as it lies in Redis: all that another run needs; or, of a call that the queue lost, only its record. */
export type DeadEntry = DeadCall | LostCall
interface DeadLetterBase {
  readonly state: 'failed' | 'timed-out'
  /** The number of the last attempt. */
  readonly attempt: number
  readonly diedAtMs: number
}
export interface DeadCall extends DeadLetterBase {
  readonly envelope: Envelope
}
export interface LostCall extends DeadLetterBase {
  readonly envelope: null
  readonly record: InvocationRecord
}
/** Files of kept calls that were forgotten, by name, and how many calls they were. */
export interface Forgotten {
  readonly namespace: string
  readonly count: number
  readonly bodies: readonly string[]
  readonly results: readonly string[]
}
export interface Claim {
  readonly id: string
  readonly hash: string
}
