// Addresses of platforms: never those of another platform, nor of a route of the host.
import { expect, test } from 'vitest'
import { networkRange } from '../../../../runtime/network/addresses.ts'
import { chooseSubnet, parseRoutes } from '../../../../runtime/network/subnet.ts'

const PLATFORMS = 35
const rangeOf = (subnet: { network: string } | null) => networkRange(subnet?.network ?? '')

test('no two platforms of a host have an address in common, whatever routes each met', () => {
  const taken = ['198.18.0.0/18']
  const ranges = Array.from({ length: PLATFORMS }, (_none, platform) =>
    rangeOf(chooseSubnet(platform, PLATFORMS, platform % 2 === 0 ? taken : [])),
  )
  ranges.sort((a, b) => a.first - b.first)
  for (const [index, range] of ranges.entries())
    if (index > 0) expect(range.first).toBeGreaterThan(ranges[index - 1]!.last)
})

test('a route of the host is kept away from, and when it takes all there is none', () => {
  const { first, last } = rangeOf(chooseSubnet(0, PLATFORMS, ['198.18.0.0/22', '10.0.0.0/8']))
  expect(first).toBeGreaterThan(networkRange('198.18.0.0/22').last)
  expect(last - first).toBe(1023)
  expect(chooseSubnet(0, PLATFORMS, ['198.18.0.0/15'])).toBeNull()
})

test('addresses of sandboxes lie in the subnet, apart from the platform’s and the ends', () => {
  const subnet = chooseSubnet(3, PLATFORMS, [])!
  const { first, last } = rangeOf(subnet)
  expect(subnet.addresses).toHaveLength(1021)
  expect([subnet.addresses[0], subnet.addresses.at(-1)]).toEqual([first + 2, last - 1])
})

test('routes are read from the kernel’s own table, without the default one', () => {
  const text = [
    'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT',
    'eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0',
    'eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0',
    'thw-1\t020412C6\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0',
  ].join('\n')
  expect(parseRoutes(text)).toEqual(['192.0.2.0/24', '198.18.4.2/32'])
})
