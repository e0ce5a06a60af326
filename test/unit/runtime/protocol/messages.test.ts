// The rare payloads: errors, exits, lines. What a sandbox writes into them is checked and cut.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FRAME_HEADER_BYTES, MAX_FAULT_BYTES, ProtocolError } from '../../../../runtime/protocol/frames.ts'
import {
  encodeFault,
  encodeInit,
  encodeLog,
  parseExit,
  parseFault,
  parseInit,
  parseLog,
} from '../../../../runtime/protocol/messages.ts'

const json = (value: unknown) => Buffer.from(JSON.stringify(value))

describe('FAIL', () => {
  test('comes back as it was', () => {
    const fault = { code: 'HANDLER_THREW', message: 'grüße', stack: 'at x' } as const
    expect(parseFault(encodeFault(fault))).toEqual(fault)
  })

  test('fits its frame however long or strange the error is', () => {
    for (const character of ['x', 'ü', '\0', '\ud800', '😀']) {
      const text = character.repeat(100_000)
      expect(encodeFault({ code: 'HANDLER_THREW', message: text, stack: text }).length).toBeLessThanOrEqual(
        MAX_FAULT_BYTES,
      )
    }
  })

  test.each([
    null,
    5,
    [],
    {},
    { code: 'KILLED', message: 'x' },
    { code: 'OUT_OF_MEMORY', message: 'x' },
    { code: 'HANDLER_THREW' },
    { code: 'HANDLER_THREW', message: 5 },
  ])('refuses %j', (value) => {
    expect(() => parseFault(json(value))).toThrow(ProtocolError)
  })

  test('takes over nothing but code, message and stack', () => {
    expect(parseFault(json({ code: 'HANDLER_THREW', message: 'x', stack: 7, data: { a: 1 }, constructor: 1 }))).toEqual(
      { code: 'HANDLER_THREW', message: 'x' },
    )
  })

  test('never throws anything but ProtocolError', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array().map((bytes) => Buffer.from(bytes)),
          fc.json().map((text) => Buffer.from(text)),
        ),
        (payload) => {
          for (const parse of [parseFault, parseExit, parseLog, parseInit]) {
            try {
              parse(payload)
            } catch (error) {
              expect(error).toBeInstanceOf(ProtocolError)
            }
          }
        },
      ),
      { numRuns: 500 },
    )
  })
})

describe('EXIT', () => {
  test('has the code as the kernel would report it', () => {
    expect(parseExit(json({ exitCode: 3 }))).toEqual({ exitCode: 3 })
    expect(parseExit(json({ exitCode: -1, message: 'm', stack: 's' }))).toEqual({
      exitCode: 255,
      message: 'm',
      stack: 's',
    })
    expect(() => parseExit(json({ exitCode: 'x' }))).toThrow(ProtocolError)
  })
})

describe('LOG', () => {
  test('comes back as it was', () => {
    expect(parseLog(encodeLog(1, 'stderr', 'grüße').subarray(FRAME_HEADER_BYTES))).toEqual({
      stream: 'stderr',
      line: 'grüße',
    })
    expect(parseLog(encodeLog(1, 'stdout', '').subarray(FRAME_HEADER_BYTES))).toEqual({ stream: 'stdout', line: '' })
  })

  test('refuses unknown streams and more than one line', () => {
    expect(() => parseLog(Buffer.from('\x03x'))).toThrow(ProtocolError)
    expect(() => parseLog(Buffer.alloc(0))).toThrow(ProtocolError)
    expect(() => parseLog(Buffer.from('\x01a\nb'))).toThrow(ProtocolError)
  })
})

test('INIT says how much follows', () => {
  expect(parseInit(encodeInit(10, 3_000_000_000, 77).subarray(FRAME_HEADER_BYTES))).toEqual({
    configBytes: 10,
    sourceBytes: 3_000_000_000,
    cacheBytes: 77,
  })
})
