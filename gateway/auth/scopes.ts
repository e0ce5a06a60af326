// Owns the one table of what each control call needs. The first row that fits counts; what no row names needs the platform's own
// token. `admin` includes the other scopes.
import type { Scope } from '../../worker/registry/tokens.ts'
import { GatewayError } from '../errors.ts'
import { type Caller, hasScope } from './token.ts'

/** Any one of the scopes is enough; `platform`: no token that is bound to a namespace. */
type Needs = readonly Scope[] | 'platform'
const READ: readonly Scope[] = ['invoke', 'deploy']

/** Method (`*`: any), path (`*`: one segment, `**` at the end: any or none), what it takes. */
const TABLE: readonly (readonly [string, string, Needs])[] = [
  ['POST', '/v1/functions/*/invocations', ['invoke']],
  ['GET', '/v1/functions/**', READ],
  ['*', '/v1/functions/**', ['deploy']],
  ['DELETE', '/v1/invocations/*', ['invoke']],
  ['GET', '/v1/invocations/**', READ],
  ['GET', '/v1/doctor', READ],
  ['GET', '/v1/namespaces/**', READ],
  ['GET', '/v1/sandboxes', ['deploy']],
  ['GET', '/v1/events', ['deploy']],
  ['*', '/v1/volumes/**', ['deploy']],
  ['*', '/v1/secrets/**', ['deploy']],
  ['*', '/v1/webhook-secret/**', ['admin']],
  ['*', '/v1/networks/**', ['admin']],
  ['*', '/v1/sandboxes/**', ['admin']],
  ['*', '/v1/tokens/**', ['admin']],
]

const ROWS = TABLE.map(([method, path, needs]) => ({ method, segments: path.split('/'), needs }))

/** What a call needs. */
export function needsOf(method: string, path: string): Needs {
  const segments = path.split('/')
  const read = method === 'HEAD' ? 'GET' : method
  return (
    ROWS.find((row) => (row.method === '*' || row.method === read) && fits(row.segments, segments))?.needs ?? 'platform'
  )
}

/** Throws GatewayError FORBIDDEN when the caller's scopes are not enough. */
export function expectScope(caller: Caller, method: string, path: string): void {
  const needs = needsOf(method, path)
  if (needs === 'platform' ? caller.namespace === null : needs.some((scope) => hasScope(caller, scope))) return
  const wanted = needs === 'platform' ? "the platform's own token" : `the scope ${needs.join(' or ')}`
  throw new GatewayError(
    'FORBIDDEN',
    `this needs ${wanted}; the token ${caller.name} has ${caller.scopes.join(', ') || 'none'}`,
  )
}

function fits(pattern: readonly string[], segments: readonly string[]): boolean {
  for (const [index, part] of pattern.entries()) {
    if (part === '**') return true
    const actual = segments[index]
    if (actual === undefined || (part === '*' ? actual === '' : part !== actual)) return false
  }
  return pattern.length === segments.length
}

/** The namespace a call is about: what it names, else the token's, else null. Throws GatewayError FORBIDDEN for another one than
 *  the token's, whether or not anything is there. */
export function namespaceFor(caller: Caller | null, named: string | null): string | null {
  const own = caller?.namespace ?? null
  if (own === null) return named
  if (named !== null && named !== own)
    throw new GatewayError('FORBIDDEN', `the token ${caller!.name} is for namespace ${own} alone`)
  return own
}
