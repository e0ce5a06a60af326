// What became of every call, after Jepsen's total-queue checker: lost, unexpected, doubled, and by which fault. Pure; it is told
// what clients saw, what the platform says, what the function wrote and which faults there were.
import type { Run } from './journal.ts'
import type { PlannedCall } from './plan.ts'

/** What a client knows of one call. */
export interface Submitted {
  readonly call: PlannedCall
  /** Ids of all 202 it got. */
  readonly ids: readonly string[]
  /** The platform confirmed that it is cancelled. */
  readonly cancelConfirmed: boolean
}

/** What the platform says of one id in the end. */
export interface Fate {
  /** null: 404. */
  readonly state: string | null
  readonly deadLetter: boolean
  /** The stored response is what the function gave: true also where there is none to be had. */
  readonly resultRight: boolean
  /** Why it did not succeed, for the report. */
  readonly why?: string
}

/** Times ms since the epoch: struck, and back to normal. */
export interface Fault {
  readonly kind: string
  readonly fromMs: number
  readonly untilMs: number
  /** Ends runs without the platform's death: what follows is another attempt. */
  readonly endsAttempts: boolean
}

export interface Seen {
  readonly submitted: readonly Submitted[]
  readonly fates: ReadonlyMap<string, Fate>
  /** Ids of all records the platform lists. */
  readonly listed: readonly string[]
  readonly runs: readonly Run[]
  readonly faults: readonly Fault[]
  /** Ids that are still queued or running when all is well and nothing has moved for long, whoever sent them. */
  readonly open?: readonly string[]
}

export interface Account {
  readonly submitted: number
  readonly acknowledged: number
  /** Never answered with 202: may have run or not. */
  readonly indeterminate: number
  readonly succeeded: number
  readonly deadLettered: number
  readonly cancelled: number
  readonly expired: number
  /** Runs beyond the first that no attempt by design asked for. */
  readonly duplicates: number
  /** Of interrupted runs: from the fault's end to the next beginning, ms. */
  readonly rerunMs: readonly number[]
  /** Sentences; all empty is a clean account. */
  readonly lost: readonly string[]
  readonly stuck: readonly string[]
  readonly unexpected: readonly string[]
  readonly unexplained: readonly string[]
  readonly wrong: readonly string[]
}

/** Between a run's end and the writing down of its outcome on a busy machine; clocks of client and function are one. */
const SETTLE_MS = 3_000
/** So many deaths of the platform under one call are none of its attempts; the next makes it a dead letter. */
const DEATHS_MAX = 20
const DIED_TOO_OFTEN = 'the worker ended again and again'
const ENDS = new Set(['succeeded', 'failed', 'timed-out', 'cancelled', 'expired'])

export function account(seen: Seen): Account {
  const known = new Map(seen.submitted.flatMap((one) => one.ids.map((id) => [id, one] as const)))
  const acknowledged = seen.submitted.filter(({ ids }) => ids.length > 0)
  const repeats = judgeRepeats(seen)
  return {
    submitted: seen.submitted.length,
    acknowledged: acknowledged.length,
    indeterminate: seen.submitted.length - acknowledged.length,
    ...countStates(acknowledged, seen.fates),
    duplicates: repeats.duplicates,
    rerunMs: repeats.rerunMs,
    lost: findLost(acknowledged, seen),
    stuck: (seen.open ?? []).map((id) => `${id}: queued or running, though all is well and idle`),
    unexpected: findUnexpected(known, seen),
    unexplained: repeats.unexplained,
    wrong: [...findWrong(acknowledged, seen), ...repeats.wrong],
  }
}

export function isClean({ lost, stuck, unexpected, unexplained, wrong }: Account): boolean {
  return lost.length + stuck.length + unexpected.length + unexplained.length + wrong.length === 0
}

function countStates(acknowledged: readonly Submitted[], fates: Seen['fates']) {
  const states = acknowledged.map(({ ids }) => fates.get(ids[0] ?? '')?.state)
  const count = (...wanted: string[]): number => states.filter((state) => wanted.includes(state ?? '')).length
  return {
    succeeded: count('succeeded'),
    deadLettered: count('failed', 'timed-out'),
    cancelled: count('cancelled'),
    expired: count('expired'),
  }
}

/** Acknowledged, and without an end, a record, its effect or its dead letter. */
function findLost(acknowledged: readonly Submitted[], { fates, runs }: Seen): string[] {
  const ended = new Set(runs.filter((run) => run.ended).map(({ id }) => id))
  return acknowledged.flatMap(({ ids, call }) =>
    ids.flatMap((id) => {
      const fate = fates.get(id)
      const who = `${id} (${call.key}, ${call.kind})`
      if (fate === undefined || fate.state === null) return [`${who}: acknowledged, and there is no record`]
      if (!ENDS.has(fate.state)) return [`${who}: still ${fate.state}`]
      if (fate.state === 'succeeded' && !ended.has(id)) return [`${who}: succeeded, and the function wrote nothing`]
      const isDead = fate.state === 'failed' || fate.state === 'timed-out'
      if (isDead && !fate.deadLetter) return [`${who}: ${fate.state}, and there is no dead letter`]
      return fate.resultRight ? [] : [`${who}: ${fate.state}, and its result is missing or another's`]
    }),
  )
}

