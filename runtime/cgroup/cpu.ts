// The cpu controller of one sandbox: shares (v2: weight), quota, throttled time. Usage is cpu-usage.ts.
import type { Limits } from '../limits/limits.ts'
import { type ControlFile, fieldKey } from './control-file.ts'
import type { SandboxDirectory } from './sandbox-directory.ts'

/** The kernel's default period; Docker's `--cpus` uses it too. */
const PERIOD_US = 100_000
/** The kernel refuses a smaller quota. */
const MIN_QUOTA_US = 1000

/** Docker's CPU shares (2–262144) as a v2 weight (1–10000), by the curve of runc ≥ 1.3.2: 1024 → 100, 512 → 59. */
export function weightOfShares(shares: number): number {
  if (shares <= 2) return shares === 0 ? 0 : 1
  if (shares >= 262_144) return 10_000
  const l = Math.log2(shares)
  return Math.ceil(10 ** ((l * l + 125 * l) / 612 - 7 / 34))
}

/** CPUs' worth of time as a quota for each period of 100 ms, µs; null = no quota. */
export function quotaUs(cpus: number | null): number | null {
  return cpus === null ? null : Math.max(MIN_QUOTA_US, Math.round(cpus * PERIOD_US))
}

const V1 = {
  shares: 'cpu.shares',
  sharesText: (shares: number): string => String(shares),
  quota: 'cpu.cfs_quota_us',
  quotaText: (cpus: number | null): string => String(quotaUs(cpus) ?? -1),
  throttled: fieldKey('throttled_time'),
  throttledPerUs: 1000,
} as const

const V2 = {
  shares: 'cpu.weight',
  sharesText: (shares: number): string => String(weightOfShares(shares)),
  quota: 'cpu.max',
  quotaText: (cpus: number | null): string => `${quotaUs(cpus) ?? 'max'} ${PERIOD_US}`,
  throttled: fieldKey('throttled_usec'),
  throttledPerUs: 1,
} as const

export class CpuController {
  readonly #dialect: typeof V1 | typeof V2
  readonly #shares: ControlFile
  readonly #quota: ControlFile
  readonly #stat: ControlFile
  #sharesInForce: number | null = null
  #cpus: number | null = null
  #cpusInForce: number | null = null
  #quotaOn = false
  #hadQuota = false
  /** Null while it may grow: a quota is in force, or was when it was last read. */
  #throttledUs: number | null = null

  constructor(directory: SandboxDirectory) {
    const place = directory.require('cpu')
    this.#dialect = place.version === 1 ? V1 : V2
    this.#shares = directory.file(place, this.#dialect.shares, 'write')
    this.#quota = directory.file(place, this.#dialect.quota, 'write')
    this.#stat = directory.file(place, 'cpu.stat', 'read').open()
  }

  /** Writes what differs; the quota only once it is enforced. Throws RuntimeError LIMIT_WRITE. */
  apply(limits: Limits): void {
    if (limits.cpuShares !== this.#sharesInForce) {
      this.#shares.write(this.#dialect.sharesText(limits.cpuShares))
      this.#sharesInForce = limits.cpuShares
    }
    this.#cpus = limits.cpus
    if (this.#quotaOn) this.#writeQuota()
  }

  /** From now on the quota holds. Before (boot, load) it does not: a quarter CPU makes loading a bundle take 0.5 s. */
  enforceQuota(): void {
    this.#quotaOn = true
    this.#writeQuota()
  }

  /** Time the quota held tasks back since the sandbox began, µs. Reads nothing where no quota was in force meanwhile. */
  throttledUs(): number {
    // Nothing was ever held back: one read less in every call of most functions.
    if (!this.#hadQuota) return 0
    if (this.#throttledUs !== null) return this.#throttledUs
    const now = Math.round(this.#stat.readField(this.#dialect.throttled) / this.#dialect.throttledPerUs)
    if (this.#cpusInForce === null) this.#throttledUs = now
    return now
  }

  close(): void {
    for (const file of [this.#shares, this.#quota, this.#stat]) file.close()
  }

  #writeQuota(): void {
    if (this.#cpus === this.#cpusInForce) return
    this.#quota.write(this.#dialect.quotaText(this.#cpus))
    this.#hadQuota = true
    this.#cpusInForce = this.#cpus
    // A quota that ends lets go of the tasks it held back and counts their time now, not when it held them back.
    this.#throttledUs = null
  }
}
