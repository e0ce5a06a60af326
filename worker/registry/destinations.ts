// Where the end of a call may be told: a function or a URL; and which hosts besides public ones callbacks may reach. Pure.
import { BlockList, isIP } from 'node:net'
import { isDnsLabel } from './names.ts'

export type Destination =
  | { readonly kind: 'url'; readonly url: URL }
  /** Of the same namespace; `reference`: version or alias, null for latest. */
  | { readonly kind: 'function'; readonly name: string; readonly reference: string | null }

const MAX_CHARS = 2_048

/** Throws Error with a sentence: expected, got. */
export function parseDestination(text: string): Destination {
  const shown = JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text)
  if (text.length > MAX_CHARS) throw new Error(`expected at most ${MAX_CHARS} characters, got ${text.length}`)
  if (/^[a-z][a-z0-9+.-]*:/i.test(text)) {
    const url = URL.canParse(text) ? new URL(text) : null
    if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:'))
      throw new Error(`expected a function or an http(s):// URL, got ${shown}`)
    if (url.username !== '' || url.password !== '')
      throw new Error('a URL with a user or password in it is not allowed')
    if (url.hash !== '') throw new Error(`a URL with a fragment is not allowed, got ${shown}`)
    return { kind: 'url', url }
  }
  const [name, reference = null, ...more] = text.split('@') as [string, ...string[]]
  const fits = isDnsLabel(name) && more.length === 0 && (reference === null || isDnsLabel(reference))
  if (!fits) throw new Error(`expected a function (NAME or NAME@ALIAS) or an http(s):// URL, got ${shown}`)
  return { kind: 'function', name, reference }
}

/** Hosts and networks an administrator allows besides public addresses. */
export interface AllowList {
  readonly hosts: ReadonlySet<string>
  readonly networks: BlockList
}

/** Each entry is a host name, an address or a network (`10.0.0.0/8`). Throws Error naming the bad one. */
export function parseAllowList(entries: readonly string[]): AllowList {
  const hosts = new Set<string>()
  const networks = new BlockList()
  for (const entry of entries) {
    const [address = '', bits, ...more] = entry.split('/')
    const version = isIP(address)
    const family = version === 6 ? 'ipv6' : 'ipv4'
    const most = version === 6 ? 128 : 32
    if (version !== 0 && bits === undefined) networks.addAddress(address, family)
    else if (version !== 0 && more.length === 0 && /^\d{1,3}$/.test(bits ?? '') && Number(bits) <= most)
      networks.addSubnet(address, Number(bits), family)
    else if (bits === undefined && /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(entry)) hosts.add(entry.toLowerCase())
    else
      throw new Error(`expected a host name, an address or a network such as 10.0.0.0/8, got ${JSON.stringify(entry)}`)
  }
  return { hosts, networks }
}
