// Which addresses a callback may reach: public ones, and what an administrator allows. A name is resolved once and the connection
// goes to the address that was checked, so a name that changes its mind in between (DNS rebinding) gains nothing.
import { lookup as systemLookup } from 'node:dns/promises'
import { BlockList, isIP } from 'node:net'
import type { AllowList } from '../../registry/destinations.ts'

/** Not public (IANA special-purpose registries, RFC 6890): this host, private, shared, loopback, link-local (with the metadata
 *  services of clouds), documentation, benchmarks, multicast, reserved. */
const SPECIAL_V4 = [
  '0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24',
  '192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4',
].flatMap((line) => line.split(' '))
/** Of IPv6 only global unicast is public, and of it not what carries other addresses (6to4, Teredo) or is documentation. */
const PUBLIC_V6 = '2000::/3'
const SPECIAL_V6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20']

const specialV4 = networksOf(SPECIAL_V4, 'ipv4')
const publicV6 = networksOf([PUBLIC_V6], 'ipv6')
const specialV6 = networksOf(SPECIAL_V6, 'ipv6')

export interface CheckedAddress {
  readonly address: string
  readonly family: 4 | 6
}
export type Lookup = (host: string) => Promise<readonly CheckedAddress[]>

/** Why a callback was not sent; not worth a retry when the target itself is refused. */
export class RefusedTarget extends Error {}

/** Resolves to the address to connect to. Throws RefusedTarget, or the resolver's error. */
export async function checkTarget(url: URL, allow: AllowList, lookup: Lookup = resolveHost): Promise<CheckedAddress> {
  const host = url.hostname.replace(/^\[|\]$/g, '').toLowerCase()
  const version = isIP(host)
  const found = version === 0 ? await lookup(host) : [{ address: host, family: version as 4 | 6 }]
  const good = found.find((one) => allow.hosts.has(host) || isAllowed(one, allow))
  if (good !== undefined) return good
  const shown = found.map(({ address }) => address).join(', ')
  throw new RefusedTarget(
    `${host}${version === 0 ? ` (${shown})` : ''} is not a public address; an administrator allows it by --callback-allow ${host} (FN_CALLBACK_ALLOW)`,
  )
}

function isAllowed({ address, family }: CheckedAddress, allow: AllowList): boolean {
  if (allow.networks.check(address, family === 6 ? 'ipv6' : 'ipv4')) return true
  return isPublicAddress(address, family)
}

export function isPublicAddress(address: string, family: 4 | 6): boolean {
  if (family === 4) return !specialV4.check(address, 'ipv4')
  return publicV6.check(address, 'ipv6') && !specialV6.check(address, 'ipv6')
}

async function resolveHost(host: string): Promise<readonly CheckedAddress[]> {
  const found = await systemLookup(host, { all: true, verbatim: true })
  return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }))
}

function networksOf(list: readonly string[], family: 'ipv4' | 'ipv6'): BlockList {
  const networks = new BlockList()
  for (const network of list) {
    const [address, bits] = network.split('/') as [string, string]
    networks.addSubnet(address, Number(bits), family)
  }
  return networks
}
