// The network of a function as its author writes it: `none`, `bridge`, `host`, or the name of a network of its namespace, whose
// functions are on a bridge and can call each other. Pure.
import type { NetworkMode } from '../../runtime/api.ts'
import type { FunctionVersion } from '../api.ts'
import { isDnsLabel } from './names.ts'

const MODES: readonly string[] = ['none', 'bridge', 'host'] satisfies readonly NetworkMode[]

/** Names no network can have. */
export function isNetworkMode(text: string): text is NetworkMode {
  return MODES.includes(text)
}

/** Whether the text can be a function's network. */
export function isNetwork(text: string): boolean {
  return isNetworkMode(text) || isDnsLabel(text)
}

/** What its sandboxes have. */
export function networkModeOf(network: string): NetworkMode {
  return isNetworkMode(network) ? network : 'bridge'
}

/** The network of the namespace it is on; null: on none. */
export function networkNameOf(network: string): string | null {
  return isNetworkMode(network) ? null : network
}

/** A function on a network, as the address of its sandbox gives it away. */
export interface NetworkPeer {
  readonly namespace: string
  readonly network: string
  readonly name: string
}

/** The mark that the sandboxes of a version bear on the bridge. */
export function networkOwner({ namespace, name, config }: FunctionVersion): string {
  return [namespace, networkNameOf(config.network) ?? '', name].join('/')
}

/** The function behind a mark; null: it is on no network. */
export function peerOfOwner(owner: string): NetworkPeer | null {
  const [namespace = '', network = '', name = ''] = owner.split('/')
  return network === '' ? null : { namespace, network, name }
}

/** The namespace of a mark's function. */
export function namespaceOfOwner(owner: string): string {
  return owner.slice(0, Math.max(0, owner.indexOf('/')))
}
