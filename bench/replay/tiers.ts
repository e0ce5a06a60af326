// What a sandbox holds in each tier, as a share of what it holds while it runs, and how long it stays in each. Measured, see
// docs/policy.md for how; only arithmetic here.

/** Shares of the running charge, 0–1, and when a tier begins, seconds of idleness. */
export interface Tiers {
  readonly frozenShare: number
  readonly reclaimedShare: number
  readonly frozenAfterS: number
  readonly reclaimedAfterS: number
}

/** `fn up --zram`: hello, markdown and api functions together held 52.1 MiB running, 51.8 frozen, and reclaimed 3.6 in their
 *  cgroups and 18.5 in the compressed swap. Grace and `FN_RECLAIM_AFTER` at their defaults. */
export const MEASURED_TIERS: Tiers = {
  frozenShare: 0.99,
  reclaimedShare: 0.43,
  frozenAfterS: 1,
  reclaimedAfterS: 30,
}

/** What fixed keep-alives are charged with: never frozen, never reclaimed. */
export const ALWAYS_RUNNING: Tiers = { frozenShare: 1, reclaimedShare: 1, frozenAfterS: 0, reclaimedAfterS: 0 }

/** The share held on average in the silent minute number `minute` (from 0) of a sandbox that nobody calls. */
export function shareInMinute(tiers: Tiers, minute: number): number {
  const beforeS = (instantS: number): number => Math.min(60, Math.max(0, instantS - 60 * minute))
  const runningS = beforeS(tiers.frozenAfterS)
  const frozenS = Math.max(0, beforeS(tiers.reclaimedAfterS) - runningS)
  return (runningS + frozenS * tiers.frozenShare + (60 - runningS - frozenS) * tiers.reclaimedShare) / 60
}
