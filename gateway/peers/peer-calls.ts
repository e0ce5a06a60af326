// Owns who may call whom between functions of one network, and how deep such calls may go. Pure but for the memory of how deep
// each open call is; the listener that asks is peer-listener.ts.
import type { Registry } from '../../worker/registry/api.ts'
import type { NetworkPeer } from '../../worker/registry/network-text.ts'
import { isPeerOn } from '../../worker/registry/networks.ts'
import { GatewayError } from '../errors.ts'

/** Calls of functions by functions by functions: beyond this somebody calls himself in a circle. */
export const MOST_DEPTH = 16
const MOST_REMEMBERED = 20_000
export const PEER_SUFFIX = '.fn.internal'

/** `shop.fn.internal[:80]` → `shop`; null: no such name. */
export function peerNameOf(host: string): string | null {
  const colon = host.lastIndexOf(':')
  const name = (colon < 0 ? host : host.slice(0, colon)).toLowerCase().replace(/\.$/, '')
  if (!name.endsWith(PEER_SUFFIX)) return null
  const label = name.slice(0, -PEER_SUFFIX.length)
  return label === '' || label.includes('.') ? null : label
}

/** Throws GatewayError FUNCTION_NOT_FOUND (also for one on another network: nobody learns what else there is). */
export function expectPeer(registry: Pick<Registry, 'get'>, caller: NetworkPeer, host: string): string {
  const name = peerNameOf(host)
  if (name === null)
    throw new GatewayError(
      'BAD_REQUEST',
      `expected a host NAME${PEER_SUFFIX}, got ${JSON.stringify(host.slice(0, 80))}`,
    )
  if (isPeerOn(registry, caller.namespace, caller.network, name)) return name
  throw new GatewayError('FUNCTION_NOT_FOUND', `there is no function ${name} on network ${caller.network}`)
}

/** How deep the open calls of functions by functions are. */
export class CallDepths {
  readonly #depths = new Map<string, number>()

  /** Depth of a call that somebody makes while he runs these calls. Throws GatewayError CALL_LOOP. */
  next(running: readonly string[]): number {
    const depth = 1 + Math.max(0, ...running.map((id) => this.#depths.get(id) ?? 0))
    if (depth <= MOST_DEPTH) return depth
    throw new GatewayError(
      'CALL_LOOP',
      `functions call each other ${MOST_DEPTH} deep, which is the most; do they call in a circle?`,
    )
  }

  /** A call begins; it is remembered longer than any runs, also after its response. */
  begin(id: string, depth: number): void {
    this.#depths.set(id, depth)
    if (this.#depths.size <= MOST_REMEMBERED) return
    for (const oldest of this.#depths.keys()) {
      this.#depths.delete(oldest)
      return
    }
  }
}
