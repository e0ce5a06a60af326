// What to do about an event loop that does not move, from what the watchdog's thread sees each tick. Pure: sees, kills and restarts
// nothing itself.
//
//   moving ──no beat for `afterMs`──▶ accused ──`GRACE_MS` more──▶ restart
//      ▲  ▲                              │
//      │  └───a beat─────────────────────┘
//      └─ the thread itself was late, a debugger, swap, a reader of our output that does not read: counted from there again

/** How often the thread looks. */
export const TICK_MS = 250
/** A tick this late tells of a machine, or a whole process, that stood: then nothing is known of the loop. */
const LATE_MS = 3 * TICK_MS
/** From the kill of a sandbox to the restart. */
export const GRACE_MS = 2000

/** What the thread sees at a tick. */
export interface Look {
  /** Of the thread's own clock, which never steps. */
  readonly nowMs: number
  /** Changes with each turn of the loop's timer. */
  readonly beat: number
  /** ms in which the loop's thread was ready and had no core, since any fixed time. */
  readonly coreWaitMs: number
  /** It stands for another reason: a debugger, swap, a terminal that was stopped. */
  readonly excused: boolean
}

/** What is kept from one tick to the next. */
export interface Suspicion {
  readonly beat: number
  /** The loop is not known to have stood before this. */
  readonly sinceMs: number
  readonly sinceWaitMs: number
  readonly lastMs: number
  /** When `kill` was first decided; null: not yet. */
  readonly accusedAtMs: number | null
}

/** `kill`: the sandbox that the loop is busy with, once in a stand; `restart`: the process. */
export type Verdict = 'none' | 'kill' | 'restart'

export function trust(look: Look): Suspicion {
  return {
    beat: look.beat,
    sinceMs: look.nowMs,
    sinceWaitMs: look.coreWaitMs,
    lastMs: look.nowMs,
    accusedAtMs: null,
  }
}

/** How long the loop has stood by now, waiting for a core not counted. */
export function stoodMs(before: Suspicion, look: Look): number {
  return look.nowMs - before.sinceMs - (look.coreWaitMs - before.sinceWaitMs)
}

export function judge(before: Suspicion, look: Look, afterMs: number): { next: Suspicion; verdict: Verdict } {
  const moved = look.beat !== before.beat
  const wasLate = look.nowMs - before.lastMs > LATE_MS
  if (moved || wasLate || look.excused) return { next: trust(look), verdict: 'none' }
  const next = { ...before, lastMs: look.nowMs }
  if (before.accusedAtMs !== null)
    return { next, verdict: look.nowMs - before.accusedAtMs >= GRACE_MS ? 'restart' : 'none' }
  if (stoodMs(before, look) < afterMs) return { next, verdict: 'none' }
  return { next: { ...next, accusedAtMs: look.nowMs }, verdict: 'kill' }
}
