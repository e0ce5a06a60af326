import { describe, expect, test } from 'vitest'
import { DrainRate } from '../../../../worker/pool/drain-rate.ts'
import { chooseVictims, type EvictionCandidate } from '../../../../worker/pool/eviction.ts'
import {
  ArrivalLearner,
  LONGEST_GRACE_MS,
  SHORTEST_GRACE_MS,
  UNLEARNED_GRACE_MS,
} from '../../../../worker/pool/freeze-policy.ts'
import { DEFAULT_KEEP_ALIVE_MS, expiredCount } from '../../../../worker/pool/keep-alive.ts'

describe('the grace before a freeze', () => {
  const graceAfter = (...gapsMs: number[]): number => {
    const learner = new ArrivalLearner()
    let nowMs = 0
    learner.arrived(nowMs)
    for (const gap of gapsMs) {
      nowMs += gap
      learner.arrived(nowMs)
    }
    return learner.graceMs(null)
  }
  test('is half a second until learned', () => {
    expect(graceAfter()).toBe(UNLEARNED_GRACE_MS)
    expect(graceAfter(1, 1, 1)).toBe(UNLEARNED_GRACE_MS)
  })
  test('outlasts the gaps of a steady stream', () => {
    const gaps = Array.from({ length: 50 }, (_, index) => 300 + (index % 3) * 20)
    expect(graceAfter(...gaps)).toBeGreaterThan(340)
  })
  /** How often a stream of calls with these gaps meets a frozen sandbox, calls taking no time. */
  const frozenIn = (gapsMs: readonly number[]): number => {
    const learner = new ArrivalLearner()
    let nowMs = 0
    let frozen = 0
    learner.arrived(nowMs)
    for (const gap of gapsMs) {
      if (gap > learner.graceMs(null)) frozen++
      nowMs += gap
      learner.arrived(nowMs)
    }
    return frozen
  }
  const repeat = <T>(count: number, of: (index: number) => T) => Array.from({ length: count }, (_, index) => of(index))
  const burst = (pauseMs: number) => [...repeat(20, () => 10), pauseMs]
  const streams: [string, readonly number[], number][] = [
    ['a call every 80 ms never', repeat(200, () => 80), 0],
    ['a call every 80 ms, give or take 60, never', repeat(200, (n) => 20 + ((n * 37) % 121)), 0],
    ['a call every 400 ms never', repeat(200, () => 400), 0],
    ['a call every 900 ms: until learned, then never', repeat(200, () => 900), 4],
    ['a stream that slows down from 80 to 680 ms never', repeat(300, (n) => 80 + 2 * n), 0],
    ['a stream that jumps from 80 to 480 ms once', [...repeat(50, () => 80), ...repeat(50, () => 480)], 1],
    ['bursts: after each of them, never within', repeat(10, () => burst(5000)).flat(), 10],
    ['a call a minute: each', repeat(30, () => 60_000), 30],
  ]
  for (const [title, gaps, frozen] of streams) {
    test(`is such that the freezer is met by ${title}`, () => expect(frozenIn(gaps)).toBe(frozen))
    test(`is at most a second, whatever came before: ${title}`, () =>
      expect(graceAfter(...gaps)).toBeLessThanOrEqual(LONGEST_GRACE_MS))
  }
  test('is never above a second', () => {
    expect(graceAfter(100, 900, 100, 900, 100, 900, 100, 900)).toBe(LONGEST_GRACE_MS)
  })
  test('is short where the next call is not expected within a second', () => {
    expect(graceAfter(5000, 5000, 5000, 5000, 5000)).toBe(SHORTEST_GRACE_MS)
  })
  test('is what the function says, when it says something', () => {
    expect(new ArrivalLearner().graceMs(0)).toBe(0)
    expect(new ArrivalLearner().graceMs(60_000)).toBe(60_000)
  })
})

describe('the keep-alive', () => {
  const count = (changes: Partial<Parameters<typeof expiredCount>[0]>) =>
    expiredCount({ idleSinceMs: [], total: 0, minWarm: 0, keepAliveMs: null, nowMs: 0, ...changes })
  test('is ten minutes by default', () => {
    expect(count({ idleSinceMs: [0], total: 1, nowMs: DEFAULT_KEEP_ALIVE_MS - 1 })).toBe(0)
    expect(count({ idleSinceMs: [0], total: 1, nowMs: 600_000 })).toBe(1)
  })
  test('lets only those go that are past it', () => {
    expect(count({ idleSinceMs: [0, 50, 90], total: 4, keepAliveMs: 50, nowMs: 100 })).toBe(2)
  })
  test('never goes below minWarm, busy ones counted', () => {
    expect(count({ idleSinceMs: [0, 0, 0], total: 3, minWarm: 2, keepAliveMs: 1, nowMs: 100 })).toBe(1)
    expect(count({ idleSinceMs: [0, 0], total: 5, minWarm: 2, keepAliveMs: 1, nowMs: 100 })).toBe(2)
  })
})

