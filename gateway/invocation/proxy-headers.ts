// Headers in which a proxy in front says which client it speaks for. Without one (no `--behind-proxy`) a client wrote them, and code that trusts
// them would trust any client. Pure.

/** By whole name, in lower case. `X-Forwarded-For`, `-Host`, `-Proto` and `-Prefix` are not here: ours take their place. */
export const PROXY_HEADERS: readonly string[] = [
  // RFC 7239
  'forwarded',
  // the client's address
  'x-real-ip',
  'x-client-ip',
  'client-ip',
  'x-remote-ip',
  'x-remote-addr',
  'x-cluster-client-ip',
  'x-original-forwarded-for',
  'x-envoy-external-address',
  'x-azure-clientip',
  'x-appengine-user-ip',
  'proxy-client-ip',
  'wl-proxy-client-ip',
  'true-client-ip',
  'fastly-client-ip',
  'fly-client-ip',
  'cf-connecting-ip',
  'cf-connecting-ipv6',
  'cf-pseudo-ipv4',
  // scheme, host and path as the client asked for them
  'front-end-https',
  'x-url-scheme',
  'x-scheme',
  'x-host',
  'x-http-host-override',
  'x-original-host',
  'x-original-url',
  'x-original-uri',
  'x-rewrite-url',
  // who the client is
  'remote-user',
  'x-remote-user',
  'x-webauth-user',
  'x-client-cert',
  'x-client-verify',
  'x-client-dn',
  'ssl-client-cert',
  'ssl-client-verify',
]
const PREFIXES: readonly string[] = [
  'x-forwarded-',
  'x-auth-request-',
  'x-ssl-',
  'x-goog-authenticated-user-',
  'cf-access-',
]

/** Whether the name begins as such headers do (those of `PROXY_HEADERS` aside). Runs for each header of a call: one letter is enough for most. */
export function isProxyHeader(lower: string): boolean {
  const first = lower.charCodeAt(0)
  if (first !== 120 && first !== 99) return false
  for (const prefix of PREFIXES) if (lower.startsWith(prefix)) return true
  return false
}
