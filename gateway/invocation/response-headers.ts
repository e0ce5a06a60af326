// Owns which headers of a function's response reach the client, and the ones of ours that go with them. Pure.
import type { Phases, StartKind } from '../../worker/api.ts'

/** Headers that speak for the whole origin, which a function shares with other functions and the platform: docs/http-api.md lists them. */
const DROPPED: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  // A function must not widen the scope of a service worker over its neighbours.
  'service-worker-allowed',
  // Nor throw away what the browser keeps of them,
  'clear-site-data',
  // send browsers elsewhere for this origin, or bind them to TLS on it,
  'alt-svc',
  'strict-transport-security',
  'expect-ct',
  'public-key-pins',
  'public-key-pins-report-only',
  // have what goes wrong with them reported to itself,
  'nel',
  'report-to',
  // or choose for them how the browser runs and asks.
  'origin-agent-cluster',
  'accept-ch',
  'critical-ch',
  'set-login',
])
const DOMAIN = /;[ \t]*domain[ \t]*(?:=[^;]*)?(?=;|$)/gi

/** A function's headers without those it may not send; `content-length` apart. */
export interface FilteredHeaders {
  readonly headers: string[]
  /** −1: none, not a number, or several that differ. */
  readonly contentLength: number
}

/** Filters a flat header list of a function. Also drops what its `Connection` names, and every `Fn-*`; a cookie is only for this host,
 *  whatever `Domain` it names: with one it would be its neighbours', too. */
export function filterResponseHeaders(list: readonly string[]): FilteredHeaders {
  const headers: string[] = []
  let contentLength = -1
  let named: Set<string> | null = null
  for (let index = 0; index + 1 < list.length; index += 2) {
    const name = list[index]!
    const value = list[index + 1]!
    const lower = name.toLowerCase()
    if (lower === 'content-length') contentLength = mergeLength(contentLength, value)
    else if (lower === 'connection') named = new Set(value.split(',').map((token) => token.trim().toLowerCase()))
    else if (lower === 'set-cookie') headers.push(name, value.replace(DOMAIN, ''))
    else if (!DROPPED.has(lower) && !lower.startsWith('fn-')) headers.push(name, value)
  }
  return { headers: named === null ? headers : withoutNamed(headers, named), contentLength }
}

function mergeLength(before: number, value: string): number {
  const length = /^\d{1,15}$/.test(value) ? Number(value) : -2
  return before === -1 || before === length ? length : -2
}

function withoutNamed(headers: readonly string[], named: ReadonlySet<string>): string[] {
  const kept: string[] = []
  for (let index = 0; index < headers.length; index += 2)
    if (!named.has(headers[index]!.toLowerCase())) kept.push(headers[index]!, headers[index + 1]!)
  return kept
}

/** Adds `Fn-Start` and `Server-Timing` (ms) to a flat list. */
export function pushTiming(headers: string[], start: StartKind | null, phases: Phases | null): void {
  if (start !== null) headers.push('Fn-Start', start)
  if (phases !== null) headers.push('Server-Timing', serverTiming(phases))
}

/** `queue;dur=0, start;dur=0, thaw;dur=0.12, init;dur=0, run;dur=1.5` */
export function serverTiming(phases: Phases): string {
  return `queue;dur=${round(phases.queueMs)}, start;dur=${round(phases.startMs)}, thaw;dur=${round(phases.thawMs)}, init;dur=${round(phases.initMs)}, run;dur=${round(phases.runMs)}`
}

function round(ms: number): number {
  return ms > 0 ? Math.round(ms * 1000) / 1000 : 0
}
