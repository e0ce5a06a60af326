// What a sandbox is told of a name: whom to ask, which addresses of an answer it may have, for how long. Pure; asking and opening
// the way is resolver.ts's.
import { type AllowList, addressText, isPublicAddress } from './addresses.ts'
import { type AddressRecord, TYPE } from './dns-message.ts'
import { type EgressRule, portsFor } from './egress-rules.ts'

/** Names below it are functions; never asked for outside. */
export const PEER_DOMAIN = 'fn.internal'

export type NameVerdict =
  /** a function: answered with the platform's own address when it is a peer */
  | { readonly kind: 'peer'; readonly label: string }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'refused' }
  /** known to have nothing for a sandbox (it has no IPv6) */
  | { readonly kind: 'empty' }
  /** Ports: null = any. */
  | { readonly kind: 'addresses'; readonly ports: readonly number[] | null }
  | { readonly kind: 'records' }

/** Types that are passed on as they come: they carry no address. */
const PLAIN: readonly number[] = [TYPE.NS, TYPE.CNAME, TYPE.SOA, TYPE.PTR, TYPE.MX, TYPE.TXT, TYPE.SRV, TYPE.CAA]
/** Service bindings carry addresses besides: without them clients ask for A. */
const EMPTY: readonly number[] = [TYPE.AAAA, 64, 65]

/** `rules` null: every public name. */
export function judgeName(name: string, type: number, rules: readonly EgressRule[] | null): NameVerdict {
  if (name === PEER_DOMAIN || name.endsWith(`.${PEER_DOMAIN}`)) {
    const label = name.slice(0, -PEER_DOMAIN.length - 1)
    if (label === '' || label.includes('.')) return { kind: 'unknown' }
    return type === TYPE.A ? { kind: 'peer', label } : { kind: 'empty' }
  }
  if (name === '' || name === 'localhost' || name.endsWith('.localhost')) return { kind: 'unknown' }
  const ports = rules === null ? null : portsFor(rules, name)
  if (ports?.length === 0) return { kind: 'refused' }
  if (type === TYPE.A) return { kind: 'addresses', ports }
  if (EMPTY.includes(type)) return { kind: 'empty' }
  return PLAIN.includes(type) ? { kind: 'records' } : { kind: 'refused' }
}

/** Whether a sandbox may have this address for this name: a name that leads to an address which is not public (DNS rebinding)
 *  leads nowhere, unless the administrator named it. */
export function mayHave(name: string, { address }: AddressRecord, allow: AllowList): boolean {
  const text = addressText(address)
  return allow.hosts.has(name) || allow.networks.check(text, 'ipv4') || isPublicAddress(text, 4)
}

const LEAST_SECONDS = 60
const MOST_SECONDS = 3_600

/** How long the way to an address stays open: as long as its record says, and a while for a program that asked just before. */
export function openForMs(ttlSeconds: number): number {
  return (Math.min(MOST_SECONDS, Math.max(0, ttlSeconds)) + LEAST_SECONDS) * 1000
}

/** What the record says of its own age in the answer: never longer than the way stays open. */
export function shownTtl(ttlSeconds: number): number {
  return Math.min(MOST_SECONDS, Math.max(0, ttlSeconds))
}
