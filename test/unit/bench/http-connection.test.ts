import { describe, expect, test } from 'vitest'
import { parseAnswer } from '../../../bench/http-connection.ts'

const whole = (text: string) => parseAnswer(Buffer.from(text, 'latin1'))

describe('parseAnswer', () => {
  const framed = [
    ['a content length', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', 5],
    ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n', 5],
    [
      'chunks and a trailer',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\nX: y\r\n\r\n',
      10,
    ],
    [
      'a chunk that looks like an end',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n',
      5,
    ],
    ['no body', 'HTTP/1.1 204 No Content\r\nX: y\r\n\r\n', 0],
  ] as const

  test.each(framed)('measures a response with %s', (_, text, bodyBytes) => {
    expect(whole(text)).toMatchObject({ bodyBytes, bytes: text.length })
  })

  test.each(framed)('waits for the rest of a response with %s, wherever it is cut', (_, text) => {
    for (let cut = 0; cut < text.length; cut++) expect(whole(text.slice(0, cut))).toBeNull()
  })

  test('tells where the response ends when more follows', () => {
    const first = 'HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok'
    expect(whole(`${first}HTTP/1.1`)).toMatchObject({ status: 201, bytes: first.length })
  })

  test('refuses a response whose end cannot be known', () => {
    expect(() => whole('HTTP/1.1 200 OK\r\n\r\nhello')).toThrow('without length')
    expect(() => whole('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n')).toThrow('without size')
  })
})
