// Which addresses are public: the one table of the house, for sandboxes' networks and for callbacks; and what an administrator
// allows besides. Pure.
import { BlockList, isIP } from 'node:net'

/** Not public (IANA special-purpose registries, RFC 6890): this host, private, shared, loopback, link-local (with the metadata
 *  services of clouds), documentation, benchmarks, multicast, reserved. */
export const SPECIAL_V4: readonly string[] = [
  '0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24',
  '192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4',
].flatMap((line) => line.split(' '))
/** Of IPv6 only global unicast is public, and of it not what carries other addresses (6to4, Teredo) or is documentation. */
const PUBLIC_V6 = '2000::/3'
const SPECIAL_V6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20']

const specialV4 = networksOf(SPECIAL_V4, 'ipv4')
const publicV6 = networksOf([PUBLIC_V6], 'ipv6')
const specialV6 = networksOf(SPECIAL_V6, 'ipv6')

/** Whether the address is anybody's on the Internet, and nobody's in particular here. */
export function isPublicAddress(address: string, family: 4 | 6): boolean {
  if (family === 4) return !specialV4.check(address, 'ipv4')
  return publicV6.check(address, 'ipv6') && !specialV6.check(address, 'ipv6')
}

/** Hosts and networks an administrator allows besides public addresses. */
export interface AllowList {
  readonly hosts: ReadonlySet<string>
  readonly networks: BlockList
  /** The IPv4 networks of it as texts, `10.0.0.0/8`. */
  readonly networksV4: readonly string[]
}

/** Each entry is a host name, an address or a network (`10.0.0.0/8`). Throws Error naming the bad one. */
export function parseAllowList(entries: readonly string[]): AllowList {
  const hosts = new Set<string>()
  const networks = new BlockList()
  const networksV4: string[] = []
  for (const entry of entries) {
    const [address = '', bits, ...more] = entry.split('/')
    const version = isIP(address)
    const family = version === 6 ? 'ipv6' : 'ipv4'
    const most = version === 6 ? 128 : 32
    const isNetwork = version !== 0 && more.length === 0 && /^\d{1,3}$/.test(bits ?? '') && Number(bits) <= most
    if (version !== 0 && bits === undefined) networks.addAddress(address, family)
    else if (isNetwork) networks.addSubnet(address, Number(bits), family)
    else if (bits === undefined && /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(entry)) hosts.add(entry.toLowerCase())
    else
      throw new Error(`expected a host name, an address or a network such as 10.0.0.0/8, got ${JSON.stringify(entry)}`)
    if (version === 4) networksV4.push(entry)
  }
  return { hosts, networks, networksV4 }
}

/** `a.b.c.d` → a number; the text is an IPv4 address. */
export function addressNumber(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
}

/** The other way round. */
export function addressText(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join('.')
}

/** `10.0.0.0/8` or a plain address → its first and last, as numbers. */
export function networkRange(network: string): { readonly first: number; readonly last: number } {
  const [address = '', bits = '32'] = network.split('/')
  const size = 2 ** (32 - Number(bits))
  const first = Math.floor(addressNumber(address) / size) * size
  return { first, last: first + size - 1 }
}

function networksOf(list: readonly string[], family: 'ipv4' | 'ipv6'): BlockList {
  const networks = new BlockList()
  for (const network of list) {
    const [address, bits] = network.split('/') as [string, string]
    networks.addSubnet(address, Number(bits), family)
  }
  return networks
}
