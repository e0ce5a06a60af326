import { expect, test } from 'vitest'
import { LOOK_MS, LoopMeter, watchLoop } from '../../../../runtime/host/loop-stands.ts'

function meterAt() {
  const at = { nowMs: 1000, waitMs: 50 }
  const meter = new LoopMeter({ monotonicMs: () => at.nowMs, coreWaitMs: () => at.waitMs })
  const told: number[] = []
  const stop = meter.onStand((ms) => told.push(ms))
  const look = (afterMs: number, waitedMs = 0): void => {
    at.nowMs += afterMs
    at.waitMs += waitedMs
    meter.look()
  }
  return { meter, told, look, stop }
}

test('a loop that comes in time does not stand', () => {
  const { meter, told, look } = meterAt()
  for (const afterMs of [LOOK_MS, LOOK_MS + 9, LOOK_MS - 5]) look(afterMs)
  expect([told, meter.takeLongestMs()]).toEqual([[], 0])
})

test('each stand is reported, and the longest is kept until it is taken', () => {
  const { meter, told, look } = meterAt()
  for (const afterMs of [LOOK_MS, 40, 300, LOOK_MS, 120]) look(afterMs)
  expect(told).toEqual([40, 300, 120])
  expect([meter.takeLongestMs(), meter.takeLongestMs()]).toEqual([300, 0])
})

test('a stand that is not over yet counts when the longest is taken', () => {
  const at = { nowMs: 0 }
  const meter = new LoopMeter({ monotonicMs: () => at.nowMs, coreWaitMs: () => 0 })
  at.nowMs = 700
  expect(meter.takeLongestMs()).toBe(700)
})

test('waiting for a core is no stand, and is counted apart', () => {
  const { meter, told, look } = meterAt()
  look(500, 480)
  look(500, 300)
  expect(told).toEqual([200])
  expect(meter.coreWaitMs()).toBe(780)
})

test('a listener that left hears nothing', () => {
  const { told, look, stop } = meterAt()
  stop()
  look(500)
  expect(told).toEqual([])
})

test('a real loop that computes for 150 ms has stood for about as long', () => {
  const loop = watchLoop()
  try {
    loop.takeLongestMs()
    const until = process.cpuUsage().user + 150_000
    while (process.cpuUsage().user < until);
    expect(loop.takeLongestMs()).toBeGreaterThan(100)
    expect(loop.coreWaitMs()).toBeGreaterThanOrEqual(0)
  } finally {
    loop.close()
  }
})
