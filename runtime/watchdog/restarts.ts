// How often a platform was started over, handed from one to the next by an environment variable, and how long the next one waits.
// Pure.

/** Only between the platform's own processes; not a setting. */
export const RESTARTS_VARIABLE = 'THAW_RESTARTS'

export interface Restarts {
  /** In all. */
  readonly total: number
  /** When the last ones were, ms of the clock that never steps (CLOCK_MONOTONIC), the last one last. */
  readonly atMs: readonly number[]
}

/** Only restarts within this time count. */
const WINDOW_MS = 600_000
/** Before the first, second, … start in that time; one more is none. */
const WAITS_MS = [0, 1000, 5000, 15_000, 30_000] as const

const NONE: Restarts = { total: 0, atMs: [] }

/** Anything but what `encodeRestarts` wrote is none. */
export function parseRestarts(text: string | undefined): Restarts {
  const [total, ...atMs] = (text ?? '').split(' ').map(Number)
  if (total === undefined || !Number.isSafeInteger(total) || total < 1) return NONE
  return { total, atMs: atMs.filter((ms) => Number.isFinite(ms)) }
}

/** What the next process gets when this one is started over at `nowMs`. */
export function encodeRestarts(before: Restarts, nowMs: number): string {
  const recent = before.atMs.filter((ms) => nowMs - ms < WINDOW_MS)
  return [before.total + 1, ...recent, nowMs].map(Math.round).join(' ')
}

/** How long a process that was started over waits before it begins; null: it was too often, and the process ends. */
export function waitMs(restarts: Restarts): number | null {
  const times = restarts.atMs.length
  return times === 0 ? 0 : (WAITS_MS[times - 1] ?? null)
}
