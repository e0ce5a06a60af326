// Owns reading an invocation out of a raw request target and a Host: name, reference, the target the function will see.
// Works on the bytes as sent; it never decodes or normalises, and refuses what a normaliser would lead elsewhere.
import { GatewayError } from '../errors.ts'

export interface InvocationTarget {
  /** Null: not said by the target. */
  readonly namespace: string | null
  /** `name` or `name@reference`, as sent. */
  readonly spec: string
  /** Raw `/path?query` for the function. */
  readonly target: string
  /** What was cut off in front of `target`: `/fn/{spec}`, or empty when the function has a host of its own. */
  readonly prefix: string
}

/** `/fn/{name}[@{reference}][/{path}][?query]` → its parts; null when the target does not begin with `/fn/`.
 *  Throws GatewayError BAD_REQUEST when dot segments lead out of `/fn/{name}/`. */
export function parsePathTarget(url: string): InvocationTarget | null {
  if (!url.startsWith('/fn/')) return null
  const slash = url.indexOf('/', 4)
  const query = url.indexOf('?', 4)
  const nameEnd = slash < 0 ? (query < 0 ? url.length : query) : query >= 0 && query < slash ? query : slash
  const spec = url.slice(4, nameEnd)
  const target = url.charCodeAt(nameEnd) === 47 ? url.slice(nameEnd) : `/${url.slice(nameEnd)}`
  if (isDotSegment(spec) || leavesRoot(target)) throw leaving()
  return { namespace: null, spec, target, prefix: url.slice(0, nameEnd) }
}

/** Host `{name}.localhost` or `{name}.{namespace}.localhost` → its parts; null for any other host and for the dashboard's. */
export function parseHostTarget(host: string, url: string): InvocationTarget | null {
  const colon = host.lastIndexOf(':')
  const end = colon < 0 ? host.length : colon
  if (!endsWithLocalhost(host, end)) return null
  const labels = host
    .slice(0, end - '.localhost'.length)
    .toLowerCase()
    .split('.')
  if (labels.length > 2 || labels[0] === '') return null
  if (labels.length === 1 && labels[0] === 'thaw') return null
  if (leavesRoot(url)) throw leaving()
  return { namespace: labels[1] ?? null, spec: labels[0]!, target: url, prefix: '' }
}

function endsWithLocalhost(host: string, end: number): boolean {
  const suffix = '.localhost'
  if (end <= suffix.length) return false
  const last = host.charCodeAt(end - 1) | 32
  return last === 116 && host.slice(end - suffix.length, end).toLowerCase() === suffix
}

function leaving(): GatewayError {
  return new GatewayError('BAD_REQUEST', 'the path leads out of its function by dot segments')
}

/** True when the path of a target has dot segments, encoded or not, that climb above its root, for any way there is to read
 *  it: as the URL standard does (where `#` ends it), or with slashes decoded and doubled ones merged first, as proxies do. */
export function leavesRoot(target: string): boolean {
  if (!target.includes('..') && !target.includes('%')) return false
  const query = target.indexOf('?')
  const path = (query < 0 ? target : target.slice(0, query)).slice(1)
  if (path.includes('#') && leavesRoot(`/${path.slice(0, path.indexOf('#'))}`)) return true
  return climbs(path.split(/[/\\]/)) || climbs(path.split(/\/|\\|%2f|%5c/i).filter((segment) => segment !== ''))
}

function climbs(segments: readonly string[]): boolean {
  let depth = 0
  for (const segment of segments) {
    const dots = dotsOf(segment)
    if (dots === 2) {
      if (--depth < 0) return true
    } else if (dots === 0) depth++
  }
  return false
}

/** True when any segment of the path is a dot segment, encoded or not, or it holds a backslash or a fragment, which no request
 *  target has: never allowed for control calls, whose path a URL parser reads once more. */
export function hasDotSegments(target: string): boolean {
  const query = target.indexOf('?')
  const path = query < 0 ? target : target.slice(0, query)
  if (path.includes('\\') || target.includes('#')) return true
  if (!path.includes('.') && !path.includes('%')) return false
  return path.split(/\/|%2f|%5c/i).some(isDotSegment)
}

function isDotSegment(segment: string): boolean {
  return dotsOf(segment) > 0
}

/** 1 for `.`, 2 for `..`, in any mixture of dots and `%2e`; else 0. */
function dotsOf(segment: string): 0 | 1 | 2 {
  if (segment === '' || segment.length > 6) return 0
  const plain = segment.replace(/%2e/gi, '.')
  return plain === '.' ? 1 : plain === '..' ? 2 : 0
}

/** Turns an absolute-form target into origin form when its authority is the request's Host; null when it is not.
 *  Origin form comes back as it is. */
export function toOriginForm(url: string, host: string): string | null {
  if (url.charCodeAt(0) === 47) return url
  const match = /^https?:\/\/([^/?#]*)(.*)$/i.exec(url)
  if (!match || match[1]!.toLowerCase() !== host.toLowerCase()) return null
  const rest = match[2]!
  return rest.startsWith('/') ? rest : `/${rest}`
}
