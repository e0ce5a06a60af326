// What to do when a schedule's time has come, maybe long ago. Pure: instants in, decision out.
import type { CronTimes } from './cron.ts'

/** Later than this a run counts as missed: nobody was there to start it. A restart of the platform takes less. */
export const MISSED_AFTER_MS = 30_000

export interface FireDecision {
  /** The time this is the run for. */
  readonly scheduledAtMs: number
  /** False: the run was missed and is to be skipped. */
  readonly runs: boolean
  /** null: it never fires again. */
  readonly nextAtMs: number | null
}

/** `dueAtMs` is the time that has come. A platform that is merely slow runs every one of them; after a longer time without any
 *  platform all that was missed counts as its last time alone. */
export function decideFire(
  dueAtMs: number,
  nowMs: number,
  missed: 'run-once' | 'skip',
  times: CronTimes,
): FireDecision {
  if (nowMs - dueAtMs <= MISSED_AFTER_MS) return { scheduledAtMs: dueAtMs, runs: true, nextAtMs: times.after(dueAtMs) }
  const lastAtMs = Math.max(dueAtMs, times.upTo(nowMs) ?? dueAtMs)
  const runs = missed === 'run-once' || nowMs - lastAtMs <= MISSED_AFTER_MS
  return { scheduledAtMs: lastAtMs, runs, nextAtMs: times.after(nowMs) }
}
