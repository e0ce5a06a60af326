// The bootstrap's writing end: one write a turn, DATA joined, order kept, and a full socket survived.
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Outbox } from '../../../../runtime/bootstrap/outbox.ts'
import { FrameDecoder } from '../../../../runtime/protocol/decoder.ts'
import {
  encodeFrame,
  FLAG,
  FRAME,
  frameName,
  SANDBOX_FRAMES,
  WINDOW_BYTES,
} from '../../../../runtime/protocol/frames.ts'
import { until } from '../../../support/until.ts'

/** An outbox whose socket takes at most `room()` bytes at a time. */
function open(room: () => number = () => Number.POSITIVE_INFINITY) {
  const writes: number[] = []
  const frames: string[] = []
  const decoder = new FrameDecoder(SANDBOX_FRAMES, (type, id, payload) =>
    frames.push(`${frameName(type)} ${id} ${payload.length}`),
  )
  const outbox = new Outbox((buffer, offset, length) => {
    const bytes = Math.min(length, room())
    if (bytes > 0) {
      writes.push(bytes)
      decoder.push(Buffer.from(buffer.subarray(offset, offset + bytes)))
    }
    return bytes
  })
  return { outbox, writes, frames }
}

test('what is said within a turn leaves in one write, in order', async () => {
  const { outbox, writes, frames } = open()
  outbox.signal(FRAME.STARTED, 1)
  outbox.head(1, FLAG.END, '200', 'grüße', 7)
  outbox.raw(encodeFrame(FRAME.IDLE, 1))
  outbox.credit(2, 5)
  outbox.fault(FRAME.FAIL, 2, { code: 'HANDLER_THREW', message: '' })
  expect(writes).toEqual([])
  await turn()
  expect(writes).toHaveLength(1)
  expect(frames.map((frame) => frame.split(' ')[0])).toEqual(['STARTED', 'HEAD', 'IDLE', 'CREDIT', 'FAIL'])
})

test('pieces of a body join into frames of at most a window; another call or frame ends the joining', async () => {
  const { outbox, frames } = open()
  for (let index = 0; index < 3; index++) outbox.data(1, Buffer.alloc(10))
  outbox.data(2, Buffer.alloc(10))
  outbox.data(1, Buffer.alloc(WINDOW_BYTES - 5))
  outbox.data(1, Buffer.alloc(6))
  outbox.signal(FRAME.END, 1)
  outbox.data(2, Buffer.alloc(1))
  await turn()
  expect(frames).toEqual(['DATA 1 30', 'DATA 2 10', `DATA 1 ${WINDOW_BYTES - 5}`, 'DATA 1 6', 'END 1 0', 'DATA 2 1'])
  outbox.data(2, Buffer.alloc(1))
  await turn()
  expect(frames.at(-1)).toBe('DATA 2 1')
})

test('more than the buffer holds is flushed on the way', async () => {
  const { outbox, frames } = open()
  for (let index = 0; index < 20; index++) outbox.data(index, Buffer.alloc(WINDOW_BYTES))
  await turn()
  expect(frames).toHaveLength(20)
})

test('a full socket is tried again until all has left', async () => {
  let tries = 0
  const { outbox, frames } = open(() => (tries++ % 3 === 0 ? 7 : 0))
  outbox.data(1, Buffer.alloc(50))
  outbox.signal(FRAME.END, 1)
  await until('all has left', () => frames.length === 2)
  expect(frames).toEqual(['DATA 1 50', 'END 1 0'])
})

test('flushNow waits for a full socket', () => {
  let tries = 0
  const { outbox, frames } = open(() => (tries++ < 3 ? 0 : 1000))
  outbox.signal(FRAME.STARTED, 1)
  outbox.flushNow()
  expect(frames).toEqual(['STARTED 1 0'])
})
