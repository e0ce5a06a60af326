// Sends one callback: one POST over a connection of its own to a checked address, within a deadline. Follows no redirect, keeps
// nothing of the answer but status and Retry-After.
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { CheckedAddress } from './address-filter.ts'

export const TRY_DEADLINE_MS = 15_000

export interface CallbackAnswer {
  readonly status: number
  /** From Retry-After in seconds; null for none. */
  readonly retryAfterMs: number | null
}

/** Rejects with node's error, or the signal's reason: whoever sends sets the deadline with it. */
export function sendCallback(
  url: URL,
  to: CheckedAddress,
  headers: Readonly<Record<string, string>>,
  body: Buffer,
  signal: AbortSignal,
): Promise<CallbackAnswer> {
  return new Promise((resolve, reject) => {
    const secure = url.protocol === 'https:'
    const name = url.hostname.replace(/^\[|\]$/g, '')
    const outgoing = (secure ? httpsRequest : httpRequest)({
      // The address that was checked, never the name: nothing is resolved again.
      host: to.address,
      family: to.family,
      port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
      path: `${url.pathname}${url.search}`,
      method: 'POST',
      headers: { ...headers, host: url.host, 'content-length': String(body.length) },
      agent: false,
      ...(secure ? { servername: name } : {}),
    })
    const stop = (): void => void outgoing.destroy(signal.reason as Error)
    signal.addEventListener('abort', stop)
    outgoing.on('error', reject)
    outgoing.on('close', () => signal.removeEventListener('abort', stop))
    if (signal.aborted) stop()
    outgoing.on('response', (incoming) => {
      const asked = Number(incoming.headers['retry-after'] ?? Number.NaN)
      resolve({ status: incoming.statusCode ?? 0, retryAfterMs: asked >= 0 ? asked * 1_000 : null })
      // The head says it all: what follows is not read.
      incoming.on('error', () => {})
      incoming.destroy()
    })
    outgoing.end(body)
  })
}
