import { expect, test } from 'vitest'
import { createOpenLoop } from '../../../bench/open-loop.ts'

/** A server that answers when told to, and a clock that moves when told to. */
function setUp(options: { connections: number; ratePerS: number; durationMs: number; warmUpMs?: number }) {
  let nowMs = 0
  const open: (() => void)[] = []
  const loop = createOpenLoop({
    ...{ startMs: 0, warmUpMs: 0, ...options, now: () => nowMs },
    call: () => new Promise<void>((resolve) => open.push(resolve)),
  })
  const at = async (ms: number, answers = 0) => {
    nowMs = ms
    loop.tick()
    for (const answer of open.splice(0, answers)) answer()
    // Answers are heard in later turns.
    for (let turn = 0; turn < 5; turn++) await Promise.resolve()
  }
  return { at, open, done: loop.done }
}

test('a call is charged from the instant it was due, however long the server kept its connection', async () => {
  const { at, done } = setUp({ connections: 1, ratePerS: 100, durationMs: 30 })
  await at(0)
  // The first answer comes after 50 ms: the calls due at 10 and 20 waited for it.
  await at(50, 1)
  await at(51, 1)
  await at(52, 1)
  const { samples, dues, lateness } = await done
  expect(dues).toEqual([0, 10, 20])
  expect(samples).toEqual([50, 41, 32])
  // The generator itself was late for none of them.
  expect(lateness).toEqual([0])
})

test('what the generator sends late counts, and is told apart', async () => {
  const { at, done } = setUp({ connections: 4, ratePerS: 100, durationMs: 20 })
  await at(0)
  await at(13)
  await at(15, 2)
  const { samples, lateness, ratePerS } = await done
  expect(samples).toEqual([15, 5])
  expect(lateness).toEqual([0, 3])
  expect(ratePerS).toBe(100)
})

test('calls of the warm-up are made, but not counted', async () => {
  const { at, done } = setUp({ connections: 4, ratePerS: 100, durationMs: 10, warmUpMs: 20 })
  await at(20)
  await at(21, 3)
  expect((await done).dues).toEqual([20])
})

test('never more calls are on the way than there are connections', async () => {
  const { at, open } = setUp({ connections: 2, ratePerS: 1000, durationMs: 10 })
  await at(9)
  expect(open.length).toBe(2)
})
