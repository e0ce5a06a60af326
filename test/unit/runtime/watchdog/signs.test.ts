import { expect, test } from 'vitest'
import { LoopSigns } from '../../../../runtime/watchdog/signs.ts'

test('what one side tells the other reads, in the same memory', () => {
  const loop = new LoopSigns()
  const thread = new LoopSigns(loop.buffer)
  loop.beat()
  loop.handle(5)
  loop.armed = true
  loop.debugged = true
  expect([thread.beats, thread.handled, thread.armed, thread.debugged]).toEqual([1, 5, true, true])
  expect(loop.killed()).toBeNull()
  thread.tellKilled(5, 5123.4)
  expect(loop.killed()).toEqual({ sandbox: 5, afterMs: 5123 })
  loop.forgetKilled()
  expect(thread.killed()).toBeNull()
})
