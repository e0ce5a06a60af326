import { expect, test } from 'vitest'
import { createHostCheck, isLoopbackAddress } from '../../../gateway/auth/known-host.ts'
import { TokenCheck } from '../../../gateway/auth/token.ts'

test('only the whole token is valid, as a bearer', () => {
  const tokens = new TokenCheck('fn_secret')
  for (const good of [
    'Bearer fn_secret',
    'bearer fn_secret',
    'Bearer  fn_secret ',
    'BEARER\tfn_secret',
    'Bearer \t fn_secret\t',
  ])
    expect(tokens.isValid(good)).toBe(true)
  for (const bad of [
    'Bearer fn_secre',
    'Bearer fn_secrets',
    'Basic fn_secret',
    'Token fn_secret',
    'Bearer fn_secret x',
    'Bearer: fn_secret',
    'fn_secret',
    'Bearer ',
    '',
    null,
    undefined,
  ])
    expect(tokens.isValid(bad)).toBe(false)
})

test('whatever looks like a token of ours is ours, valid or not', () => {
  const tokens = new TokenCheck('own-without-prefix')
  expect(tokens.isOurs('Bearer fn_anything')).toBe(true)
  expect(tokens.isOurs('Bearer own-without-prefix')).toBe(true)
  expect(tokens.isOurs('Bearer eyJhbGciOi')).toBe(false)
})

const SECRET = 'aB3_-'.repeat(9).slice(0, 43)
const basic = (pair: string): string => `Basic ${Buffer.from(pair).toString('base64')}`

test.each([
  'fn_x',
  'FN_X',
  'Token fn_x',
  'token\tfn_x',
  'Bearer\tfn_x',
  'Bearer fn_x fn_y',
  'bEARER   fn_x',
  'ApiKey fn_x',
  'Bearer eyJhbGciOi, Bearer fn_x',
  'Digest username="fn_x", realm="a"',
  'AWS4-HMAC-SHA256 Credential=fn_x/2026/eu/s3/aws4_request',
  '"fn_x"',
  "Token token='fn_x'",
  'own-without-prefix',
  'Token own-without-prefix',
  basic(`fn_${SECRET}:`),
  basic(`fn_${SECRET}`),
  basic(`user:fn_${SECRET}`),
  basic('user:own-without-prefix'),
  basic(`:fn_${SECRET}`).replace('Basic', 'bASIC\t'),
])('an Authorization of %j is for us and reaches no function', (value) => {
  expect(new TokenCheck('own-without-prefix').isOurs(value)).toBe(true)
})

test.each([
  'Bearer eyJhbGciOiJIUzI1NiJ9.fn_x.c',
  'Bearer abcfn_x',
  'Bearer a/fn_x+b-fn_y',
  basic('user:password'),
  basic('config_fn_x:y'),
  'Basic !!!',
  'Token abc',
  'Digest username="Mufasa"',
])('an Authorization of %j is the function’s', (value) => {
  expect(new TokenCheck('own-without-prefix').isOurs(value)).toBe(false)
})

test.each([
  [`a=b; token=fn_${SECRET}`, true],
  [`fn_abcdefghij_${SECRET}`, true],
  [`/x?token=fn_${SECRET}&y=1`, true],
  [`/x?token=fn%5F${SECRET}`, true],
  [`/x?token=%66n_${SECRET}`, true],
  [`/fn_${SECRET}`, true],
  ['x own-without-prefix y, long enough to be looked at at all', true],
  [`fn_session=${SECRET}`, false],
  [`fn_${SECRET.slice(1)}`, false],
  [`abcfn_${SECRET}`, false],
  ['%'.repeat(60), false],
])('%j as another header or a URL has a token of ours in it: %j', (text, is) => {
  expect(new TokenCheck('own-without-prefix').isIn(text)).toBe(is)
})

test('known hosts are loopback names, the listen address and what was named, on any port', () => {
  const known = createHostCheck('10.0.0.5', ['Fn.Example.org', 'other:8080'])
  for (const host of [
    'localhost',
    '127.9.9.9:1',
    '[::1]:2',
    '10.0.0.5:3',
    'fn.example.org',
    'OTHER:1',
    'thaw.localhost',
  ])
    expect([host, known(host)]).toEqual([host, true])
  for (const host of ['', 'evil', 'fn.example.org.evil', 'x.localhost', '10.0.0.50', '[::2]', '127.0.0.1.evil'])
    expect([host, known(host)]).toEqual([host, false])
})

test('listening everywhere makes no host name known', () => {
  for (const address of ['0.0.0.0', '::']) {
    const known = createHostCheck(address, [])
    expect([known('0.0.0.0'), known('[::]'), known('')]).toEqual([false, false, false])
  }
})

test('loopback addresses are told by their spelling', () => {
  for (const address of ['127.0.0.1', '::1', '::ffff:127.0.0.1']) expect(isLoopbackAddress(address)).toBe(true)
  for (const address of ['10.0.0.1', '::2', undefined]) expect(isLoopbackAddress(address)).toBe(false)
})
