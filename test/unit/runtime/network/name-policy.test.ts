// What sandboxes are told of names and which addresses they may have.
import { describe, expect, test } from 'vitest'
import { addressNumber, parseAllowList } from '../../../../runtime/network/addresses.ts'
import { TYPE } from '../../../../runtime/network/dns-message.ts'
import { parseEgressRule } from '../../../../runtime/network/egress-rules.ts'
import { judgeName, mayHave, openForMs, shownTtl } from '../../../../runtime/network/name-policy.ts'

const rules = ['api.example.com:443', '*.example.org'].map(parseEgressRule)

describe('a name', () => {
  test.each([
    ['anything.example', TYPE.A, null, { kind: 'addresses', ports: null }],
    ['anything.example', TYPE.AAAA, null, { kind: 'empty' }],
    ['anything.example', 65, null, { kind: 'empty' }],
    ['anything.example', TYPE.TXT, null, { kind: 'records' }],
    ['anything.example', 255, null, { kind: 'refused' }],
    ['api.example.com', TYPE.A, rules, { kind: 'addresses', ports: [443] }],
    ['x.example.org', TYPE.A, rules, { kind: 'addresses', ports: null }],
    ['example.org', TYPE.A, rules, { kind: 'refused' }],
    ['example.org', TYPE.TXT, rules, { kind: 'refused' }],
    ['shop.fn.internal', TYPE.A, rules, { kind: 'peer', label: 'shop' }],
    ['shop.fn.internal', TYPE.AAAA, null, { kind: 'empty' }],
    ['a.shop.fn.internal', TYPE.A, null, { kind: 'unknown' }],
    ['fn.internal', TYPE.A, null, { kind: 'unknown' }],
    ['localhost', TYPE.A, null, { kind: 'unknown' }],
    ['x.localhost', TYPE.A, null, { kind: 'unknown' }],
    ['', TYPE.NS, null, { kind: 'unknown' }],
  ])('%s, type %i', (name, type, allowed, verdict) => {
    expect(judgeName(name, type, allowed)).toEqual(verdict)
  })
})

test.each([
  ['93.184.216.34', 'a.example', true],
  ['10.1.2.3', 'a.example', false],
  ['169.254.169.254', 'a.example', false],
  ['127.0.0.1', 'a.example', false],
  ['100.64.0.1', 'a.example', false],
  ['198.18.4.1', 'a.example', false],
  ['10.1.2.3', 'db.corp', true],
  ['192.168.7.7', 'a.example', true],
])('address %s for %s: %j', (address, name, may) => {
  const allow = parseAllowList(['db.corp', '192.168.7.0/24'])
  expect(mayHave(name, { address: addressNumber(address), ttlSeconds: 1 }, allow)).toBe(may)
})

test('the way to an address is open longer than its record is shown to last, and neither for ever', () => {
  for (const ttl of [0, 1, 59, 300, 3_600, 2 ** 31]) expect(openForMs(ttl)).toBeGreaterThan(shownTtl(ttl) * 1000)
  expect(openForMs(2 ** 31)).toBeLessThanOrEqual(3_660_000)
})
