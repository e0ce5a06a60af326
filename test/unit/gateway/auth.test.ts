import { expect, test } from 'vitest'
import { createHostCheck, isLoopbackAddress } from '../../../gateway/auth/known-host.ts'
import { TokenCheck } from '../../../gateway/auth/token.ts'

test('only the whole token is valid, as a bearer', () => {
  const tokens = new TokenCheck('fn_secret')
  for (const good of ['Bearer fn_secret', 'bearer fn_secret', 'Bearer  fn_secret '])
    expect(tokens.isValid(good)).toBe(true)
  for (const bad of [
    'Bearer fn_secre',
    'Bearer fn_secrets',
    'Basic fn_secret',
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
