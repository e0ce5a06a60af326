// What layers above may know and ask of sandboxes' networks; part of the border runtime/api.ts.
import type { EgressRule } from './egress-rules.ts'

/** `none`: the sandbox's own loopback alone. `bridge`: a link of its own, filtered. `host`: the host's interfaces. */
export type NetworkMode = 'none' | 'bridge' | 'host'

/** Networks of sandboxes. */
export interface Networks {
  /** Whether functions may have the host's own network here. */
  readonly hostAllowed: boolean
  /** What this host lacks for `bridge`, with what would change it; null: nothing that is known without trying. */
  readonly missing: string | null
  /** Throws RuntimeError `NETWORK_REFUSED` (only an administrator can allow it) | `NETWORK_UNAVAILABLE` (this host cannot).
   *  `rules` null: every public address. */
  check(mode: NetworkMode, rules: readonly EgressRule[] | null): Promise<void>
  /** Opens what a sandbox with a bridge may reach: once, before any code is in it. Until then it reaches nothing. `owner` is
   *  the caller's own mark, given back by `sandboxAt`. */
  allow(sandboxId: string, rules: readonly EgressRule[] | null, owner: string): void
  /** The sandbox with this address on the bridge, or null. The filter sees to it that nobody else sends from there. */
  sandboxAt(address: string): { readonly id: string; readonly owner: string } | null
  /** Asked whether `NAME.fn.internal` is somebody for an owner; then its name leads to the platform's own address. */
  answerPeers(isPeer: (owner: string, name: string) => boolean): void
  /** Which sandboxes share what can be looked up and opened by name (those whose owners are of one group), and whether a group may
   *  look up so many names more now. Default: every owner is a group of its own, and may. */
  shareNames(names: { groupOf(owner: string): string; mayAsk(group: string, count: number): boolean }): void
  /** Told the platform's own address on the bridge when that is made, or now. */
  onOpen(listener: (address: string) => void): void
}
