// DNS messages: questions and answers as they go over the wire, and what liars send.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  encodeAddresses,
  encodeEmpty,
  encodeMalformed,
  encodeQuery,
  encodeRecords,
  parseQuestion,
  parseReply,
  type Question,
  RCODE,
  TYPE,
} from '../../../../runtime/network/dns-message.ts'

function nameBytes(name: string): Buffer {
  return Buffer.concat([
    ...name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)])),
    Buffer.from([0]),
  ])
}
function questionOf(name: string, type: number = TYPE.A): Question {
  const bytes = Buffer.concat([nameBytes(name), Buffer.from([0, type, 0, 1])])
  const question = parseQuestion(encodeQuery(7, bytes))
  if (question === null) throw new Error('no question')
  return question
}

describe('a question', () => {
  test('is read with its name in lower case', () => {
    expect(questionOf('API.Example.COM')).toMatchObject({ id: 7, name: 'api.example.com', type: TYPE.A })
  })

  test.each([
    ['an answer', (message: Buffer) => message.writeUInt16BE(0x8000, 2)],
    ['another operation', (message: Buffer) => message.writeUInt16BE(0x2800, 2)],
    ['two questions', (message: Buffer) => message.writeUInt16BE(2, 4)],
    ['another class', (message: Buffer) => message.writeUInt16BE(3, message.length - 2)],
    ['a pointer to itself', (message: Buffer) => message.writeUInt16BE(0xc00c, 12)],
    ['a label longer than the message', (message: Buffer) => message.writeUInt8(63, 12)],
  ])('is none when it is %s', (_what, spoil) => {
    const message = encodeQuery(7, questionOf('example.com').bytes)
    spoil(message)
    expect(parseQuestion(message)).toBeNull()
  })

  test('that is no good is answered as malformed, an answer never', () => {
    const message = encodeQuery(7, questionOf('example.com').bytes)
    expect(encodeMalformed(message)?.readUInt16BE(2)).toBe(0x8081)
    message.writeUInt16BE(0x8000, 2)
    expect(encodeMalformed(message)).toBeNull()
    expect(encodeMalformed(Buffer.alloc(4))).toBeNull()
  })
})

describe('an answer', () => {
  const question = questionOf('api.example.com')
  const records = [
    { address: 0x5db8d822, ttlSeconds: 30 },
    { address: 0x01020304, ttlSeconds: 5 },
  ]

  test('gives its addresses, also under another name', () => {
    const answer = encodeAddresses(question, records)
    expect(parseReply(answer, 7, question.bytes)).toMatchObject({
      rcode: RCODE.ok,
      truncated: false,
      addresses: records,
    })
  })

  test('counts only for its own id and question', () => {
    const answer = encodeAddresses(question, records)
    expect(parseReply(answer, 8, question.bytes)).toBeNull()
    expect(parseReply(answer, 7, questionOf('other.example.com').bytes)).toBeNull()
    expect(parseReply(encodeQuery(7, question.bytes), 7, question.bytes)).toBeNull()
  })

  test('that is cut anywhere is none', () => {
    const answer = encodeAddresses(question, records)
    for (let length = 0; length < answer.length; length++)
      expect(parseReply(answer.subarray(0, length), 7, question.bytes)).toBeNull()
  })

  test('is passed on without what stands behind its answers', () => {
    const extra = Buffer.concat([encodeAddresses(question, records), Buffer.from('more')])
    extra.writeUInt16BE(1, 10)
    const reply = parseReply(extra, 7, question.bytes)
    const passed = encodeRecords(question, extra, reply!)
    expect(passed).toEqual(encodeAddresses(question, records))
  })

  test('without records says why, or that it did not fit', () => {
    expect(parseReply(encodeEmpty(question, RCODE.refused), 7, question.bytes)).toMatchObject({
      rcode: 5,
      addresses: [],
    })
    expect(parseReply(encodeEmpty(question, RCODE.ok, true), 7, question.bytes)).toMatchObject({ truncated: true })
  })
})

test('whatever comes, nothing throws', () => {
  const question = questionOf('a.example')
  const start = encodeAddresses(question, [{ address: 1, ttlSeconds: 1 }])
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.integer({ min: 0, max: start.length }), (noise, kept) => {
      const message = Buffer.concat([start.subarray(0, kept), Buffer.from(noise)])
      parseQuestion(message)
      parseReply(message, 7, question.bytes)
      encodeMalformed(message)
    }),
  )
})
