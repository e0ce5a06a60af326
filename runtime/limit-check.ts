// Whether limits somebody asked for can be enforced on this host. Pure; what was not asked for never fails.
import type { LimitSupport } from './api.ts'
import { RuntimeError } from './errors.ts'
import { cpusOf } from './limits/limit-rules.ts'
import type { LimitName, Limits } from './limits/limits.ts'
import type { HardLimits } from './oci/config.ts'

export interface LimitCheckOptions {
  /** As it was at the start. */
  readonly support: Readonly<Record<LimitName, LimitSupport>>
  /** As it is now; asked only before something is refused. */
  readonly supportNow: () => Readonly<Record<LimitName, LimitSupport>>
  readonly hardLimits: HardLimits
  /** CPUs sandboxes may use; absent: not known. */
  readonly hostCpus?: ReadonlySet<number>
  /** Device path → `maj:min`; throws for what is no disk. */
  readonly resolveDisk: (path: string) => string
  /** Whether the disk `maj:min` has the scheduler that knows weights. */
  readonly usesBfq: (disk: string) => boolean
  /** Disks of the host that have it now. */
  readonly bfqDisks: () => readonly string[]
}

const DEVICE_LIMITS = [
  'deviceReadBps',
  'deviceWriteBps',
  'deviceReadIops',
  'deviceWriteIops',
  'blkioWeightDevice',
] as const

/** Makes `checkLimits` of the runtime: throws RuntimeError `LIMIT_UNSUPPORTED` naming the limit and what would turn it on.
 *  `whole`: all limits that would be in force together, where they are known. */
export function createLimitCheck(options: LimitCheckOptions): (asked: Partial<Limits>, whole?: Limits) => void {
  return (asked, whole) => {
    for (const name of Object.keys(asked) as LimitName[]) {
      if (!isAsked(asked, name) || options.support[name].enforced) continue
      const support = options.supportNow()[name]
      if (!support.enforced) throw unsupported(name, support.how, support.fix)
    }
    if (options.hostCpus !== undefined) checkCpus(asked, options.hostCpus)
    for (const name of DEVICE_LIMITS) {
      for (const { device } of asked[name] ?? []) if (device !== null) checkDevice(name, device, options)
    }
    if (asked.blkioWeight != null && whole?.scratch === null && options.bfqDisks().length === 0) {
      throw unsupported('blkioWeight', 'no disk of this host uses the bfq scheduler', 'deploy with --scratch SIZE')
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

function checkCpus({ cpus, cpusetCpus }: Partial<Limits>, hostCpus: ReadonlySet<number>): void {
  if (cpus != null && cpus > hostCpus.size) {
    const there = hostCpus.size === 1 ? 'is 1 CPU' : `are ${hostCpus.size} CPUs`
    throw unsupported('cpus', `${cpus}: there ${there} here`, `ask for 0.01 to ${hostCpus.size}`)
  }
  const absent = cpusetCpus == null ? undefined : [...cpusOf(cpusetCpus)].find((cpu) => !hostCpus.has(cpu))
  if (absent === undefined) return
  const fix = `name some of ${[...hostCpus].join(',')}`
  throw unsupported('cpusetCpus', `${cpusetCpus}: there is no CPU ${absent} here`, fix)
}

function checkDevice(name: LimitName, device: string, options: LimitCheckOptions): void {
  let disk: string
  try {
    disk = options.resolveDisk(device)
  } catch (error) {
    throw unsupported(name, (error as Error).message, 'name a disk of this host')
  }
  if (name === 'blkioWeightDevice' && !options.usesBfq(disk)) {
    const fix = `echo bfq > /sys/dev/block/${disk}/queue/scheduler`
    throw unsupported(name, `${device} does not use the bfq scheduler`, fix)
  }
}

function unsupported(name: LimitName, how: string, fix: string | undefined): RuntimeError {
  return new RuntimeError('LIMIT_UNSUPPORTED', `${name}: ${how}${fix === undefined ? '' : `; ${fix}`}`)
}