describe('eviction', () => {
  const MIB = 1024 ** 2
  const candidate = (name: string, changes: Partial<EvictionCandidate> = {}) => ({
    name,
    agedFrom: 0,
    frequency: 1,
    startMs: 100,
    sizeBytes: 100 * MIB,
    idleSinceMs: 0,
    ...changes,
  })
  const names = (choice: ReturnType<typeof chooseVictims<ReturnType<typeof candidate>>>) =>
    choice?.victims.map((victim) => victim.name) ?? null

  test('takes rarely used, cheap and large ones first', () => {
    const candidates = [
      candidate('often', { frequency: 50 }),
      candidate('dear', { startMs: 5000 }),
      candidate('small', { sizeBytes: 10 * MIB }),
      candidate('plain'),
    ]
    expect(names(chooseVictims(candidates, { bytes: MIB, count: 1 }))).toEqual(['plain'])
  })
  test('takes the one idle longest among equals', () => {
    const candidates = [candidate('new', { idleSinceMs: 9 }), candidate('old', { idleSinceMs: 1 })]
    expect(names(chooseVictims(candidates, { bytes: 0, count: 1 }))).toEqual(['old'])
  })
  test('takes as many as are needed, and none when all together would not do', () => {
    const candidates = [candidate('a'), candidate('b'), candidate('c')]
    expect(names(chooseVictims(candidates, { bytes: 150 * MIB, count: 1 }))).toHaveLength(2)
    expect(chooseVictims(candidates, { bytes: 301 * MIB, count: 1 })).toBeNull()
    expect(chooseVictims([], { bytes: 0, count: 1 })).toBeNull()
  })
  test('takes the larger of two that are worth the same otherwise, and one that holds next to nothing last', () => {
    const candidates = [
      candidate('reclaimed', { sizeBytes: 4 * MIB }),
      candidate('running size', { sizeBytes: 128 * MIB }),
      candidate('frozen', { sizeBytes: 50 * MIB }),
    ]
    const order = names(chooseVictims(candidates, { bytes: 0, count: 3 }))
    expect(order).toEqual(['running size', 'frozen', 'reclaimed'])
  })
  test('raises the clock with each eviction, so that what was used often long ago goes in the end', () => {
    let clock = 0
    let pool = [candidate('old favourite', { frequency: 20 })]
    let evictions = 0
    for (; pool.some((one) => one.name === 'old favourite'); evictions++) {
      pool.push(candidate(`new ${evictions}`, { agedFrom: clock, idleSinceMs: evictions }))
      const choice = chooseVictims(pool, { bytes: 0, count: 1 })!
      expect(choice.clock).toBeGreaterThan(clock)
      clock = Math.max(clock, choice.clock)
      pool = pool.filter((one) => !choice.victims.includes(one))
    }
    expect(evictions).toBeGreaterThan(10)
    expect(evictions).toBeLessThanOrEqual(21)
  })
  test('ages: what was often used long ago goes before what is used now', () => {
    const once = candidate('once often', { frequency: 10 })
    const now = candidate('now', { agedFrom: 20 })
    expect(names(chooseVictims([now, once], { bytes: 0, count: 1 }))).toEqual(['once often'])
    expect(chooseVictims([once], { bytes: 0, count: 1 })?.clock).toBe(10)
  })
})

describe('when to come back', () => {
  test('is computed from the measured rate at which calls end', () => {
    const drain = new DrainRate()
    for (let atMs = 0; atMs <= 5000; atMs += 500) drain.ended(atMs)
    expect(drain.retryAfterS(20, 5000)).toBe(10)
  })
  test('halves when calls end twice as fast, and doubles with the calls ahead', () => {
    const waitAt = (gapMs: number, ahead: number) => {
      const drain = new DrainRate()
      for (let n = 0; n <= 100; n++) drain.ended(n * gapMs)
      return drain.retryAfterS(ahead, 100 * gapMs)
    }
    expect(waitAt(400, 100)).toBe(40)
    expect(waitAt(200, 100)).toBe(20)
    expect(waitAt(200, 50)).toBe(10)
    expect(waitAt(1, 100)).toBe(1)
  })
  test('follows a rate that changes', () => {
    const drain = new DrainRate()
    for (let n = 0; n < 50; n++) drain.ended(n * 400)
    for (let n = 0; n < 50; n++) drain.ended(20_000 + n * 100)
    expect(drain.retryAfterS(100, 25_000)).toBeLessThanOrEqual(11)
  })
  test('is at least one second and at most sixty', () => {
    const drain = new DrainRate()
    expect(drain.retryAfterS(1000, 0)).toBe(1)
    drain.ended(0)
    drain.ended(10_000)
    expect(drain.retryAfterS(1000, 10_000)).toBe(60)
  })
  test('counts a rate that went stale as slow', () => {
    const drain = new DrainRate()
    drain.ended(0)
    drain.ended(10)
    expect(drain.retryAfterS(10, 20)).toBe(1)
    expect(drain.retryAfterS(10, 3010)).toBe(30)
  })
})
