// allowHosts: what may be written, what it matches, and ranges for the kernel that never overlap.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { addressNumber, addressText, networkRange } from '../../../../runtime/network/addresses.ts'
import { egressRuleText, literalRanges, parseEgressRule, portsFor } from '../../../../runtime/network/egress-rules.ts'

describe('an entry of allowHosts', () => {
  test.each([
    ['api.example.com', { kind: 'name', name: 'api.example.com', below: false, port: null }],
    ['API.Example.com.:443', { kind: 'name', name: 'api.example.com', below: false, port: 443 }],
    ['*.example.com', { kind: 'name', name: 'example.com', below: true, port: null }],
    ['10.1.2.3:5432', { kind: 'network', network: '10.1.2.3', port: 5432 }],
    ['10.1.0.0/16', { kind: 'network', network: '10.1.0.0/16', port: null }],
  ])('%s is understood', (text, rule) => {
    expect(parseEgressRule(text)).toEqual(rule)
    expect(parseEgressRule(egressRuleText(parseEgressRule(text)))).toEqual(rule)
  })

  test.each([
    ['', /host name/],
    ['*', /host name/],
    ['a.*.com', /host name/],
    ['https://example.com', /port|host name/],
    ['example.com:0', /port from 1 to 65535/],
    ['example.com:99999', /port from 1 to 65535/],
    ['10.1.2.3/33', /network such as/],
    ['1.2.3.999', /host name/],
    ['[2001:db8::1]:443', /IPv6 is not offered/],
    ['2001:db8::1', /IPv6 is not offered/],
    ['-bad-.com', /host name/],
  ])('%s is refused with what is expected', (text, words) => {
    expect(() => parseEgressRule(text)).toThrow(words)
  })
})

test('a name is reached at the ports of the entries it matches, and any port wins', () => {
  const rules = ['api.example.com:443', 'api.example.com:80', '*.example.org', 'example.org:1'].map(parseEgressRule)
  expect(portsFor(rules, 'api.example.com')).toEqual([443, 80])
  expect(portsFor(rules, 'a.b.example.org')).toBeNull()
  expect(portsFor(rules, 'example.org')).toEqual([1])
  for (const name of ['example.com', 'xapi.example.com', 'badexample.org', 'api.example.com.evil.net'])
    expect(portsFor(rules, name), name).toEqual([])
})

test('ranges for the kernel allow what the entries do, and no two overlap', () => {
  const network = fc
    .tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 20, max: 32 }), fc.constantFrom(null, 80, 443))
    .map(([low, bits, port]) => `10.0.${low % 8}.${low}/${bits}${port === null ? '' : `:${port}`}`)
  const probe = fc.tuple(fc.integer({ min: 0, max: 2047 }), fc.constantFrom(80, 443, 22))
  fc.assert(
    fc.property(fc.array(network, { maxLength: 8 }), fc.array(probe, { maxLength: 20 }), (texts, probes) => {
      const ranges = literalRanges(texts.map(parseEgressRule))
      for (const [offset, port] of probes) {
        const address = addressNumber('10.0.0.0') + offset
        const holds = (first: number, last: number) => first <= address && address <= last
        const wanted = texts.map(parseEgressRule).some((rule) => {
          if (rule.kind !== 'network' || (rule.port !== null && rule.port !== port)) return false
          const { first, last } = networkRange(rule.network)
          return holds(first, last)
        })
        const found = ranges.filter(
          (range) => holds(range.first, range.last) && range.lowPort <= port && port <= range.highPort,
        )
        expect(found.length, `${addressText(address)}:${port} of ${texts}`).toBe(wanted ? 1 : 0)
      }
    }),
  )
})
