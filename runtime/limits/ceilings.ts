// The highest limits an operator allows: function ≤ namespace ≤ host. Lowers what nobody asked for, refuses what somebody did.
// Pure; where the ceilings are written down is cli/'s business.

import { isAbove } from './limit-rules.ts'
import { limitText } from './limit-text.ts'
import { LimitError, type LimitName, type Limits } from './limits.ts'

/** One highest value and where it was said. */
export interface LimitCeiling {
  readonly limit: CeilingName
  readonly value: Limits[LimitName]
  readonly scope: 'namespace' | 'host'
  /** e.g. `FN_HOST_MAX_MEMORY`, as refusals name it. */
  readonly source: string
}

/** Limits that can have a ceiling: those of which less is less for the host. */
export const CEILING_NAMES = [
  'cpuShares',
  'cpus',
  'cpusetCpus',
  'memory',
  'memorySwap',
  'pids',
  'blkioWeight',
  'deviceReadBps',
  'deviceWriteBps',
  'deviceReadIops',
  'deviceWriteIops',
  'tmpfs',
  'scratch',
  'networkRxBps',
  'networkTxBps',
] as const satisfies readonly LimitName[]
export type CeilingName = (typeof CEILING_NAMES)[number]

/** `limits` with everything that was not `asked` for brought below the ceilings. Throws LimitError naming ceiling and source for
 *  what was asked for, in `asked` or in `highest` (a function's own `maxLimits`). */
export function applyCeilings(
  limits: Limits,
  asked: Partial<Limits>,
  highest: Partial<Limits>,
  ceilings: readonly LimitCeiling[],
): Limits {
  for (const ceiling of ceilings) {
    if (exceeds(limits, asked[ceiling.limit], ceiling)) throw above(asked[ceiling.limit], ceiling)
    if (exceeds(limits, highest[ceiling.limit], ceiling)) throw above(highest[ceiling.limit], ceiling)
  }
  const lowered: Record<string, unknown> = {}
  for (const ceiling of ceilings) {
    const now = { ...limits, ...lowered } as Limits
    if (exceeds(now, now[ceiling.limit], ceiling)) lowered[ceiling.limit] = valueUnder(now, ceiling)
  }
  return fitTogether({ ...limits, ...lowered }, asked, ceilings)
}

/** Throws LimitError when complete limits are above a ceiling: those of a function that was deployed under higher ones. */
export function expectUnderCeilings(limits: Limits, ceilings: readonly LimitCeiling[]): void {
  for (const ceiling of ceilings) {
    if (exceeds(limits, limits[ceiling.limit], ceiling)) throw above(limits[ceiling.limit], ceiling)
  }
}

function exceeds(limits: Limits, value: unknown, ceiling: LimitCeiling): boolean {
  // No scratch disk is less than any; and an unset weight is the default one, which needs no leave.
  if (value === undefined || (value === null && (ceiling.limit === 'scratch' || ceiling.limit === 'blkioWeight')))
    return false
  return isAbove(ceiling.limit, value, ceilingFor(limits, ceiling))
}

/** A rate on the scratch disk says nothing to a function without one. */
function ceilingFor(limits: Limits, { value }: LimitCeiling): unknown {
  return Array.isArray(value) && limits.scratch === null ? value.filter((entry) => entry.device !== null) : value
}

/** The ceiling itself; of a list, what it says of its own devices besides what is said of others. */
function valueUnder(limits: Limits, ceiling: LimitCeiling): unknown {
  const highest = ceilingFor(limits, ceiling)
  if (!Array.isArray(highest)) return highest
  const own = limits[ceiling.limit] as readonly { device: string | null; rate: number }[]
  const others = own.filter((entry) => !highest.some((limit) => limit.device === entry.device))
  const lowered = highest.map((limit) => {
    const match = own.find((entry) => entry.device === limit.device)
    return match !== undefined && match.rate < limit.rate ? match : limit
  })
  return [...others, ...lowered]
}

/** Memory that was lowered takes the swap it implied, and the reservation, down with it. */
function fitTogether(limits: Limits, asked: Partial<Limits>, ceilings: readonly LimitCeiling[]): Limits {
  const { memory, memorySwap, memoryReservation } = limits
  if (memorySwap !== -1 && memorySwap < memory) {
    const ceiling = ceilings.find(({ limit, value }) => limit === 'memorySwap' && value === memorySwap)
    if (asked.memory === undefined || ceiling === undefined) return { ...limits, memory: memorySwap }
    throw above(memory, { ...ceiling, limit: 'memory' })
  }
  return {
    ...limits,
    memorySwap: asked.memorySwap === undefined && memorySwap !== -1 ? Math.min(memorySwap, 2 * memory) : memorySwap,
    memoryReservation: memoryReservation === null ? null : Math.min(memoryReservation, memory),
  }
}

function above(value: unknown, { limit, value: highest, scope, source }: LimitCeiling): LimitError {
  return new LimitError(
    limit,
    `${limitText(limit, value)} is above the ${scope}'s maximum ${limitText(limit, highest)} (${source})`,
  )
}
