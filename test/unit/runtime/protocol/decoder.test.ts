// The frame decoder: any cutting into chunks gives the same frames, and nothing but ProtocolError ever comes out of garbage.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FrameDecoder } from '../../../../runtime/protocol/decoder.ts'
import {
  encodeFrame,
  FRAME,
  FRAME_HEADER_BYTES,
  type FrameLimits,
  HOST_FRAMES,
  MAX_PAYLOAD_BYTES,
  ProtocolError,
  SANDBOX_FRAMES,
} from '../../../../runtime/protocol/frames.ts'

interface Frame {
  readonly type: number
  readonly invocation: number
  readonly payload: string
}

function decode(chunks: readonly Buffer[], limits: FrameLimits = SANDBOX_FRAMES): Frame[] {
  const frames: Frame[] = []
  const decoder = new FrameDecoder(limits, (type, invocation, payload) =>
    frames.push({ type, invocation, payload: payload.toString('hex') }),
  )
  for (const chunk of chunks) decoder.push(chunk)
  return frames
}

/** Cuts `bytes` at the given positions. */
function cut(bytes: Buffer, positions: readonly number[]): Buffer[] {
  const sorted = [0, ...positions.map((position) => position % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return sorted.slice(1).map((to, index) => bytes.subarray(sorted[index], to))
}

const frame = fc.record({
  type: fc.constantFrom(FRAME.DATA, FRAME.HEAD, FRAME.LOG, FRAME.FAIL),
  invocation: fc.nat(0xffffffff),
  payload: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
})

describe('FrameDecoder', () => {
  test('gives the same frames however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 20 }), (frames, positions) => {
        const bytes = Buffer.concat(
          frames.map(({ type, invocation, payload }) => encodeFrame(type, invocation, payload)),
        )
        const expected = frames.map(({ payload, ...rest }) => ({ ...rest, payload: payload.toString('hex') }))
        expect(decode(cut(bytes, positions))).toEqual(expected)
      }),
    )
  })

  test('takes bytes one by one', () => {
    const bytes = Buffer.concat([encodeFrame(FRAME.READY, 0), encodeFrame(FRAME.DATA, 0xfffffffe, Buffer.from('abc'))])
    expect(decode([...bytes].map((byte) => Buffer.of(byte)))).toEqual([
      { type: FRAME.READY, invocation: 0, payload: '' },
      { type: FRAME.DATA, invocation: 0xfffffffe, payload: '616263' },
    ])
  })

  test('never throws anything but ProtocolError on garbage', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }), (chunks) => {
        try {
          decode(chunks.map((chunk) => Buffer.from(chunk)))
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError)
        }
      }),
      { numRuns: 500 },
    )
  })

  test('never throws anything but ProtocolError on damaged frames', () => {
    fc.assert(
      fc.property(fc.array(frame, { minLength: 1, maxLength: 4 }), fc.nat(), fc.nat(255), (frames, at, value) => {
        const bytes = Buffer.concat(
          frames.map(({ type, invocation, payload }) => encodeFrame(type, invocation, payload)),
        )
        bytes[at % bytes.length] = value
        try {
          decode([bytes])
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError)
        }
      }),
      { numRuns: 500 },
    )
  })

  test.each([0xffffffff, 0x80000000, MAX_PAYLOAD_BYTES + 1])(
    'refuses a length of %d from the header alone',
    (length) => {
      const header = Buffer.alloc(FRAME_HEADER_BYTES)
      header.writeUInt32LE(length, 0)
      header[4] = FRAME.DATA
      for (const chunks of [[header], [header.subarray(0, 5), header.subarray(5)]]) {
        expect(() => decode(chunks, HOST_FRAMES)).toThrow(`DATA of ${length} bytes is above its limit of 262144`)
      }
    },
  )

  test.each(Object.entries(SANDBOX_FRAMES))('holds type %s to its own limit', (type, limit) => {
    expect(decode([encodeFrame(Number(type), 1, Buffer.alloc(limit!))])).toHaveLength(1)
    expect(() => decode([encodeFrame(Number(type), 1, Buffer.alloc(limit! + 1))])).toThrow(ProtocolError)
  })

  test('refuses unknown types and those of the other direction', () => {
    expect(() => decode([encodeFrame(77, 1)])).toThrow('type 77 is not a frame of this direction')
    expect(() => decode([encodeFrame(FRAME.INVOKE, 1)])).toThrow('INVOKE is not a frame of this direction')
    expect(() => decode([encodeFrame(FRAME.READY, 0)], HOST_FRAMES)).toThrow('READY is not a frame of this direction')
  })

  test('knows whether the stream may end here', () => {
    const decoder = new FrameDecoder(SANDBOX_FRAMES, () => undefined)
    const bytes = encodeFrame(FRAME.DATA, 1, Buffer.from('abc'))
    expect(decoder.atBoundary).toBe(true)
    decoder.push(bytes.subarray(0, 4))
    expect(decoder.atBoundary).toBe(false)
    decoder.push(bytes.subarray(4, 10))
    expect(decoder.atBoundary).toBe(false)
    decoder.push(bytes.subarray(10))
    expect(decoder.atBoundary).toBe(true)
  })

  test('copies nothing of a frame that lies in one chunk', () => {
    const bytes = encodeFrame(FRAME.DATA, 1, Buffer.from('abc'))
    const decoder = new FrameDecoder(SANDBOX_FRAMES, (_type, _invocation, payload) => {
      expect(payload.buffer).toBe(bytes.buffer)
    })
    decoder.push(bytes)
  })
})