/** Run or recorded, and submitted by nobody. A call never acknowledged may have one id, whichever. */
function findUnexpected(known: ReadonlyMap<string, Submitted>, { submitted, runs, listed }: Seen): string[] {
  const byKey = new Map(submitted.map((one) => [one.call.key, one]))
  const stray = new Map<string, Set<string>>()
  const found: string[] = []
  for (const { id, key } of runs) {
    const one = byKey.get(key)
    if (one === undefined) found.push(`${id}: ran with the key ${key}, which nobody sent`)
    else if (!one.ids.includes(id)) stray.set(key, (stray.get(key) ?? new Set()).add(id))
  }
  for (const [key, ids] of stray) {
    const one = byKey.get(key)
    if (one !== undefined && one.ids.length + ids.size > 1)
      found.push(`${key}: one submission ran as ${[...one.ids, ...ids].join(' and ')}`)
  }
  for (const { ids, call } of submitted)
    if (new Set(ids).size > 1) found.push(`${call.key}: one key was acknowledged as ${ids.join(' and ')}`)
  const ran = new Set(runs.map(({ id }) => id))
  const nobodys = listed.filter((id) => !known.has(id) && !ran.has(id))
  const open = submitted.filter(({ ids, call }) => ids.length === 0 && !stray.has(call.key)).length
  if (nobodys.length > open)
    found.push(`${nobodys.length} records of calls nobody sent, ${open} allowed: ${nobodys[0]}`)
  return found
}

function findWrong(acknowledged: readonly Submitted[], { fates, faults }: Seen): string[] {
  const attemptsEnd = faults.some((fault) => fault.endsAttempts)
  return acknowledged.flatMap(({ ids, call, cancelConfirmed }) => {
    const state = fates.get(ids[0] ?? '')?.state ?? ''
    const who = `${ids[0]} (${call.key}, ${call.kind})`
    if (cancelConfirmed && state !== 'cancelled') return [`${who}: ${state}, though its cancel was confirmed`]
    if (call.kind === 'doomed' && state === 'succeeded') return [`${who}: succeeded, though every attempt fails`]
    if (state === 'cancelled' && call.kind !== 'cancelled') return [`${who}: cancelled by nobody`]
    if (state === 'expired' && call.kind !== 'short-lived') return [`${who}: expired before its time`]
    const isDead = state === 'failed' || state === 'timed-out'
    const why = fates.get(ids[0] ?? '')?.why ?? ''
    if (!isDead || call.kind === 'doomed' || attemptsEnd) return []
    if (faults.length > DEATHS_MAX && why.includes(DIED_TOO_OFTEN)) return []
    return [`${who}: ${state}, though nothing ended an attempt: ${why}`]
  })
}

/** Each run of a call that has an earlier one: by design, by a fault, or by nobody. */
function judgeRepeats({ runs, submitted, faults }: Seen) {
  const failures = new Map(submitted.map(({ call }) => [call.key, call.failures]))
  const result = { duplicates: 0, rerunMs: [] as number[], unexplained: [] as string[], wrong: [] as string[] }
  const last = new Map<string, Run>()
  for (const run of runs) {
    const before = last.get(run.id)
    last.set(run.id, run)
    if (before === undefined) continue
    const who = `${run.id} (${run.key}): attempt ${before.attempt}, then ${run.attempt}`
    if (before.lastMs > run.beginMs)
      result.wrong.push(`${who}: the first still ran ${before.lastMs - run.beginMs} ms on`)
    if (run.attempt > before.attempt && before.attempt <= (failures.get(run.key) ?? 0)) continue
    result.duplicates++
    const fault = faultBetween(before, run, faults)
    if (fault === null) result.unexplained.push(`${who}, at ${new Date(run.beginMs).toISOString()}`)
    else if (!before.ended) result.rerunMs.push(Math.max(0, run.beginMs - fault.untilMs))
  }
  return result
}

/** The latest fault that can have made the first of two runs count for nothing. */
function faultBetween(before: Run, after: Run, faults: readonly Fault[]): Fault | null {
  const untilMs = Math.min(after.beginMs, before.ended ? before.lastMs + SETTLE_MS : Number.POSITIVE_INFINITY)
  const between = faults.filter((fault) => fault.fromMs <= untilMs && fault.untilMs >= before.beginMs)
  const fitting = between.filter((fault) => fault.endsAttempts || after.attempt === before.attempt)
  return fitting.at(-1) ?? null
}
