// Who is to be told when a call ends, fixed when it is accepted: its function's onSuccess and onFailure, its own callback, and
// how many calls of a chain came before it. Pure.
import type { FunctionConfig, InvocationRecord } from '../../api.ts'

/** Calls that follow each other at most: a chain that comes back to itself ends here. */
export const MAX_CHAIN_DEPTH = 16

export type FollowUpKind = 'onSuccess' | 'onFailure' | 'callback'

/** What a call carries (`Submission.notify`). */
export interface FollowUps {
  readonly onSuccess: string | null
  readonly onFailure: string | null
  /** `Fn-Callback`: told of every end. */
  readonly callback: string | null
  /** Calls of the chain before this one. */
  readonly depth: number
}

/** null: nobody is to be told. */
export function planFollowUps(
  config: Pick<FunctionConfig, 'onSuccess' | 'onFailure'>,
  callback: string | null,
  depth: number,
): FollowUps | null {
  const { onSuccess = null, onFailure = null } = config
  if (onSuccess === null && onFailure === null && callback === null) return null
  return { onSuccess, onFailure, callback, depth }
}

/** Whom the end of a call is told, each with the destination. A cancelled call neither succeeded nor failed: its callback alone,
 *  whose receiver waits for some end, is told. */
export function followUpsOf(
  state: InvocationRecord['state'],
  plan: FollowUps,
): { readonly kind: FollowUpKind; readonly destination: string }[] {
  const told: { kind: FollowUpKind; destination: string }[] = []
  if (state === 'succeeded' && plan.onSuccess !== null) told.push({ kind: 'onSuccess', destination: plan.onSuccess })
  const failed = state === 'failed' || state === 'timed-out' || state === 'expired'
  if (failed && plan.onFailure !== null) told.push({ kind: 'onFailure', destination: plan.onFailure })
  if (plan.callback !== null) told.push({ kind: 'callback', destination: plan.callback })
  return told
}

const RETRIES_MS = [1, 5, 30, 120, 600, 1_800, 3_600, 7_200].map((seconds) => seconds * 1_000)
const LONGEST_MS = 3_600_000 * 2
/** The receiver says it is gone for good (RFC 9110, 15.5.11). */
const GONE = 410

/** How long to wait after the try with this number (1 = first) failed; null: no more tries. `askedMs`: the receiver's
 *  Retry-After. A fifth more or less by `chance` in [0, 1). */
export function retryAfterMs(
  tries: number,
  status: number | null,
  askedMs: number | null,
  chance: number,
): number | null {
  const base = RETRIES_MS[tries - 1]
  if (base === undefined || status === GONE) return null
  return Math.round(Math.min(LONGEST_MS, Math.max(base * (0.8 + 0.4 * chance), askedMs ?? 0)))
}
