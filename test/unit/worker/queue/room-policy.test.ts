import { expect, test } from 'vitest'
import { fullSentence, isFull, parseMemory, roomAgainS } from '../../../../worker/queue/room-policy.ts'
import { refusalWordOf, StoreError } from '../../../../worker/store/errors.ts'

const memory = (usedBytes: number, maxBytes: number) => ({ usedBytes, maxBytes, policy: 'noeviction' })
const MIB = 1024 ** 2

test('what Redis says of its memory is read; buffers that do not count are left out', () => {
  const info =
    '# Memory\r\nused_memory:1000\r\nmaxmemory:5000\r\nmaxmemory_policy:noeviction\r\nmem_not_counted_for_evict:100\r\n'
  expect(parseMemory(info)).toEqual({ usedBytes: 900, maxBytes: 5000, policy: 'noeviction' })
  expect(parseMemory('# Memory\r\nused_memory:1000\r\nmaxmemory:0\r\n')).toEqual({ ...memory(1000, 0), policy: null })
  expect(parseMemory('nothing of the kind')).toBeNull()
})

test('full begins at 85 %, with what came since it was asked; no bound is never full', () => {
  expect([isFull(memory(84, 100)), isFull(memory(85, 100)), isFull(memory(84, 100), 1)]).toEqual([false, true, true])
  expect(isFull(memory(1e12, 0), 1e12)).toBe(false)
})

test('when to come again follows how fast memory was freed, between a second and a minute', () => {
  const now = memory(95, 100)
  expect(roomAgainS(memory(100, 100), now, 1_000)).toBe(2)
  expect(roomAgainS(memory(95.001, 100), now, 1_000)).toBe(60)
  expect(roomAgainS(memory(1_000, 100), now, 1)).toBe(1)
  expect([roomAgainS(null, now, 1_000), roomAgainS(memory(90, 100), now, 1_000)]).toEqual([30, 30])
})

test('the sentence has figures and the way out', () => {
  expect(fullSentence(memory(91 * MIB, 100 * MIB))).toBe(
    'Redis is full (91 of 100 MiB; the last 15 are kept for what was accepted); give it more (maxmemory), or wait until kept results expire',
  )
})

test('refusals of a server are told by their word, wherever the error carries it', () => {
  const word = (message: string, cause?: Error) => refusalWordOf(new Error(message, { cause }))
  expect(word("OOM command not allowed when used memory > 'maxmemory'.")).toBe('OOM')
  expect(word('ERR Error running script (call to f_1): @user_script:1: -OOM command not allowed')).toBe('OOM')
  expect(word('the queue cannot be reached', new StoreError('REDIS_REFUSED', 'redis refused: READONLY You'))).toBe(
    'READONLY',
  )
  expect([word('ERR unknown command OOM'), word('Command timed out'), refusalWordOf('OOM')]).toEqual([null, null, null])
})
