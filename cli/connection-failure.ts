// Why a platform could not be reached, as a sentence and what to do: nothing there, another name, a certificate that is not
// trusted, the other protocol. Pure.
import { CliError } from './errors.ts'

const ELSEWHERE = 'or say where it is: FN_URL=http://host:port, or --url'
const BROKEN_OFF: ReadonlySet<string> = new Set([
  'ECONNRESET',
  'EPIPE',
  'HPE_INVALID_CONSTANT',
  'ERR_STREAM_PREMATURE_CLOSE',
])

/** Codes of Node's certificate check (nodejs.org/api/tls.html, "X509 certificate error codes") and what each means. */
const CERTIFICATE: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'it is signed by itself',
  SELF_SIGNED_CERT_IN_CHAIN: 'an authority signed it that this machine does not know',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'an authority signed it that this machine does not know',
  UNABLE_TO_GET_ISSUER_CERT: 'an authority signed it that this machine does not know',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'an authority signed it that this machine does not know',
  CERT_HAS_EXPIRED: 'it has expired',
  CERT_NOT_YET_VALID: 'it is not valid yet; compare the clocks of both machines',
  CERT_REVOKED: 'it was revoked',
  CERT_UNTRUSTED: 'it is not trusted',
  CERT_REJECTED: 'it was rejected',
  ERR_TLS_CERT_ALTNAME_INVALID: 'it is for another name',
}

/** A CliError PLATFORM_UNREACHABLE for a connection to `url` that failed. */
export function connectionFailure(error: Error, url: string): CliError {
  const failure = error as NodeJS.ErrnoException & { errors?: NodeJS.ErrnoException[] }
  const code = failure.code ?? failure.errors?.[0]?.code ?? ''
  const { sentence, hints } = explain(code, error.message, url)
  return new CliError('PLATFORM_UNREACHABLE', sentence, { cause: error, hints })
}

/** For an answer that no platform gives: something else listens at `url`. */
export function anotherServer(url: string, status: number, contentType: string | null): CliError {
  const what = contentType === null ? 'no content type' : (contentType.split(';', 1)[0] as string)
  return new CliError('PLATFORM_UNREACHABLE', `what answers at ${url} is no Thaw platform (HTTP ${status}, ${what})`, {
    hints: [ELSEWHERE.replace('or say', 'say'), 'start one with: fn up'],
  })
}

/** What to do about an address that has a path: the platform is at the root of its host unless a proxy puts it below. */
export function pathHints(url: string): string[] {
  const { pathname, origin } = new URL(url)
  return pathname === '/'
    ? []
    : [`${url} has the path ${pathname}; the platform itself is at ${origin} (FN_URL, --url)`]
}

function explain(code: string, message: string, url: string): { sentence: string; hints: string[] } {
  const certificate = Object.hasOwn(CERTIFICATE, code) ? CERTIFICATE[code] : undefined
  if (certificate !== undefined)
    return { sentence: `the certificate of ${url} is not accepted: ${certificate} (${code})`, hints: trustHints(code) }
  // A server that speaks plain HTTP answers a TLS hello with text; EPROTO carries OpenSSL's words for that.
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || (code === 'EPROTO' && /wrong version number/i.test(message)))
    return {
      sentence: `${url} does not speak TLS`,
      hints: [`without TLS: --url ${url.replace(/^https:/, 'http:')} (FN_URL)`],
    }
  if (code.startsWith('ERR_SSL_') || code === 'EPROTO')
    return { sentence: `the TLS connection to ${url} failed (${code})`, hints: [] }
  if (BROKEN_OFF.has(code)) return { sentence: `the connection to ${url} broke off (${code})`, hints: brokenHints(url) }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return { sentence: `no address is known for ${new URL(url).hostname} (${code})`, hints: ['check --url or FN_URL'] }
  if (code === 'ETIMEDOUT' || code === 'EHOSTUNREACH' || code === 'ENETUNREACH')
    return {
      sentence: `${url} cannot be reached from here (${code})`,
      hints: ['check --url or FN_URL, and the network'],
    }
  const reason = code === 'ECONNREFUSED' ? '' : ` (${code || message})`
  return { sentence: `no platform at ${url}${reason}`, hints: ['start one with: fn up', ELSEWHERE] }
}

function trustHints(code: string): string[] {
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return ['use a name that the certificate has: --url (FN_URL)']
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID' || code === 'CERT_REVOKED') return []
  return ['trust it: NODE_EXTRA_CA_CERTS=/path/to/certificate.pem fn …']
}

function brokenHints(url: string): string[] {
  return url.startsWith('http:') ? [`if it speaks TLS: --url ${url.replace(/^http:/, 'https:')} (FN_URL)`] : []
}
