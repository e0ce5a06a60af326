// Heads of requests and responses: what is written is read back, and what a hostile sandbox writes is refused.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  FLAG,
  FRAME,
  FRAME_HEADER_BYTES,
  MAX_HEAD_BYTES,
  ProtocolError,
  WINDOW_BYTES,
} from '../../../../runtime/protocol/frames.ts'
import {
  bodyOffset,
  encodeInvoke,
  HEAD_PREFIX_BYTES,
  type InvokeHead,
  parseInvokeHead,
  parseResponseHead,
  writeHead,
} from '../../../../runtime/protocol/heads.ts'

const HEAD: InvokeHead = { id: 'id', timeoutMs: 30_000, attempt: 1, method: 'GET', target: '/', headers: [] }

function responsePayload(text: string, body = '', flags = 0): Buffer {
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + HEAD_PREFIX_BYTES + text.length + body.length)
  frame.write(body, writeHead(frame, 0, FRAME.HEAD, 1, flags, text, body.length))
  return frame.subarray(FRAME_HEADER_BYTES)
}

function parse(text: string) {
  const payload = responsePayload(text)
  return parseResponseHead(payload, bodyOffset(payload))
}

describe('INVOKE', () => {
  const field = fc.string({
    unit: fc
      .integer({ min: 0, max: 255 })
      .filter((code) => code !== 10)
      .map((code) => String.fromCharCode(code)),
  })

  test('any latin1 head without line feeds comes back as it was, with its body', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(field, field), { maxLength: 10 }),
        field,
        fc.uint8Array(),
        (headers, target, body) => {
          const head = { ...HEAD, target, headers: headers.flat() }
          const payload = encodeInvoke(5, FLAG.END, head, body).subarray(FRAME_HEADER_BYTES)
          const end = bodyOffset(payload)
          expect(parseInvokeHead(payload, end)).toEqual(head)
          expect([...payload.subarray(end)]).toEqual([...body])
          expect(payload[0]).toBe(FLAG.END)
        },
      ),
    )
  })

  test.each([
    ['a line feed', { target: '/\nx' }],
    ['a line feed in a header', { headers: ['a', 'b\nc: d'] }],
    ['a character that latin1 would turn into a line feed', { headers: ['a', '\u010a'] }],
  ])('refuses %s', (_name, parts) => {
    expect(() => encodeInvoke(1, 0, { ...HEAD, ...parts }, null)).toThrow(ProtocolError)
  })

  test('refuses a head above 64 KiB', () => {
    expect(() => encodeInvoke(1, 0, { ...HEAD, headers: ['a', 'x'.repeat(MAX_HEAD_BYTES)] }, null)).toThrow(
      'is above 65536',
    )
  })

  test('refuses a head with a missing field', () => {
    for (const text of ['id\n1\n1\nGET', 'id\n1\n1\nGET\n/\nname']) {
      const payload = responsePayload(text)
      expect(() => parseInvokeHead(payload, bodyOffset(payload))).toThrow(ProtocolError)
    }
  })
})

describe('HEAD', () => {
  test('status and repeated headers come back in order', () => {
    expect(parse('200\nset-cookie\na=1\nset-cookie\nb=2\nx-latin\ngr\xfc\xdfe\nx-empty\n')).toEqual({
      status: 200,
      headers: ['set-cookie', 'a=1', 'set-cookie', 'b=2', 'x-latin', 'grüße', 'x-empty', ''],
    })
  })

  test.each(['', '100', '101', '199', '600', '999', '20', '2000', '0x1', 'abc', '2e2', ' 200'])(
    'refuses the status %j',
    (status) => {
      expect(() => parse(status)).toThrow(ProtocolError)
    },
  )

  test.each(['', 'a b', 'a:', 'a\tb', 'ä', '(x)'])('refuses the header name %j', (name) => {
    expect(() => parse(`200\n${name}\nvalue`)).toThrow(ProtocolError)
  })

  test.each(['a\rb', 'a\0b', 'a\x7fb', 'a\x1bb'])('refuses the header value %j', (value) => {
    expect(() => parse(`200\nname\n${value}`)).toThrow(ProtocolError)
  })

  test('takes a reason phrase, and refuses one that is none', () => {
    expect(parse('418 I am odd\nname\nvalue')).toEqual({ status: 418, headers: ['name', 'value'], reason: 'I am odd' })
    expect(parse('204').reason).toBeUndefined()
    for (const bad of ['200 ', '200  x', '200x', '200\t', '200 a\rb', '2000', '199 x'])
      expect(() => parse(bad), JSON.stringify(bad)).toThrow(ProtocolError)
  })

  test('refuses a name without a value', () => {
    expect(() => parse('200\nname')).toThrow('response header without a value')
  })

  test('refuses lengths that do not fit', () => {
    const payload = responsePayload('200')
    payload.writeUInt32LE(4, 1)
    expect(() => bodyOffset(payload)).toThrow(ProtocolError)
    payload.writeUInt32LE(0xffffffff, 1)
    expect(() => bodyOffset(payload)).toThrow(ProtocolError)
    expect(() => bodyOffset(payload.subarray(0, 4))).toThrow(ProtocolError)
    expect(() => bodyOffset(responsePayload('200', 'x'.repeat(WINDOW_BYTES + 1)))).toThrow(ProtocolError)
  })

  test('never throws anything but ProtocolError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const payload = Buffer.from(bytes)
        try {
          const { status, headers } = parseResponseHead(payload, bodyOffset(payload))
          expect(status).toBeGreaterThanOrEqual(200)
          expect(headers.length % 2).toBe(0)
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError)
        }
      }),
      { numRuns: 1000 },
    )
  })
})
