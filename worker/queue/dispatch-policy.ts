// How much is run at once. Pure: counts and times in, decision out.

/** Runs of one queue at once before anything is known about it. */
export const FIRST_WINDOW = 16
const HIGHEST_WINDOW = 10_000
/** A call that waited longer than this in the worker stood behind others of its kind. */
const LONG_WAIT_MS = 150
/** Waits up to this cost nobody anything. Between the two the worker is left to make its sandboxes. */
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

/** Runs at once while calls press to be accepted: so few that accepting goes on, so many that nothing stands still. */
const RUNS_UNDER_PRESSURE = 1

/** Whether one more may be fetched, of whatever queue. */
export function mayTake(taken: { readonly all: number; readonly slots: number; readonly pressed: boolean }): boolean {
  return taken.all < (taken.pressed ? Math.min(RUNS_UNDER_PRESSURE, taken.slots) : taken.slots)
}
