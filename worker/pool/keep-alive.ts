// When an idle sandbox is given up: scale to zero after the keep-alive, minWarm aside. Pure.

export const DEFAULT_KEEP_ALIVE_MS = 600_000

/** The instant at which a sandbox idle since `idleSinceMs` has outlived its keep-alive. */
export function expiresAtMs(idleSinceMs: number, keepAliveMs: number | null): number {
  return idleSinceMs + (keepAliveMs ?? DEFAULT_KEEP_ALIVE_MS)
}

/** How many of a version's sandboxes may go now, oldest first: those past the keep-alive, down to `minWarm`. */
export function expiredCount(view: {
  readonly idleSinceMs: readonly number[]
  readonly total: number
  readonly minWarm: number
  readonly keepAliveMs: number | null
  readonly nowMs: number
}): number {
  const expired = view.idleSinceMs.filter((since) => expiresAtMs(since, view.keepAliveMs) <= view.nowMs).length
  return Math.max(0, Math.min(expired, view.total - view.minWarm))
}
