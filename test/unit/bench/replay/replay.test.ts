// The replay on a trace small enough to count by hand, and on the public sample where it lies beside the project.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { onTheWall, pickFunctions } from '../../../../bench/replay/live.ts'
import { replay } from '../../../../bench/replay/operating-points.ts'
import { fixedKeepAlive, hazardsOf, simulate } from '../../../../bench/replay/simulate.ts'
import { ALWAYS_RUNNING, MEASURED_TIERS, shareInMinute } from '../../../../bench/replay/tiers.ts'
import { readTrace, TraceError } from '../../../../bench/replay/trace.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..', '..')
const SMALL = join(ROOT, 'test', 'fixtures', 'traces', 'small_inv.csv')
const SAMPLE = join(ROOT, '..', 'shared', 'data', 'azure2019', '200_inv.csv')
const directory = mkdtempSync(join(tmpdir(), 'thaw-replay-'))
afterAll(() => rmSync(directory, { recursive: true }))

describe('fixed keep-alives', () => {
  // timer: calls every 5 minutes from minute 4; rare: at 3 and 90; steady: all minutes from 20.
  const cases: [minutes: number, cold: number, idle: number][] = [
    [0, 24 + 2 + 1, 0],
    [3, 24 + 2 + 1, 23 * 3 + 2 * 3],
    [4, 1 + 2 + 1, 23 * 4 + 2 * 4],
    [1000, 3, 23 * 4 + 86 + 29],
  ]
  for (const [minutes, cold, idle] of cases) {
    test(`of ${minutes} minutes on the small trace: ${cold} cold, ${idle} idle`, () => {
      const outcome = simulate(readTrace(SMALL), ALWAYS_RUNNING, fixedKeepAlive(minutes))
      expect([outcome.activeMinutes, outcome.coldMinutes, outcome.idleMinutes]).toEqual([24 + 2 + 100, cold, idle])
    })
  }
  test('are charged with what the application holds, the median where that is unknown', () => {
    const outcome = simulate(readTrace(SMALL), ALWAYS_RUNNING, fixedKeepAlive(4))
    expect(outcome.idleMbMinutes).toBeCloseTo(23 * 4 * 100 + 2 * 4 * 200)
  })
})

describe('the share held in an idle minute', () => {
  const tiers = { frozenShare: 0.8, reclaimedShare: 0.2, frozenAfterS: 6, reclaimedAfterS: 90 }
  const cases: [minute: number, share: number][] = [
    [0, 0.1 + 0.9 * 0.8],
    [1, 0.5 * 0.8 + 0.5 * 0.2],
    [2, 0.2],
    [50, 0.2],
  ]
  for (const [minute, share] of cases) {
    test(`minute ${minute}: ${share.toFixed(2)}`, () => expect(shareInMinute(tiers, minute)).toBeCloseTo(share))
  }
})

describe('the learned policy', () => {
  test('knows nothing of a minute before it is over', () => {
    const trace = readTrace(SMALL)
    const whole = hazardsOf(trace)
    const cut = hazardsOf({ ...trace, minutes: 60 })
    for (const [index, hazards] of cut.entries()) expect([...hazards]).toEqual([...whole[index]!.subarray(0, 60)])
  })
  test('answers with seven rows that cost no more than the fixed keep-alive they are measured by', () => {
    const { rows } = replay(readTrace(SMALL), MEASURED_TIERS, 0.04)
    const policies = ['none', 'fixed-1', 'fixed-10', 'fixed-60', 'thaw@idle', 'thaw@cold', 'thaw@memory']
    expect(rows.map((row) => row.policy)).toEqual(policies)
    const [, , ten, , idle, cold, memory] = rows
    expect(idle!.idleMinutes).toBeLessThanOrEqual(ten!.idleMinutes)
    expect(cold!.coldPercent).toBeLessThanOrEqual(ten!.coldPercent)
    expect(memory!.idleMbMinutes).toBeLessThanOrEqual(ten!.idleMbMinutes)
  })
})

