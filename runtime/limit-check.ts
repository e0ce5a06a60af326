// Whether limits somebody asked for can be enforced on this host. Pure; what was not asked for never fails.
import type { LimitSupport } from './api.ts'
import { RuntimeError } from './errors.ts'
import type { LimitName, Limits } from './limits/limits.ts'
import type { HardLimits } from './oci/config.ts'

export interface LimitCheckOptions {
  readonly support: Readonly<Record<LimitName, LimitSupport>>
  readonly hardLimits: HardLimits
  /** Device path → `maj:min`; throws for what is no disk. */
  readonly resolveDisk: (path: string) => string
}

const DEVICE_LIMITS = [
  'deviceReadBps',
  'deviceWriteBps',
  'deviceReadIops',
  'deviceWriteIops',
  'blkioWeightDevice',
] as const

/** Makes `checkLimits` of the runtime: throws RuntimeError `LIMIT_UNSUPPORTED` naming the limit and what would turn it on. */
export function createLimitCheck(options: LimitCheckOptions): (asked: Partial<Limits>) => void {
  return (asked) => {
    for (const name of Object.keys(asked) as LimitName[]) {
      const support = options.support[name]
      if (isAsked(asked, name) && !support.enforced) throw unsupported(name, support.how, support.fix)
    }
    for (const name of DEVICE_LIMITS) {
      for (const { device } of asked[name] ?? []) if (device !== null) checkDevice(name, device, options)
    }
    // The own loop disk of a sandbox shares nothing with others, so there is nothing to weigh.
    if (asked.scratch != null && asked.blkioWeight != null) {
      throw unsupported('blkioWeight', 'each sandbox has a scratch disk of its own here', 'leave one of the two out')
    }
    for (const { name, hard } of asked.ulimits ?? []) {
      const highest = options.hardLimits[name]
      if (highest !== undefined && hard > highest) {
        throw unsupported(
          'ulimits',
          `${name}=${hard} is above this platform's own ${highest}`,
          'raise it with ulimit -H',
        )
      }
    }
  }
}

/** Null, an empty list, and swap equal to memory (no swap) ask for nothing. */
function isAsked(asked: Partial<Limits>, name: LimitName): boolean {
  const value = asked[name]
  if (value === undefined || value === null) return false
  if (Array.isArray(value)) return value.length > 0
  return !(name === 'memorySwap' && value === asked.memory)
}

function checkDevice(name: LimitName, device: string, options: LimitCheckOptions): void {
  try {
    options.resolveDisk(device)
  } catch (error) {
    throw unsupported(name, (error as Error).message, 'name a disk of this host')
  }
}

function unsupported(name: LimitName, how: string, fix: string | undefined): RuntimeError {
  return new RuntimeError('LIMIT_UNSUPPORTED', `${name}: ${how}${fix === undefined ? '' : `; ${fix}`}`)
}
