// The rows of the replay: fixed keep-alives, and the learned policy where it costs what a fixed one of ten minutes costs.
// The price of an idle minute, one number for all functions, is all that is sought here; what is known of a function is
// learned on the way through the trace.
import { fixedKeepAlive, hazardsOf, learned, learnedByMemory, type Outcome, simulate } from './simulate.ts'
import { ALWAYS_RUNNING, type Tiers } from './tiers.ts'
import type { Trace } from './trace.ts'

/** One line of the answer. */
export interface Row {
  readonly policy: string
  readonly coldPercent: number
  readonly idleMinutes: number
  readonly idleMbMinutes: number
}

/** All rows, and the learned policy as the pool runs it by default. */
export interface Replay {
  readonly rows: readonly Row[]
  readonly live: Row
}

const FIXED_MINUTES = { none: 0, 'fixed-1': 1, 'fixed-10': 10, 'fixed-60': 60 }
/** Halvings of the price's logarithm; the range is 1e-12 … 1, so the last step is below a part in a million million. */
const STEPS = 48
const LOWEST_PRICE = 1e-12

/** Plays the trace with every policy. `livePrice`: the pool's own. */
export function replay(trace: Trace, tiers: Tiers, livePrice: number): Replay {
  const hazards = hazardsOf(trace)
  const fixed = Object.entries(FIXED_MINUTES).map(
    ([policy, minutes]) => [policy, simulate(trace, ALWAYS_RUNNING, fixedKeepAlive(minutes))] as const,
  )
  const ten = fixed.find(([policy]) => policy === 'fixed-10')![1]
  const byMinute = (price: number): Outcome => simulate(trace, tiers, learned(hazards, price))
  const byMemory = (price: number): Outcome => simulate(trace, tiers, learnedByMemory(trace, tiers, hazards, price))
  const points = [
    ['thaw@idle', cheapest(byMinute, (outcome) => outcome.idleMinutes <= ten.idleMinutes)],
    ['thaw@cold', dearest(byMinute, (outcome) => outcome.coldMinutes <= ten.coldMinutes)],
    ['thaw@memory', cheapest(byMemory, (outcome) => outcome.idleMbMinutes <= ten.idleMbMinutes)],
  ] as const
  return {
    rows: [...fixed, ...points].map(([policy, outcome]) => rowOf(policy, outcome)),
    live: rowOf('thaw', byMinute(livePrice)),
  }
}

/** The outcome at the lowest price that `fits`; a high price keeps nothing and always does. */
function cheapest(at: (price: number) => Outcome, fits: (outcome: Outcome) => boolean): Outcome {
  return search(at, fits, true)
}

/** The outcome at the highest price that `fits`; at the lowest everything is kept. */
function dearest(at: (price: number) => Outcome, fits: (outcome: Outcome) => boolean): Outcome {
  return search(at, fits, false)
}

function search(at: (price: number) => Outcome, fits: (outcome: Outcome) => boolean, fitsAbove: boolean): Outcome {
  let [low, high] = [Math.log(LOWEST_PRICE), 0]
  let best = at(Math.exp(fitsAbove ? high : low))
  const other = at(Math.exp(fitsAbove ? low : high))
  if (fits(other)) return other
  for (let step = 0; step < STEPS; step++) {
    const middle = (low + high) / 2
    const outcome = at(Math.exp(middle))
    const good = fits(outcome)
    if (good) best = outcome
    if (good === fitsAbove) high = middle
    else low = middle
  }
  return best
}

function rowOf(policy: string, outcome: Outcome): Row {
  const { activeMinutes, coldMinutes, idleMinutes, idleMbMinutes } = outcome
  const coldPercent = activeMinutes === 0 ? 0 : (100 * coldMinutes) / activeMinutes
  return { policy, coldPercent: round(coldPercent, 3), idleMinutes, idleMbMinutes: round(idleMbMinutes, 0) }
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits))
}
