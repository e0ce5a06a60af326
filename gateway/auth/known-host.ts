// Owns which host names the control API answers to, so that a web page that rebinds its name to this address gets nothing.

/** A predicate on `Host` values (ports do not matter): loopback names, the listen address, and `extra` names. */
export function createHostCheck(listenHost: string, extra: readonly string[]): (host: string) => boolean {
  const known = new Set(
    [listenHost, ...extra].map((name) => hostName(name.toLowerCase())).filter((name) => name !== ''),
  )
  for (const anyAddress of ['0.0.0.0', '::', '[::]']) known.delete(anyAddress)
  return (host) => {
    const name = hostName(host.toLowerCase())
    return known.has(name) || isLoopbackName(name)
  }
}

/** `example.org:8080` → `example.org`, `[::1]:8080` → `[::1]`, `::1` → `[::1]`. */
function hostName(host: string): string {
  if (host.startsWith('[')) return host.slice(0, host.indexOf(']') + 1)
  const colon = host.indexOf(':')
  if (colon < 0) return host
  return host.indexOf(':', colon + 1) < 0 ? host.slice(0, colon) : `[${host}]`
}

function isLoopbackName(name: string): boolean {
  return name === 'localhost' || name === 'thaw.localhost' || name === '[::1]' || /^127(\.\d{1,3}){3}$/.test(name)
}

/** True for the address of a peer on this machine, as node:net spells it. */
export function isLoopbackAddress(address: string | undefined): boolean {
  if (address === undefined) return false
  return address === '::1' || address.startsWith('127.') || address.startsWith('::ffff:127.')
}
