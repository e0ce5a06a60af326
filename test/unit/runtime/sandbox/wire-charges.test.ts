// What a sandbox is charged for what comes over its wire, against a sandbox played by the test.
import { type Duplex, duplexPair } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { beforeEach, describe, expect, test } from 'vitest'
import { encodeFrame, FLAG, FRAME, FRAME_HEADER_BYTES } from '../../../../runtime/protocol/frames.ts'
import { HEAD_PREFIX_BYTES, writeHead } from '../../../../runtime/protocol/heads.ts'
import { encodeLog } from '../../../../runtime/protocol/messages.ts'
import { type Channel, createChannel } from '../../../../runtime/sandbox/channel.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { callOf, codeOf, recordingSink } from '../../../support/wire-process.ts'

let clock: FakeClock
let channel: Channel
let inside: Duplex

beforeEach(() => {
  clock = new FakeClock()
  const [host, sandbox] = duplexPair()
  inside = sandbox
  sandbox.resume()
  channel = createChannel(host, { clock, onFault: () => {} })
})

/** Sends frames in one piece and lets the host handle them. */
async function say(...frames: Buffer[]): Promise<void> {
  inside.write(Buffer.concat(frames))
  for (let index = 0; index < 5; index++) await turn()
}

function head(text: string, flags: number, id: number): Buffer {
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + HEAD_PREFIX_BYTES + text.length)
  writeHead(frame, 0, FRAME.HEAD, id, flags, text, 0)
  return frame
}
const WHOLE = FLAG.END | FLAG.STARTED | FLAG.IDLE

async function loaded(): Promise<void> {
  const ready = channel.ready(100)
  await say(encodeFrame(FRAME.READY, 0))
  await ready
  const load = channel.load(codeOf('x'), 100, () => undefined)
  await say(encodeFrame(FRAME.LOADED, 0))
  await load
}

describe('budget', () => {
  /** A line in pieces: how many of them are read in the milliseconds, one piece a turn where the wire is read. */
  async function piecesRead(forMs: number): Promise<number> {
    const line = encodeLog(1, 'stdout', 'x'.repeat(16_000))
    let pieces = 0
    for (let ms = 0; ms < forMs; ms++) {
      for (let turn = 0; turn < 4 && clock.pending === 0; turn++, pieces++)
        await say(line.subarray(pieces % line.length, (pieces % line.length) + 1))
      await clock.advance(1)
    }
    return pieces
  }

  test('a frame that comes byte by byte is read some 1,280 times a second', async () => {
    await loaded()
    channel.invoke(callOf(), recordingSink().sink)
    const pieces = await piecesRead(1000)
    expect(pieces).toBeLessThanOrEqual(64 + 4 + 128 + 1280 + 64)
    expect(pieces).toBeGreaterThan(640)
  })

  test('calls that print a line each, on its own, are never held up', async () => {
    await loaded()
    for (let nth = 1; nth <= 1000; nth++) {
      channel.invoke(callOf(), recordingSink().sink)
      await say(encodeLog(nth, 'stdout', 'a line'))
      await say(encodeLog(nth, 'stdout', 'another'))
      expect(clock.pending).toBe(0)
      await say(head('200', WHOLE, nth))
    }
  })

  test('a flood of small frames stops the reading until the bucket refills', async () => {
    await loaded()
    const { sink, recorded } = recordingSink()
    channel.invoke(callOf(), sink)
    const lines = Buffer.concat(Array.from({ length: 500 }, () => encodeLog(1, 'stdout', 'x')))
    for (let index = 0; index < 20; index++) await say(lines)
    const before = recorded.lines.length
    expect(before).toBeGreaterThanOrEqual(2048)
    expect(before).toBeLessThan(4000)
    expect(clock.pending).toBe(1)
    await clock.advance(1000)
    for (let index = 0; index < 20; index++) await clock.advance(100)
    expect(recorded.lines.length).toBe(10_000)
  })
})
