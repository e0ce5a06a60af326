// The block I/O controller of one sandbox (v1 blkio, v2 io): rates and weights by disk, and counters.
// Which disk the scratch is, and its scheduler, are decided elsewhere.
import { RuntimeError } from '../errors.ts'
import { DEFAULT_BLKIO_WEIGHT, type DeviceRate, type Limits } from '../limits/limits.ts'
import type { ControlFile } from './control-file.ts'
import { IoV1, IoV2 } from './io-dialects.ts'
import type { SandboxDirectory } from './sandbox-directory.ts'
import type { Place } from './tree.ts'

/** Rates of one disk, in the order of RATE_NAMES; Infinity = not limited. */
export type DiskRates = readonly [readBps: number, writeBps: number, readIops: number, writeIops: number]
export const RATE_NAMES = ['deviceReadBps', 'deviceWriteBps', 'deviceReadIops', 'deviceWriteIops'] as const
export const NO_RATES: DiskRates = [Infinity, Infinity, Infinity, Infinity]

/** Bytes and operations since the sandbox began. */
export interface IoCounters {
  readBytes: number
  writeBytes: number
  readOps: number
  writeOps: number
}

/** How one version of the interface says it. */
export interface IoDialect {
  /** Sets all rates of a disk; `before` is what is in force. Throws RuntimeError LIMIT_WRITE. */
  writeRates(disk: string, rates: DiskRates, before: DiskRates): void
  readonly weight: ControlFile
  readonly weightDevice: ControlFile
  weightText(weight: number): string
  /** Sums over all disks but `except`. */
  read(except: string | null): IoCounters
  close(): void
}

export interface IoOptions {
  /** `maj:min` of the sandbox's scratch disk, or null. */
  readonly scratchDisk: string | null
  /** Device path → `maj:min`. Throws RuntimeError LIMIT_UNSUPPORTED. */
  readonly resolveDisk: (path: string) => string
  /** The disk below the scratch disk, or null. */
  readonly backingDisk: string | null
}

export class IoController {
  readonly #dialect: IoDialect
  readonly #options: IoOptions
  #rates = new Map<string, DiskRates>()
  #weight: number | null = null
  #weights = new Map<string, number>()
  #lifted = false

  constructor(directory: SandboxDirectory, place: Place, options: IoOptions) {
    const scratch = options.scratchDisk
    this.#dialect = place.version === 1 ? new IoV1(directory, place, scratch) : new IoV2(directory, place)
    this.#options = options
    // v1 counts a disk's bytes only once some rule is set on it.
    if (scratch !== null) this.#dialect.writeRates(scratch, NO_RATES, NO_RATES)
  }

  /** Writes what differs. Throws RuntimeError LIMIT_WRITE, or LIMIT_UNSUPPORTED for a device that is no disk here. */
  apply(limits: Limits): void {
    const wanted = this.#wantedRates(limits)
    for (const disk of new Set([...this.#rates.keys(), ...wanted.keys()])) {
      const before = this.#rates.get(disk) ?? NO_RATES
      const after = wanted.get(disk) ?? NO_RATES
      if (before.every((rate, index) => rate === after[index])) continue
      this.#dialect.writeRates(disk, after, before)
      this.#rates.set(disk, after)
    }
    this.#rates = wanted
    this.#applyWeights(limits)
  }

  /** Takes all rates away for a moment: a task held back by one can be neither frozen nor killed. Never throws. */
  lift(): void {
    if (this.#lifted) return
    this.#lifted = true
    for (const [disk, rates] of this.#rates) this.#tryWrite(disk, NO_RATES, rates)
  }

  /** Undoes `lift`. Never throws. */
  restore(): void {
    if (!this.#lifted) return
    this.#lifted = false
    for (const [disk, rates] of this.#rates) this.#tryWrite(disk, rates, NO_RATES)
  }

  /** The disk beneath the scratch disk is left out: it holds the same bytes again. */
  counters(): IoCounters {
    return this.#dialect.read(this.#options.backingDisk)
  }

  close(): void {
    this.#dialect.close()
  }

  #tryWrite(disk: string, rates: DiskRates, before: DiskRates): void {
    try {
      this.#dialect.writeRates(disk, rates, before)
    } catch (error) {
      // The cgroup may be gone already; the freeze or kill that follows finds out.
      if (!(error instanceof RuntimeError)) throw error
    }
  }

  #wantedRates(limits: Limits): Map<string, DiskRates> {
    const wanted = new Map<string, DiskRates>()
    for (const [index, name] of RATE_NAMES.entries()) {
      for (const entry of limits[name]) {
        const disk = this.#diskOf(entry, name)
        const rates = [...(wanted.get(disk) ?? NO_RATES)] as [number, number, number, number]
        rates[index] = Math.min(rates[index]!, entry.rate)
        wanted.set(disk, rates)
      }
    }
    return wanted
  }

  #diskOf(entry: DeviceRate, name: string): string {
    if (entry.device !== null) return this.#options.resolveDisk(entry.device)
    if (this.#options.scratchDisk !== null) return this.#options.scratchDisk
    throw new RuntimeError(
      'LIMIT_UNSUPPORTED',
      `${name} names no device and the sandbox has no scratch disk (--scratch SIZE)`,
    )
  }

  #applyWeights(limits: Limits): void {
    const weight = limits.blkioWeight ?? DEFAULT_BLKIO_WEIGHT
    if (weight !== this.#weight && this.#dialect.weight.exists()) {
      this.#dialect.weight.write(this.#dialect.weightText(weight))
    }
    this.#weight = weight
    const wanted = new Map(
      limits.blkioWeightDevice.map((entry) => [this.#options.resolveDisk(entry.device), entry.weight]),
    )
    for (const disk of this.#weights.keys()) {
      if (!wanted.has(disk)) this.#dialect.weightDevice.write(`${disk} default`)
    }
    for (const [disk, value] of wanted) {
      if (this.#weights.get(disk) !== value) this.#dialect.weightDevice.write(`${disk} ${value}`)
    }
    this.#weights = wanted
  }
}
