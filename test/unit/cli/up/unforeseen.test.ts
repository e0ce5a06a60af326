import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'
import { outliveErrors } from '../../../../cli/up/unforeseen.ts'
import { silentLogger } from '../../../support/real-clock.ts'

test('an error that nothing caught is logged and outlived, in few lines however often it comes', () => {
  const events = new EventEmitter()
  const lines: object[] = []
  let nowMs = 0
  const logger = { ...silentLogger, error: (fields: object) => void lines.push(fields) }
  const unforeseen = outliveErrors(logger, () => nowMs, events)
  for (let index = 0; index < 1000; index++) events.emit('uncaughtException', new Error('no'), 'uncaughtException')
  expect(lines).toHaveLength(10)
  expect(unforeseen.count).toBe(1000)
  nowMs += 60_000
  events.emit('uncaughtException', new Error('no'), 'unhandledRejection')
  expect(lines.at(-1)).toMatchObject({ count: 1001, unsaid: 990 })
  unforeseen.stop()
  expect(events.listenerCount('uncaughtException')).toBe(0)
})
