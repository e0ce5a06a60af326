import { expect, test } from 'vitest'
import { isSigned, signatureOf } from '../../../../worker/fleet/signature.ts'

const secret = Buffer.from('the secret of the fleet')
const now = 1_700_000_000_000
const signature = signatureOf(secret, 'PUT', '/results/x', 'digest', now)

test('a request is what it was signed as', () => {
  expect(isSigned(secret, 'PUT', '/results/x', 'digest', signature, now + 60_000)).toBe(true)
})

test.each([
  ['another secret', Buffer.from('another'), 'PUT', '/results/x', 'digest', signature, now],
  ['another method', secret, 'GET', '/results/x', 'digest', signature, now],
  ['another path', secret, 'PUT', '/results/y', 'digest', signature, now],
  ['another body', secret, 'PUT', '/results/x', 'other', signature, now],
  ['another time', secret, 'PUT', '/results/x', 'digest', signature.replace(/^\d/, '2'), now],
  ['an old one', secret, 'PUT', '/results/x', 'digest', signature, now + 301_000],
  ['one of the future', secret, 'PUT', '/results/x', 'digest', signature, now - 301_000],
  ['none', secret, 'PUT', '/results/x', 'digest', '', now],
  ['nonsense', secret, 'PUT', '/results/x', 'digest', `${now}.zz`, now],
])('%s is refused', (_name, key, method, path, sha256, given, at) => {
  expect(isSigned(key, method, path, sha256, given, at)).toBe(false)
})
