// Whether a function's sandbox is worth a silent minute: kept, or made ahead of the call. Pure; gap-history.ts says how likely
// the call is, pool-upkeep.ts and the replay in bench/ do what is decided here.
//
// Keeping a sandbox through a silent minute saves one start with the probability that the next minute has a call, and costs
// that minute. With one price for all functions, what a start is worth in minutes, every start saved costs the same at the
// margin, and no other division of the same idle minutes saves more.

/** What a silent minute must promise, calls a minute. At this price a function of which nothing is known is kept for ten
 *  minutes (`keepAlive 10m until learned`). */
export const DEFAULT_PRICE = 0.04

/** A sandbox made ahead costs a start of its own: the minute has to promise so many times more than for one that is there. */
export const MAKING_FACTOR = 3

/** A silent minute of one function. */
export interface SilentMinute {
  /** How likely the next minute has a call, 0–1. */
  readonly hazard: number
  /** True when there is a sandbox to keep; false: one would have to be made. */
  readonly held: boolean
  /** What the minute costs against others that the price is said for: 1 where minutes are counted, megabytes where memory is. */
  readonly cost: number
}

/** True when a sandbox should be there through the minute. */
export function isWorthHolding(minute: SilentMinute, price: number): boolean {
  return minute.hazard > price * minute.cost * (minute.held ? 1 : MAKING_FACTOR)
}
