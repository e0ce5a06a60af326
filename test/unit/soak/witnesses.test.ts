// When a result ended too early or too late.
import { expect, test } from 'vitest'
import { judgeWitnesses } from '../../soak/witnesses.ts'

const TTL_S = 120
const judge = (endedMs: number | null, goneMs: number | null, nowMs: number) =>
  judgeWitnesses([{ id: 'one', endedMs, goneMs }], TTL_S, nowMs)

test('a result that goes when it should, or is not due yet, is no trouble', () => {
  expect(judge(0, 121_000, 500_000)).toEqual([])
  expect(judge(0, 115_000, 500_000)).toEqual([])
  expect(judge(0, null, 130_000)).toEqual([])
  expect(judge(null, null, 130_000)).toEqual([])
})

test('a result that goes early, stays on, or goes before its end is named', () => {
  expect(judge(0, 60_000, 60_000)).toEqual(['one: gone 60 s after its end'])
  expect(judge(0, null, 200_000)).toEqual(['one: still there 200 s after its end'])
  expect(judge(null, 10_000, 10_000)).toEqual(['one: gone before its end was seen'])
})
