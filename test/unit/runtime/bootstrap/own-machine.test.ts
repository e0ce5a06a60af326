import { expect, test } from 'vitest'
import { readInterfaces } from '../../../../runtime/bootstrap/own-machine.ts'

const DEV = `Inter-|   Receive
 face |bytes    packets
    lo:       0       0
  eth0:     100       1
`
const ROUTE = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t01000A0A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t00000A0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
`
const TRIE = `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 10.10.0.7
        /32 host LOCAL
     |-- 127.0.0.1
        /32 host LOCAL
Local:
     |-- 10.10.0.7
        /32 host LOCAL
     |-- 10.10.0.255
        /32 link BROADCAST
`
const INET6 = `00000000000000000000000000000001 01 80 10 80       lo
fe80000000000000020000fffe000001 02 40 20 80     eth0
`
const tables = (files: Readonly<Record<string, string>>) => (name: string) => files[name] ?? ''

test('addresses come with the name, mask and kind of their interface, each once', () => {
  const found = readInterfaces(tables({ dev: DEV, route: ROUTE, fib_trie: TRIE, if_inet6: INET6 }))
  const mac = '00:00:00:00:00:00'
  const lo = { mac, internal: true }
  expect(found.lo).toEqual([
    { ...lo, address: '127.0.0.1', netmask: '255.0.0.0', family: 'IPv4', cidr: '127.0.0.1/8' },
    {
      ...lo,
      address: '::1',
      netmask: 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
      family: 'IPv6',
      cidr: '::1/128',
      scopeid: 0,
    },
  ])
  const eth0 = { mac, internal: false }
  expect(found.eth0).toEqual([
    { ...eth0, address: '10.10.0.7', netmask: '255.255.255.0', family: 'IPv4', cidr: '10.10.0.7/24' },
    {
      ...eth0,
      address: 'fe80::200:ff:fe00:1',
      netmask: 'ffff:ffff:ffff:ffff::',
      family: 'IPv6',
      cidr: 'fe80::200:ff:fe00:1/64',
      scopeid: 2,
    },
  ])
})

test('an address without a route of its own is of the interface there is, as a single host', () => {
  const found = readInterfaces(tables({ dev: DEV, fib_trie: TRIE }))
  expect(found.eth0).toEqual([expect.objectContaining({ address: '10.10.0.7', cidr: '10.10.0.7/32' })])
})

test('tables that are not there give no interfaces', () => expect(readInterfaces(() => '')).toEqual({}))
