import { expect, test } from 'vitest'
import { addForwarded, readRequestHeaders } from '../../../../gateway/invocation/request-headers.ts'

const tokens = { isOurs: (value: string) => value.startsWith('Bearer fn_'), isIn: () => false }
const read = (...raw: string[]) => readRequestHeaders(raw, tokens)
const HOP = { address: '1.2.3.4', proto: 'http', prefix: '/fn/a', behindProxy: false }

test('headers pass in order, spelled as sent, repeated ones repeated', () => {
  expect(read('X-B', '1', 'x-a', '2', 'X-B', '3').headers).toEqual(['X-B', '1', 'x-a', '2', 'X-B', '3'])
})

test('hop-by-hop headers and those that Connection names are dropped, wherever they stand', () => {
  const found = read('X-Before', '1', 'Connection', 'close, x-before, X-AFTER', 'X-After', '1', 'TE', 'x', 'X', '1')
  expect(found.headers).toEqual(['X', '1'])
})

test('Connection cannot name Host away, nor what we add', () => {
  const found = read('Host', 'h', 'Connection', 'host, x-forwarded-for')
  addForwarded(found, HOP)
  expect(found.headers).toEqual([
    ...['Host', 'h', 'X-Forwarded-For', '1.2.3.4', 'X-Forwarded-Host', 'h', 'X-Forwarded-Proto', 'http'],
    ...['X-Forwarded-Prefix', '/fn/a'],
  ])
})

test('Fn-* headers are kept apart, in lower case', () => {
  const found = read('FN-Timeout', '1s', 'fn-limit-memory', '64m', 'Fnord', '1')
  expect([found.headers, found.own]).toEqual([
    ['Fnord', '1'],
    ['fn-timeout', '1s', 'fn-limit-memory', '64m'],
  ])
})

test('what the gateway needs is read on the way', () => {
  const found = read('Host', 'a', 'Host', 'b', 'Content-Length', '12', 'Prefer', 'x', 'prefer', 'y', 'traceparent', 't')
  expect(found).toMatchObject({ hosts: 2, contentLength: 12, prefer: 'x,y', traceparent: 't', chunked: false })
  expect(read('Transfer-Encoding', 'chunked')).toMatchObject({ chunked: true, headers: [], contentLength: -1 })
})

test('a token of ours is read and not passed on', () => {
  expect(read('Authorization', 'Bearer fn_x')).toMatchObject({ authorization: 'Bearer fn_x', headers: [] })
  expect(read('Authorization', 'Basic x').headers).toEqual(['Authorization', 'Basic x'])
})

test('behind a proxy its chain, host and protocol are kept and its prefix comes first', () => {
  const found = read(
    ...['Host', 'inner', 'X-Forwarded-For', '9.9.9.9', 'X-Forwarded-Proto', 'https'],
    ...['X-Forwarded-Host', 'outer', 'X-Forwarded-Prefix', '/api'],
  )
  addForwarded(found, { ...HOP, behindProxy: true })
  expect(found.headers.slice(2)).toEqual([
    ...['X-Forwarded-For', '9.9.9.9, 1.2.3.4', 'X-Forwarded-Host', 'outer', 'X-Forwarded-Proto', 'https'],
    ...['X-Forwarded-Prefix', '/api/fn/a'],
  ])
})

test('a transfer coding besides chunked is told, for nobody here decodes it', () => {
  expect([read('Transfer-Encoding', 'Chunked').otherCoding, read().otherCoding]).toEqual([null, null])
  const found = read('Transfer-Encoding', 'gzip, chunked')
  expect([found.chunked, found.otherCoding]).toEqual([true, 'gzip, chunked'])
})
