// How limits fit together: completing, lowering for one call, and which allows more. Pure; what a limit is: limits.ts.
import { limitText } from './limit-text.ts'
import {
  DEFAULT_BLKIO_WEIGHT,
  type DeviceRate,
  type DeviceWeight,
  LIMIT_BY_NAME,
  LimitError,
  type LimitName,
  type Limits,
} from './limits.ts'

/** Fills `asked` up to complete limits over `base` and checks that they fit together. `memory` alone implies memorySwap = 2 × memory.
 *  Throws LimitError. */
export function mergeLimits(base: Limits, asked: Partial<Limits>): Limits {
  const memory = asked.memory ?? base.memory
  const memorySwap = asked.memorySwap ?? (asked.memory === undefined ? base.memorySwap : 2 * memory)
  const merged: Limits = { ...base, ...asked, memory, memorySwap }
  checkTogether(merged)
  return merged
}

function checkTogether(limits: Limits): void {
  if (limits.memorySwap !== -1 && limits.memorySwap < limits.memory) {
    throw new LimitError(
      'memorySwap',
      `${limits.memorySwap} is below memory ${limits.memory}; it counts RAM and swap together (-1: unlimited)`,
    )
  }
  if (limits.memoryReservation !== null && limits.memoryReservation > limits.memory) {
    throw new LimitError('memoryReservation', `${limits.memoryReservation} is above memory ${limits.memory}`)
  }
  for (const name of ['deviceReadBps', 'deviceWriteBps', 'deviceReadIops', 'deviceWriteIops'] as const) {
    if (limits[name].some((entry) => entry.device === null) && limits.scratch === null) {
      throw new LimitError(
        name,
        'no device named and no scratch disk; name one (DEVICE:RATE) or deploy with --scratch SIZE',
      )
    }
  }
}

/** What is in force where a limit is null, when that is not "unlimited". */
const NULL_MEANS: Partial<Limits> = { blkioWeight: DEFAULT_BLKIO_WEIGHT }

/** Limits of one call: `own` lowered (or raised, up to `max`) by what the call asks for. `memory` alone implies
 *  memorySwap = min(own's, 2 × memory) and memoryReservation ≤ memory. Throws LimitError naming the maximum. */
export function lowerLimits(own: Limits, max: Partial<Limits>, asked: Partial<Limits>): Limits {
  for (const name of Object.keys(asked) as LimitName[]) {
    const definition = LIMIT_BY_NAME.get(name)
    if (!definition?.perCall)
      throw new LimitError(name, 'is fixed when a sandbox is created and cannot change per call')
    const ceiling = max[name] ?? own[name] ?? NULL_MEANS[name] ?? null
    if (isAbove(name, asked[name], ceiling)) {
      const [wanted, highest] = [limitText(name, asked[name]), limitText(name, ceiling)]
      throw new LimitError(name, `${wanted} is above the function's maximum ${highest} (maxLimits)`)
    }
  }
  if (asked.blkioWeight != null && own.blkioWeight === null && own.scratch !== null) {
    throw new LimitError(
      'blkioWeight',
      'the scratch disk of this function is its own and shared with nobody; deploy it with --blkio-weight',
    )
  }
  return mergeLimits(own, { ...impliedByMemory(own, max, asked.memory), ...asked })
}

/** What lowering `memory` drags along, unless the call says otherwise. */
function impliedByMemory(own: Limits, max: Partial<Limits>, memory: number | undefined): Partial<Limits> {
  if (memory === undefined) return {}
  const highest = max.memorySwap ?? own.memorySwap
  return {
    memorySwap: highest === -1 ? 2 * memory : Math.min(2 * memory, Math.max(highest, memory)),
    memoryReservation: own.memoryReservation === null ? null : Math.min(own.memoryReservation, memory),
  }
}

/** True when `asked` allows more than `ceiling`. `null` and −1 are the highest. */
export function isAbove(name: LimitName, asked: unknown, ceiling: unknown): boolean {
  if (ceiling === null || ceiling === -1 || asked === undefined) return false
  if (asked === null || asked === -1) return true
  if (typeof asked === 'number' && typeof ceiling === 'number') return asked > ceiling
  if (name === 'cpusetCpus') return !isSubset(cpusOf(asked as string), cpusOf(ceiling as string))
  if (name === 'blkioWeightDevice')
    return listAbove(asked as DeviceWeight[], ceiling as DeviceWeight[], (item) => item.weight)
  return listAbove(asked as DeviceRate[], ceiling as DeviceRate[], (item) => item.rate)
}

/** An entry is above when the ceiling limits that device lower; a device the ceiling limits must not be left out. */
function listAbove<T extends { readonly device: string | null }>(
  asked: readonly T[],
  ceiling: readonly T[],
  value: (item: T) => number,
): boolean {
  return ceiling.some((limit) => {
    const match = asked.find((item) => item.device === limit.device)
    return match === undefined || value(match) > value(limit)
  })
}

/** `0-2,5` → {0, 1, 2, 5}. */
export function cpusOf(list: string): ReadonlySet<number> {
  const cpus = new Set<number>()
  for (const part of list.split(',')) {
    const [from = 0, to = from] = part.split('-').map(Number)
    for (let cpu = from; cpu <= to; cpu++) cpus.add(cpu)
  }
  return cpus
}

function isSubset(inner: ReadonlySet<number>, outer: ReadonlySet<number>): boolean {
  for (const cpu of inner) if (!outer.has(cpu)) return false
  return true
}
