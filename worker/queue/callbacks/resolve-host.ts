// Resolves the host of a callback without the threads of the process: getaddrinfo(3) holds one of the four that files need for as long
// as a name server stays silent, and the owner of the name decides how long that is. Hosts of /etc/hosts first, then DNS (c-ares).
import { Resolver } from 'node:dns/promises'
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import type { CheckedAddress } from './address-filter.ts'

const TIMEOUT_MS = 3_000
const TRIES = 2
const HOSTS = '/etc/hosts'

/** IPv4 first. Rejects with the resolver's error, or the signal's reason. */
export async function resolveHost(host: string, signal: AbortSignal): Promise<readonly CheckedAddress[]> {
  const known = hostsOf(await readFile(HOSTS, 'utf8').catch(() => ''), host)
  if (known.length > 0) return known
  // Made for each name: the servers are those that resolv.conf has now.
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: TRIES })
  const cancel = (): void => resolver.cancel()
  signal.addEventListener('abort', cancel, { once: true })
  if (signal.aborted) throw signal.reason
  try {
    const answers = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)])
    if (signal.aborted) throw signal.reason
    const found = answers.flatMap((answer, index) =>
      answer.status === 'fulfilled'
        ? answer.value.map((address) => ({ address, family: index === 0 ? (4 as const) : (6 as const) }))
        : [],
    )
    const [first] = answers
    if (found.length === 0 && first.status === 'rejected') throw first.reason
    return found
  } finally {
    signal.removeEventListener('abort', cancel)
  }
}

/** Addresses of a name in the text of a hosts file (hosts(5)). */
export function hostsOf(text: string, host: string): CheckedAddress[] {
  const found: CheckedAddress[] = []
  for (const line of text.split('\n')) {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().toLowerCase().split(/\s+/)
    const family = isIP(address)
    if (family !== 0 && names.includes(host)) found.push({ address, family: family === 4 ? 4 : 6 })
  }
  return found.sort((one, other) => one.family - other.family)
}
