// Which addresses a callback may reach: public ones, and what an administrator allows. A name is resolved once and the connection
// goes to the address that was checked, so a name that changes its mind in between (DNS rebinding) gains nothing.
import { isIP } from 'node:net'
import { type AllowList, isPublicAddress } from '../../../runtime/api.ts'
import { resolveHost } from './resolve-host.ts'

export interface CheckedAddress {
  readonly address: string
  readonly family: 4 | 6
}
/** Rejects when the signal aborts. */
export type Lookup = (host: string, signal: AbortSignal) => Promise<readonly CheckedAddress[]>

/** Why a callback was not sent; not worth a retry when the target itself is refused. */
export class RefusedTarget extends Error {}

/** Resolves to the address to connect to. Throws RefusedTarget, or the resolver's error. */
export async function checkTarget(
  url: URL,
  allow: AllowList,
  signal: AbortSignal,
  lookup: Lookup = resolveHost,
): Promise<CheckedAddress> {
  const host = hostOf(url)
  const version = isIP(host)
  const found = version === 0 ? await lookup(host, signal) : [{ address: host, family: version as 4 | 6 }]
  const good = found.find((one) => allow.hosts.has(host) || isAllowed(one, allow))
  if (good !== undefined) return good
  const shown = found.map(({ address }) => address).join(', ')
  throw new RefusedTarget(refusalOf(host, version === 0 ? ` (${shown})` : ''))
}

/** Why this URL will never be reached, when that can be said without a resolver; null else. */
export function refusedAddress(url: URL, allow: AllowList): string | null {
  const host = hostOf(url)
  const version = isIP(host)
  const isOpen = version === 0 || allow.hosts.has(host) || isAllowed({ address: host, family: version as 4 | 6 }, allow)
  return isOpen ? null : refusalOf(host, '')
}

function refusalOf(host: string, resolved: string): string {
  const way = `an administrator allows it by --callback-allow ${host} (FN_CALLBACK_ALLOW)`
  return `${host}${resolved} is not a public address; ${way}`
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '').toLowerCase()
}

function isAllowed({ address, family }: CheckedAddress, allow: AllowList): boolean {
  if (allow.networks.check(address, family === 6 ? 'ipv6' : 'ipv4')) return true
  return isPublicAddress(address, family)
}
