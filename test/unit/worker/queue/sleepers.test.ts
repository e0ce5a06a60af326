// The heap of those that wait for their time.
import { describe, expect, test } from 'vitest'
import { Sleepers } from '../../../../worker/queue/sleepers.ts'

describe('sleepers', () => {
  test('wake in the order of their times, and only those whose time has come', () => {
    const sleepers = new Sleepers<string>()
    for (const [name, atMs] of [
      ['c', 30],
      ['a', 10],
      ['d', 40],
      ['b', 20],
    ] as const)
      sleepers.put(name, atMs)
    expect(sleepers.firstAtMs).toBe(10)
    expect(sleepers.wake(30)).toEqual(['a', 'b', 'c'])
    expect(sleepers.firstAtMs).toBe(40)
  })

  test('keep only the last time that was said of each', () => {
    const sleepers = new Sleepers<string>()
    sleepers.put('a', 10)
    sleepers.put('a', 50)
    sleepers.put('b', 20)
    expect(sleepers.wake(30)).toEqual(['b'])
    sleepers.delete('a')
    expect(sleepers.firstAtMs).toBe(Infinity)
  })

  test('stay in order when one is put off again and again, a thousand times', () => {
    const sleepers = new Sleepers<number>()
    for (let turn = 0; turn < 1_000; turn++)
      for (let who = 0; who < 5; who++) sleepers.put(who, (turn * 7 + who * 3) % 101)
    const last = [0, 1, 2, 3, 4].sort((a, b) => ((999 * 7 + a * 3) % 101) - ((999 * 7 + b * 3) % 101))
    expect(sleepers.wake(101)).toEqual(last)
  })
})