describe('a file that is no trace', () => {
  const cases: [what: string, text: string, says: RegExp][] = [
    ['empty', '', /columns minute_1/],
    ['garbage', '\u0000\u0001garbage', /columns minute_1/],
    ['a header alone', 'HashFunction,minute_1\n', /one function a line/],
    ['a missing minute', 'HashFunction,minute_1,minute_3\na,1,2\n', /minute_2 is missing/],
    ['a minute twice', 'HashFunction,minute_1,minute_1\na,1,2\n', /once each/],
    ['a line cut off', 'HashFunction,minute_1,minute_2\na,1\n', /:2: expected 3 fields .* got 2/],
    ['a count that is none', 'HashFunction,minute_1,minute_2\na,1,2\nb,1,x\n', /:3: minute_2: .* got "x"/],
    ['a negative count', 'HashFunction,minute_1\na,-1\n', /expected a number of calls/],
    ['an empty count', 'HashFunction,minute_1\na,\n', /expected a number of calls/],
  ]
  for (const [what, text, says] of cases) {
    test(`is refused with place and reason: ${what}`, () => {
      const path = join(directory, 'bad_inv.csv')
      writeFileSync(path, text)
      expect(() => readTrace(path)).toThrow(says)
      expect(() => readTrace(path)).toThrow(TraceError)
    })
  }
  test('is refused when it is not there', () => {
    expect(() => readTrace(join(directory, 'none.csv'))).toThrow(/no such file/)
  })
})

test('line ends, blank lines, the original column names and a lack of memory figures are no matter', () => {
  const path = join(directory, 'odd.csv')
  writeFileSync(path, '\uFEFF"HashFunction",1,2,3\r\na,0,2,0\r\n\r\n')
  const trace = readTrace(path)
  expect([...trace.functions[0]!.calls]).toEqual([0, 2, 0])
  expect(trace.functions[0]!.memoryMb).toBeGreaterThan(0)
  expect(trace.notes.join()).toContain('no memory file')
})

test('a function without a call costs nothing, one with calls in each minute is cold once', () => {
  const path = join(directory, 'ends_inv.csv')
  const minutes = Array.from({ length: 120 }, (_, index) => index + 1)
  const line = (name: string, calls: number) => [name, ...minutes.map(() => calls)].join(',')
  writeFileSync(path, `${['HashFunction', ...minutes].join(',')}\n${line('never', 0)}\n`)
  for (const row of replay(readTrace(path), MEASURED_TIERS, 0.04).rows) {
    expect(row).toMatchObject({ coldPercent: 0, idleMinutes: 0, idleMbMinutes: 0 })
  }
  writeFileSync(path, `${['HashFunction', ...minutes].join(',')}\n${line('always', 3)}\n`)
  for (const row of replay(readTrace(path), MEASURED_TIERS, 0.04).rows) {
    expect(row).toMatchObject({ coldPercent: 0.833, idleMinutes: 0, idleMbMinutes: 0 })
  }
})

test('a trace that is sped up is laid on the minutes of the clock on the wall', () => {
  const one = { name: 'a', memoryMb: 1, calls: Uint32Array.from([1, 0, 0, 2, 0, 1, 0]) }
  const wall = onTheWall([one], 7, 3)
  expect(wall.minutes).toBe(3)
  expect([...wall.functions[0]!.calls]).toEqual([1, 3, 0])
  expect([...onTheWall([one], 2, 3).functions[0]!.calls]).toEqual([1])
})

test('functions to drive a platform with are spread over the activity of the trace', () => {
  const names = (count: number) => pickFunctions(readTrace(SMALL), count).map((one) => one.name)
  expect(names(1)).toEqual(['timer'])
  expect(names(9)).toEqual(['rare', 'timer', 'steady'])
})

// The sample is public data that lies beside the project where it is developed; elsewhere the small trace has to do.
const sample = existsSync(SAMPLE) ? [SAMPLE] : []
for (const path of sample) {
  test('on the public sample fixed keep-alives cost what is known, and the learned policy beats them', () => {
    const trace = readTrace(path)
    const { rows } = replay(trace, MEASURED_TIERS, 0.04)
    const row = (name: string) => rows.find(({ policy }) => policy === name)!
    const known = ['fixed-1', 'fixed-10', 'fixed-60'].map((name) => [
      row(name).coldPercent.toFixed(2),
      row(name).idleMinutes,
    ])
    expect(known).toEqual([
      ['16.35', 11_484],
      ['3.83', 46_691],
      ['0.78', 86_142],
    ])
    expect(row('thaw@idle').coldPercent).toBeLessThan(1.8)
    expect(row('thaw@cold').idleMinutes).toBeLessThan(0.6 * row('fixed-10').idleMinutes)
    expect(row('thaw@memory').coldPercent).toBeLessThan(0.8)
  })
}
