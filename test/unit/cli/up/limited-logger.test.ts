import { expect, test } from 'vitest'
import { limitLogger } from '../../../../cli/up/limited-logger.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { silentLogger } from '../../../support/real-clock.ts'

function limited() {
  const clock = new FakeClock()
  const lines: { fields: object; message: string }[] = []
  const keep = (fields: object, message: string) => void lines.push({ fields, message })
  const logger = limitLogger({ ...silentLogger, debug: keep, info: keep, warn: keep, error: keep }, clock)
  return { clock, lines, logger }
}

test('a message that comes ten thousand times has thirty lines, and a count of the others', async () => {
  const { clock, lines, logger } = limited()
  for (let index = 0; index < 10_000; index++) logger.warn({ index }, 'a call was refused')
  expect(lines).toHaveLength(30)
  logger.warn({}, 'something else')
  expect(lines.at(-1)?.message).toBe('something else')
  await clock.advance(60_000)
  expect(lines.at(-1)).toEqual({ fields: { leftOut: 9970 }, message: expect.stringContaining('a call was refused') })
  logger.warn({}, 'a call was refused')
  expect(lines.at(-1)?.message).toBe('a call was refused')
})

test('a message that comes once a second loses no line, and none of level debug is left out', async () => {
  const { clock, lines, logger } = limited()
  for (let second = 0; second < 200; second++) {
    logger.error({}, 'slow')
    clock.pass(1000)
  }
  expect(lines).toHaveLength(200)
  for (let index = 0; index < 100; index++) logger.debug({}, 'fine')
  expect(lines).toHaveLength(300)
})

test('messages without number take no memory without bound', () => {
  const { lines, logger } = limited()
  for (let index = 0; index < 5000; index++) logger.info({}, `message ${index}`)
  expect(lines).toHaveLength(5000)
})
