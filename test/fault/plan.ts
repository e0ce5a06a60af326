// What each call of a campaign is to be: most are plain, some fail, are large, delayed, cancelled or too old. Pure.
import type { Chance } from './random.ts'

export type CallKind = 'plain' | 'slow' | 'fails-once' | 'doomed' | 'large' | 'cancelled' | 'short-lived'

export interface PlannedCall {
  readonly kind: CallKind
  /** Unique in the campaign; the function writes it down, so that a run can be traced to its submission. */
  readonly key: string
  /** Sent as Idempotency-Key and therefore repeated until acknowledged; else tried once. */
  readonly keyed: boolean
  readonly query: string
  readonly headers: Readonly<Record<string, string>>
  readonly bodyBytes: number
  /** Attempts that fail by design. */
  readonly failures: number
}

/** More than what is kept inline (64 KiB): body and result become files. */
const LARGE_BYTES = 90_000
const DOOMED_ATTEMPTS = 2

export function planCall(chance: Chance, number: number): PlannedCall {
  const kind = kindOf(chance.next())
  const keyed = kind === 'large' ? chance.next() < 0.5 : chance.next() < 0.75
  const key = `k${number}`
  const failures = kind === 'fails-once' ? 1 : kind === 'doomed' ? DOOMED_ATTEMPTS : 0
  const sleepMs = kind === 'slow' ? 200 + chance.below(1300) : chance.below(40)
  const query = `key=${key}&sleep=${sleepMs}&fail=${failures}`
  return { kind, key, keyed, query, headers: headersOf(kind), bodyBytes: kind === 'large' ? LARGE_BYTES : 40, failures }
}

function kindOf(share: number): CallKind {
  if (share < 0.06) return 'slow'
  if (share < 0.1) return 'fails-once'
  if (share < 0.12) return 'doomed'
  if (share < 0.16) return 'large'
  if (share < 0.2) return 'cancelled'
  return share < 0.22 ? 'short-lived' : 'plain'
}

function headersOf(kind: CallKind): Readonly<Record<string, string>> {
  if (kind === 'doomed') return { 'fn-max-attempts': String(DOOMED_ATTEMPTS) }
  if (kind === 'cancelled') return { 'fn-delay': '2s' }
  if (kind === 'short-lived') return { 'fn-max-age': '2s' }
  // A kill of its sandbox is an attempt: so many that kills alone do not use them up.
  return { 'fn-max-attempts': '10' }
}
