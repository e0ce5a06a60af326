// How much is run at once. Pure: counts and times in, decision out.
import { mayTake } from '../../runtime/api.ts'

/** Runs of one queue at once before anything is known about it. */
export const FIRST_WINDOW = 16
const HIGHEST_WINDOW = 10_000
/** A call that waited longer than this in the worker stood behind others of its kind. */
const LONG_WAIT_MS = 150
/** Waits up to this do no harm. Between the two the worker is left to make its sandboxes. */
const SHORT_WAIT_MS = 50
const STEP = 0.5

/** The window after a run: smaller when it waited long, larger when it did not and the window may have been the bound (`atOnce`
 *  ran with it). null: it did not run, nothing is learned. */
export function nextWindow(window: number, atOnce: number, waitedMs: number | null): number {
  if (waitedMs === null) return window
  if (waitedMs > LONG_WAIT_MS) return Math.max(1, window - STEP)
  if (waitedMs > SHORT_WAIT_MS || atOnce < window / 2) return window
  return Math.min(HIGHEST_WINDOW, window + STEP)
}

/** Runs of a namespace at once while its calls press to be accepted: so few that accepting goes on, so many that nothing stands
 *  still. */
const RUNS_UNDER_PRESSURE = 1
/** One namespace takes three quarters of the slots, the next three quarters of the rest, and so on (runtime/shares.ts). */
const NAMESPACE_OF_FREE = 3
/** Within what its namespace may take one function takes eight ninths, the next eight ninths of the rest: two thirds of all. */
const FUNCTION_OF_FREE = 8

/** Slots: all there are, those taken, those taken by the namespace in question. */
export interface Slots {
  readonly all: number
  readonly taken: number
  readonly byNamespace: number
  /** Calls of this namespace press to be accepted. */
  readonly pressed: boolean
}

/** Whether a namespace may take one more slot. */
export function namespaceHasRoom({ all, taken, byNamespace, pressed }: Slots): boolean {
  if (taken >= all || (pressed && byNamespace >= RUNS_UNDER_PRESSURE)) return false
  return mayTake(byNamespace, all - taken, 1, NAMESPACE_OF_FREE)
}

/** Whether a function that has `byFunction` slots may take one more of what its namespace may. */
export function functionHasRoom({ all, taken, byNamespace }: Slots, byFunction: number): boolean {
  if (byFunction === 0) return true
  const most = (NAMESPACE_OF_FREE / (NAMESPACE_OF_FREE + 1)) * (all - taken + byNamespace)
  return mayTake(byFunction, most - byNamespace, 1, FUNCTION_OF_FREE)
}
