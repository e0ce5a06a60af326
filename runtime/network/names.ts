// Names of the kernel's objects that make up a platform's network: each carries the id of its state directory. Pure.

/** What the names of all platforms' interfaces begin with. */
export const INTERFACE_PREFIX = 'thw'

export interface NetworkNames {
  /** The nftables table (family inet). */
  readonly table: string
  /** The interface with the platform's own address. */
  readonly gateway: string
  /** What interfaces of sandboxes begin with; a base-36 number follows (names end at 15 characters). */
  readonly sandboxes: string
}

export function networkNames(platformId: string): NetworkNames {
  const gateway = `${INTERFACE_PREFIX}${platformId}`
  return { table: `thaw-${platformId}`, gateway, sandboxes: `${gateway}-` }
}
