// Plays a trace against a keep-alive and counts cold minutes and idle memory. One instance a function.
// A minute with calls is cold when no instance was kept into it: the minute before had calls, or the instance was kept through
// it. A fixed keep-alive K keeps K whole minutes after the last one with calls; minutes before a function's first call are free.
// The learned policy is worker/pool/policy/, the code of the live pool; nothing of a minute is known before it is over.
import { GapHistory } from '../../worker/pool/policy/gap-history.ts'
import { isWorthHolding } from '../../worker/pool/policy/retention.ts'
import { shareInMinute, type Tiers } from './tiers.ts'
import type { Trace, TracedFunction } from './trace.ts'

/** What a keep-alive cost. */
export interface Outcome {
  /** Minutes with calls, and those of them that were cold. */
  readonly activeMinutes: number
  readonly coldMinutes: number
  /** Silent minutes an instance was kept through. */
  readonly idleMinutes: number
  /** The same in megabytes × minutes, each at what its tier holds. */
  readonly idleMbMinutes: number
}

/** A silent minute that is to be decided on. One and the same object in all questions: not to be kept. */
export interface Question {
  /** The function's place in the trace. */
  index: number
  minute: number
  /** Minutes since the last one with calls. */
  silent: number
  /** An instance is there at the minute's start. */
  held: boolean
  /** Silent minutes the instance has been kept through already. */
  idle: number
}

/** Whether an instance is kept through, or made in, a silent minute. */
export type Keeps = (question: Question) => boolean

/** Plays the whole trace. */
export function simulate(trace: Trace, tiers: Tiers, keeps: Keeps): Outcome {
  // Minutes in one tier are alike: the table ends where the last tier is reached.
  const shares = Array.from({ length: Math.ceil(tiers.reclaimedAfterS / 60) + 1 }, (_, n) => shareInMinute(tiers, n))
  const sum = { activeMinutes: 0, coldMinutes: 0, idleMinutes: 0, idleMbMinutes: 0 }
  for (const [index, fn] of trace.functions.entries()) {
    let seen = false
    const now: Question = { index, minute: 0, silent: 0, held: false, idle: 0 }
    for (let minute = 0; minute < trace.minutes; minute++) {
      if (fn.calls[minute]! > 0) {
        sum.activeMinutes++
        if (!now.held) sum.coldMinutes++
        seen = true
        now.held = true
        now.silent = 0
        now.idle = 0
      } else if (seen) {
        now.minute = minute
        now.silent++
        now.held = keeps(now)
        if (now.held) {
          sum.idleMinutes++
          sum.idleMbMinutes += fn.memoryMb * shares[Math.min(now.idle, shares.length - 1)]!
        }
        now.idle = now.held ? now.idle + 1 : 0
      }
    }
  }
  return sum
}

/** A fixed keep-alive of whole minutes; 0: given up with the minute of its last call. */
export function fixedKeepAlive(minutes: number): Keeps {
  return ({ silent }) => silent <= minutes
}

/** What the policy thinks in each silent minute of each function; it does not depend on what is kept. */
export function hazardsOf(trace: Trace): readonly Float64Array[] {
  return trace.functions.map((fn) => hazardsOfFunction(fn, trace.minutes))
}

function hazardsOfFunction(fn: TracedFunction, minutes: number): Float64Array {
  const history = new GapHistory()
  const hazards = new Float64Array(minutes)
  for (let minute = 0; minute < minutes; minute++) {
    if (fn.calls[minute]! > 0) history.called(minute)
    else hazards[minute] = history.hazard(minute)
  }
  return hazards
}

/** The learned policy at one price for an idle minute. */
export function learned(hazards: readonly Float64Array[], price: number): Keeps {
  return ({ index, minute, held }) => isWorthHolding({ hazard: hazards[index]![minute]!, held, cost: 1 }, price)
}

/** The learned policy at one price for a megabyte held for a minute. */
export function learnedByMemory(trace: Trace, tiers: Tiers, hazards: readonly Float64Array[], price: number): Keeps {
  return ({ index, minute, held, idle }) => {
    const cost = trace.functions[index]!.memoryMb * shareInMinute(tiers, idle)
    return isWorthHolding({ hazard: hazards[index]![minute]!, held, cost }, price)
  }
}
