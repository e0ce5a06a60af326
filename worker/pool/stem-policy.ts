// Which functions can become of a stem, and how many stems to keep of which kind. Pure; the mechanism is stems.ts.
import { DEFAULT_LIMITS, memoryClassBytes, type NetworkMode } from '../../runtime/api.ts'
import type { FunctionConfig } from '../api.ts'
import { bootReason } from '../registry/boot-variables.ts'
import { networkModeOf } from '../registry/network-text.ts'

/** What was fixed when a stem booted: two functions of the same kind can both become of it. */
export interface StemKind {
  /** The kind as one text. */
  readonly key: string
  /** Class of the memory limit (V8's heap limit is fixed at boot). */
  readonly memoryBytes: number
  readonly network: NetworkMode
}

/** The kind of stem a function of this configuration starts from, or why it cannot start from any. Add-on layers count too,
 *  but only its image knows them. */
export function stemKindOf(config: FunctionConfig): StemKind | string {
  const { limits, writableRootBytes, network, volumes }: FunctionConfig & { volumes?: readonly unknown[] } = config
  if ((config.volumes?.length ?? 0) > 0) return 'volumes are mounted when a sandbox is created'
  if (writableRootBytes !== null) return 'writableRoot is mounted when a sandbox is created'
  if ((volumes?.length ?? 0) > 0) return 'volumes are mounted when a sandbox is created'
  if (limits.scratch !== null) return 'the scratch disk is mounted when a sandbox is created'
  if (limits.tmpfs !== DEFAULT_LIMITS.tmpfs) return 'a tmpfs of its own size is mounted when a sandbox is created'
  const boot = bootReason(config.env)
  if (boot !== null) return boot
  if (limits.ulimits.length > 0) return 'ulimits are set when the process starts'
  const memoryBytes = memoryClassBytes(limits.memory)
  const mode = networkModeOf(network)
  return { key: `${memoryBytes}/${mode}`, memoryBytes, network: mode }
}

/** Why a function with add-on layers starts cold. */
export const LAYERS_REASON = 'packages and files that ship with the code are mounted when a sandbox is created'

/** The kind kept ready before any function asked for one. */
export const DEFAULT_KIND: StemKind = {
  key: `${memoryClassBytes(DEFAULT_LIMITS.memory)}/none`,
  memoryBytes: memoryClassBytes(DEFAULT_LIMITS.memory),
  network: 'none',
}

/** A kind nobody asked for so long is no longer kept ready. */
export const KIND_KEPT_MS = 10 * 60_000
/** What was taken within this time is expected to be taken again. */
export const BURST_MS = 60_000
/** A burst raises the number kept ready to at most so many times the setting. */
const BURST_FACTOR = 4
/** Stems together hold at most this share (one part of so many) of the memory for sandboxes. */
const MEMORY_SHARE = 8

/** One kind as the policy sees it. */
export interface StemDemand {
  /** The default kind is kept even when nobody asked. */
  readonly isDefault: boolean
  /** ms since a function of the kind last started, from a stem or for want of one cold. */
  readonly sinceAskedMs: number
  /** Starts of functions of the kind within the last minute. */
  readonly recentStarts: number
  /** Stems there are. */
  readonly ready: number
}

/** How many stems of a kind to keep ready; `base` is the setting. */
export function stemTarget(demand: StemDemand, base: number): number {
  if (!demand.isDefault && demand.sinceAskedMs > KIND_KEPT_MS) return 0
  return Math.min(Math.max(base, demand.recentStarts), base * BURST_FACTOR)
}

/** The host as the policy sees it. */
export interface StemRoom {
  /** Memory that all sandboxes together may be charged with, what of it is free, and what stems are charged with. */
  readonly memoryBytes: number
  readonly freeBytes: number
  readonly stemBytes: number
  readonly freePlaces: number
}

/** Whether one more stem of a class fits, which takes `bootBytes` while it is made: it must leave room for the next sandbox of
 *  its class, and never takes anybody's place. */
export function stemFits(classBytes: number, bootBytes: number, room: StemRoom): boolean {
  return (
    room.freePlaces >= 2 &&
    room.freeBytes >= bootBytes + classBytes &&
    room.stemBytes + bootBytes <= Math.max(room.memoryBytes / MEMORY_SHARE, bootBytes)
  )
}

/** The kind to make a stem of next: the one furthest below its target in proportion; null when none is. */
export function nextKind<T extends StemDemand>(demands: Iterable<T>, base: number): T | null {
  let next: T | null = null
  let lowest = 1
  for (const demand of demands) {
    const target = stemTarget(demand, base)
    const share = target === 0 ? 1 : demand.ready / target
    if (share < lowest) {
      lowest = share
      next = demand
    }
  }
  return next
}
