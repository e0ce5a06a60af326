// How many sandboxes to start for a version's waiting calls. Pure; the mechanism is pool.ts.
// Cores bound it, not waiters: a sandbox above the number of cores helps only calls that wait for something else than CPU.

export interface ScalingView {
  /** Calls of the version that wait. */
  readonly waiting: number
  /** Sandboxes being created or loading. */
  readonly starting: number
  /** Sandboxes loaded: idle, frozen or busy. */
  readonly live: number
  /** Calls at once in one sandbox. */
  readonly sandboxConcurrency: number
  /** Calls of the function at once. */
  readonly concurrency: number
  readonly cores: number
  /** ms since a call of the function last ended or got a sandbox. */
  readonly sinceProgressMs: number
  /** Typical duration of a call, ms; null until one ended. */
  readonly runMs: number | null
  /** CPU time ÷ duration of a call on a core of its own, 0–1 and above for threads; null until known. */
  readonly cpuFraction: number | null
  /** How long the call has waited that has waited longest, ms. */
  readonly longestWaitMs: number
  /** Calls of other functions that run now. */
  readonly othersRunning: number
  /** Typical time from the start of a launch to a loaded sandbox, ms. */
  readonly startMs: number
}

/** A function whose calls all but sleep still gets no more than this many sandboxes a core from the CPU rule. */
const LOWEST_CPU_FRACTION = 0.01

/** A sandbox serves many calls: it is worth its start when each of so many calls waits that much less. */
const WAITS_A_START_IS_WORTH = 4

/** A fraction of a sandbox no larger than this is not worth one: what it would add is less than what it takes from others. */
const TOO_LITTLE = 0.15

/** Sandboxes beyond which the cores are busy anyway. */
export function usefulSandboxes(cores: number, cpuFraction: number): number {
  return Math.max(cores, Math.ceil(cores / Math.max(cpuFraction, LOWEST_CPU_FRACTION) - TOO_LITTLE))
}

/** Launches under way at once, over all functions: one a core, but one core is left to functions that are being served. A start
 *  from a stem needs little of a core and may be one more. */
export function launchesAtOnce(cores: number, othersServed: boolean, fromStem: boolean): number {
  return Math.max(1, othersServed ? cores - 1 : cores) + (fromStem ? 1 : 0)
}

/** Launches worth beginning now; 0 or more. Never above what the waiting calls could use. */
export function launchesWanted(view: ScalingView): number {
  const total = view.live + view.starting
  const uncovered = Math.ceil(view.waiting / view.sandboxConcurrency) - view.starting
  const allowed = Math.ceil(view.concurrency / view.sandboxConcurrency) - total
  const room = Math.min(uncovered, allowed)
  if (room <= 0) return 0
  if (total < view.cores) {
    // No core is free: what there is may well be done before a launch, which would only slow all of them down.
    const coresTaken = view.live > 0 && view.othersRunning >= view.cores
    if (coresTaken && view.longestWaitMs < view.startMs / WAITS_A_START_IS_WORTH) return 0
    return Math.min(room, view.cores - total)
  }
  if (view.live === 0) return 0
  const useful = view.cpuFraction === null ? null : usefulSandboxes(view.cores, view.cpuFraction)
  if (useful !== null && total >= useful) return 0
  if (view.runMs !== null && useful !== null) {
    const predictedWaitMs = (view.waiting * view.runMs) / (Math.max(1, view.live) * view.sandboxConcurrency)
    if (predictedWaitMs > view.startMs / WAITS_A_START_IS_WORTH) return Math.min(room, useful - total, view.cores)
  }
  // No call ends: they are longer than a launch, so a launch pays.
  const stalled = view.sinceProgressMs > Math.max(view.startMs, 2 * (view.runMs ?? 0))
  return stalled ? Math.min(room, view.cores) : 0
}
