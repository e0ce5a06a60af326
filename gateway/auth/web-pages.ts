// Owns what web pages may do through a browser: a function's page shares its origin with its neighbours, the control API lies
// on the same port. Judged by headers that pages cannot set or leave out (Fetch standard). What is no browser sends none of them.
import type { IncomingMessage } from 'node:http'
import { GatewayError } from '../errors.ts'
import type { RequestHeaders } from '../invocation/request-headers.ts'
import type { InvocationTarget } from '../invocation/target.ts'

/** A control call of a page must come from its own origin. Throws GatewayError FORBIDDEN_ORIGIN. */
export function expectOwnOrigin(incoming: IncomingMessage, headers: RequestHeaders, behindProxy: boolean): void {
  const { origin, 'sec-fetch-site': site } = incoming.headers
  if (site !== undefined && site !== 'same-origin' && site !== 'none') throw stranger(`Sec-Fetch-Site: ${site}`)
  if (origin === undefined) return
  const host = URL.canParse(origin) ? new URL(origin).host : null
  if (host === null || !hostsOf(headers, behindProxy).includes(host)) throw stranger(`Origin: ${origin}`)
}

function hostsOf({ host, forwarded }: RequestHeaders, behindProxy: boolean): string[] {
  const hosts = [host.toLowerCase()]
  if (behindProxy && forwarded !== null)
    for (let index = 0; index < forwarded.length; index += 2)
      if (forwarded[index] === 'x-forwarded-host') hosts.push(forwarded[index + 1]!.toLowerCase())
  return hosts
}

function stranger(shown: string): GatewayError {
  const message = `the control API takes no calls of pages of another origin (${JSON.stringify(shown.slice(0, 200))})`
  return new GatewayError('FORBIDDEN_ORIGIN', message)
}

/** The dashboard's origin is its own: no function answers there. Throws GatewayError NOT_FOUND. */
export function expectNotDashboard(host: string, target: InvocationTarget): void {
  if (target.prefix === '' || (host.charCodeAt(0) | 32) !== 116 || !/^thaw\.localhost(:\d*)?$/i.test(host)) return
  throw new GatewayError('NOT_FOUND', 'functions do not answer under thaw.localhost; call them under another host name')
}

/** A service worker governs the folder of its script: one at `/fn/{name}` would govern every function of this origin.
 *  Throws GatewayError FORBIDDEN. */
export function expectNarrowWorker(url: string, target: InvocationTarget): void {
  if (target.prefix === '' || url.charCodeAt(target.prefix.length) === 47) return
  throw new GatewayError('FORBIDDEN', `a service worker's script must lie below ${target.prefix}/`)
}
