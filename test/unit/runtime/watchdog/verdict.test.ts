import { describe, expect, test } from 'vitest'
import { GRACE_MS, judge, type Look, TICK_MS, trust, type Verdict } from '../../../../runtime/watchdog/verdict.ts'

const AFTER_MS = 5000

/** What each tick of a story is like; the beat stays where it is unless `moves`. */
interface Tick {
  readonly afterMs?: number
  readonly moves?: boolean
  readonly excused?: boolean
  readonly waitedMs?: number
}

/** Verdicts that are not `none`, with the ms at which they were given. */
function tell(ticks: readonly Tick[]): string[] {
  const at = { nowMs: 1000, beat: 7, coreWaitMs: 90 }
  let suspicion = trust({ ...at, excused: false })
  const given: string[] = []
  for (const { afterMs = TICK_MS, moves = false, excused = false, waitedMs = 0 } of ticks) {
    at.nowMs += afterMs
    at.coreWaitMs += waitedMs
    if (moves) at.beat++
    const look: Look = { ...at, excused }
    const judged: { next: typeof suspicion; verdict: Verdict } = judge(suspicion, look, AFTER_MS)
    suspicion = judged.next
    if (judged.verdict !== 'none') given.push(`${judged.verdict} at ${at.nowMs - 1000}`)
  }
  return given
}

const times = (count: number, tick: Tick = {}): Tick[] => Array.from({ length: count }, () => tick)
const untilKill = AFTER_MS / TICK_MS
const untilRestart = GRACE_MS / TICK_MS

describe('an event loop', () => {
  test('that moves is left alone, however slowly', () => {
    expect(tell(times(100, { moves: true }))).toEqual([])
    expect(tell([...times(untilKill - 1), { moves: true }, ...times(untilKill - 1), { moves: true }])).toEqual([])
  })

  test('that stands for long enough is accused once, and 2 s later started over', () => {
    expect(tell(times(untilKill + untilRestart))).toEqual(['kill at 5000', 'restart at 7000'])
  })

  test('that moves again after the kill is left alone, and may be accused again', () => {
    const again = [...times(untilKill), { moves: true }, ...times(untilKill)]
    expect(tell(again)).toEqual(['kill at 5000', 'kill at 10250'])
  })
})

describe('nothing is done', () => {
  test.each([
    ['for a machine that was paused: the thread stood as well', [{ afterMs: 60_000 }]],
    ['for a tree of processes that was stopped again and again', times(50, { afterMs: 4000 })],
    ['for a clock of the thread that was late throughout, as under swap', times(50, { afterMs: 800 })],
    ['under a debugger, to swap, to a held terminal', times(60, { excused: true })],
    ['for a loop that only waited for a core', times(60, { waitedMs: 230 })],
  ])('%s', (_, ticks) => {
    expect(tell(ticks)).toEqual([])
  })

  test('until the whole time has passed after a pause, an excuse, or both', () => {
    const almost = untilKill - 1
    expect(tell([...times(almost), { afterMs: 3000 }, ...times(almost)])).toEqual([])
    expect(tell([...times(almost), { excused: true }, ...times(almost)])).toEqual([])
    expect(tell([...times(untilKill), { afterMs: 3000 }, ...times(almost)])).toEqual(['kill at 5000'])
  })

  test('to a loop that stands while half of the time it waits for a core, until it has stood for long enough without', () => {
    expect(tell(times(untilKill * 2, { waitedMs: TICK_MS / 2 }))).toEqual(['kill at 10000'])
  })
})
