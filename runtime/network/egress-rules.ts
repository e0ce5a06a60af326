// What a function may reach, as its author says it (`allowHosts`): names, names below a name, addresses, networks, each with a
// port or any. Parsing and matching; pure.
import { isIPv4, isIPv6 } from 'node:net'
import { networkRange } from './addresses.ts'

/** One entry. `name` in lower case, a leading `*.` taken off into `below`. */
export type EgressRule =
  | { readonly kind: 'name'; readonly name: string; readonly below: boolean; readonly port: number | null }
  | { readonly kind: 'network'; readonly network: string; readonly port: number | null }

const FORMS = 'such as api.example.com, *.example.com, api.example.com:443, 93.184.216.34 or 10.1.0.0/16:5432'
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/

/** Parses one entry. Throws Error with a sentence: expected, got. */
export function parseEgressRule(text: string): EgressRule {
  const shown = JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text)
  if (isIPv6(text.replace(/^\[|\](:\d+)?$/g, '')))
    throw new Error(`IPv6 is not offered to sandboxes; name an IPv4 address or a host name, got ${shown}`)
  const colon = text.lastIndexOf(':')
  const host = (colon < 0 ? text : text.slice(0, colon)).toLowerCase()
  const port = colon < 0 ? null : parsePort(text.slice(colon + 1))
  if (port === undefined) throw new Error(`expected a port from 1 to 65535 after the colon, got ${shown}`)
  const [address = '', bits, ...more] = host.split('/')
  if (isIPv4(address)) {
    const isNetwork = bits === undefined || (more.length === 0 && /^\d{1,2}$/.test(bits) && Number(bits) <= 32)
    if (!isNetwork) throw new Error(`expected a network such as 10.1.0.0/16, got ${shown}`)
    return { kind: 'network', network: host, port }
  }
  const below = host.startsWith('*.')
  const name = (below ? host.slice(2) : host).replace(/\.$/, '')
  const labels = name.split('.')
  // All digits in the last label would be a mistyped address.
  const fits = labels.every((label) => LABEL.test(label)) && name.length <= 253 && !/^\d+$/.test(labels.at(-1) ?? '')
  if (!fits) throw new Error(`expected a host name, an address or a network, ${FORMS}, got ${shown}`)
  return { kind: 'name', name, below, port }
}

/** The rule as its author would write it. */
export function egressRuleText(rule: EgressRule): string {
  const port = rule.port === null ? '' : `:${rule.port}`
  return rule.kind === 'name' ? `${rule.below ? '*.' : ''}${rule.name}${port}` : `${rule.network}${port}`
}

/** Ports that `name` may be reached at by these rules: null = any; empty: not at all. */
export function portsFor(rules: readonly EgressRule[], name: string): readonly number[] | null {
  const ports = new Set<number>()
  for (const rule of rules) {
    if (rule.kind !== 'name' || !matches(rule, name)) continue
    if (rule.port === null) return null
    ports.add(rule.port)
  }
  return [...ports]
}

/** Addresses with the ports they may be reached at. */
export interface LiteralRange {
  readonly first: number
  readonly last: number
  readonly lowPort: number
  readonly highPort: number
}

/** What the rules that name addresses allow, in ranges of which no two overlap (the kernel's sets take no others). */
export function literalRanges(rules: readonly EgressRule[]): LiteralRange[] {
  const networks = rules.flatMap((rule) =>
    rule.kind === 'network' ? [{ ...networkRange(rule.network), port: rule.port }] : [],
  )
  const bounds = [...new Set(networks.flatMap(({ first, last }) => [first, last + 1]))].sort((a, b) => a - b)
  return bounds.slice(0, -1).flatMap((first, index) => {
    const last = bounds[index + 1]! - 1
    const here = networks.filter((network) => network.first <= first && network.last >= last)
    if (here.some(({ port }) => port === null)) return [{ first, last, lowPort: 0, highPort: 65_535 }]
    const ports = [...new Set(here.map(({ port }) => port as number))]
    return ports.map((port) => ({ first, last, lowPort: port, highPort: port }))
  })
}

function matches(rule: { readonly name: string; readonly below: boolean }, name: string): boolean {
  return rule.below ? name.endsWith(`.${rule.name}`) : name === rule.name
}

function parsePort(text: string): number | undefined {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  return port >= 1 && port <= 65_535 ? port : undefined
}
