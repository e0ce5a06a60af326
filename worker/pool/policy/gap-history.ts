// What is remembered of one function's calls, and what it says about the next minute. Pure state and arithmetic: no clock,
// no pool. Time is whole minutes of any fixed origin. Must not forget more than the ring says, nor look ahead.
//
// Model: the function is silent for some minutes, called in the next, and so on. Remembered are the last silences ("gaps",
// in minutes from one minute with calls to the next; 1, calls in consecutive minutes, is no silence). Asked is the hazard:
// given that it is silent since g minutes, how likely is a call in the next? Answered in three steps, each backing off to
// the one before: a heavy-tailed prior, all remembered gaps, the gaps that followed one like the last. Recent gaps count more.
// Histograms of idle times per function: Shahrad et al., Serverless in the Wild (ATC'20), section 4.2.

/** Gaps remembered of one function. */
export const GAPS_KEPT = 64
/** Longest gap remembered as it is, minutes; longer ones count as this long. */
export const LONGEST_GAP = 7 * 24 * 60
/** How much a gap counts against the one after it: half after 23. */
const RECENCY = 0.97
/** The prior hazard after g silent minutes is PRIOR / (g + PRIOR_SHIFT): most functions that were silent for long stay so. */
const PRIOR = 0.5
const PRIOR_SHIFT = 2
/** Remembered gaps that weigh as much as the prior. */
const PRIOR_WEIGHT = 6
/** Gaps after one like the last that weigh as much as all gaps. */
const CONTEXT_WEIGHT = 4
/** Two gaps are alike when they differ by no more than this share. */
const LIKENESS = 0.1

/** A history as it is written down. */
export interface GapSnapshot {
  readonly lastMinute: number
  /** Oldest first. */
  readonly gaps: readonly number[]
}

/** One function's history. Costs two numbers and at most `GAPS_KEPT` more. */
export class GapHistory {
  #lastMinute = Number.NaN
  readonly #gaps: number[] = []

  /** There is a call in this minute. Told again of the same minute, or of one before the last, it does nothing. */
  called(minute: number): void {
    const gap = minute - this.#lastMinute
    if (gap <= 0) return
    this.#lastMinute = minute
    if (!(gap > 1)) return
    this.#gaps.push(Math.min(gap, LONGEST_GAP))
    if (this.#gaps.length > GAPS_KEPT) this.#gaps.shift()
  }

  /** The last minute with a call; NaN before the first. */
  get lastMinute(): number {
    return this.#lastMinute
  }

  /** Gaps it has learned from. */
  get gaps(): number {
    return this.#gaps.length
  }

  /** How likely, 0–1, the minute after `minute` has a call, when there was none since the last one through `minute`.
   *  0 before the first call. */
  hazard(minute: number): number {
    const silent = minute - this.#lastMinute
    if (!(silent >= 0)) return 0
    const gaps = this.#gaps
    const previous = gaps.at(-1) ?? 0
    let weight = 1
    let longer = 0
    let ending = 0
    let alikeLonger = 0
    let alikeEnding = 0
    for (let index = gaps.length - 1; index >= 0; index--) {
      const gap = gaps[index]!
      weight *= RECENCY
      if (gap <= silent) continue
      const ends = gap === silent + 1 ? weight : 0
      longer += weight
      ending += ends
      if (index === 0 || Math.abs(gaps[index - 1]! - previous) > LIKENESS * previous) continue
      alikeLonger += weight
      alikeEnding += ends
    }
    const prior = PRIOR / (silent + PRIOR_SHIFT)
    const ofAll = (ending + PRIOR_WEIGHT * prior) / (longer + PRIOR_WEIGHT)
    return (alikeEnding + CONTEXT_WEIGHT * ofAll) / (alikeLonger + CONTEXT_WEIGHT)
  }

  /** A copy to write down. */
  snapshot(): GapSnapshot {
    return { lastMinute: this.#lastMinute, gaps: [...this.#gaps] }
  }

  /** A history as it was written down; null when `written` is none. */
  static restore(written: unknown): GapHistory | null {
    if (typeof written !== 'object' || written === null) return null
    const { lastMinute, gaps } = written as Partial<GapSnapshot>
    if (!Number.isSafeInteger(lastMinute) || !Array.isArray(gaps) || gaps.length > GAPS_KEPT) return null
    if (!gaps.every((gap) => Number.isSafeInteger(gap) && gap > 1 && gap <= LONGEST_GAP)) return null
    const history = new GapHistory()
    history.#lastMinute = lastMinute!
    history.#gaps.push(...(gaps as number[]))
    return history
  }
}
