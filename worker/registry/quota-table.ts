// The table of quotas: what a namespace may hold or use at once, its unit, its default and the setting that changes the default.
// Everything that lists quotas (settings, routes, `fn namespace`) is made of it. Pure.
import { formatBytes, parseBytes, UnitError } from '../../runtime/api.ts'

/** `held`: counted while it is there. `rate`: so many a second. `atOnce`: under way at the same time. */
export type QuotaKind = 'held' | 'rate' | 'atOnce'

export interface QuotaDefinition {
  readonly key: string
  readonly unit: 'number' | 'bytes'
  readonly kind: QuotaKind
  /** null: follows from the host, and the namespace `default` has no bound (`hostQuotas`). */
  readonly fallback: number | null
  /** Lowest bound that makes sense. */
  readonly least: number
  readonly doc: string
}

const MIB = 1024 ** 2

/** In the order they are shown. */
export const QUOTAS = [
  held('sandboxes', 'number', null, 'sandboxes at once, frozen ones included', 1),
  held(
    'memory',
    'bytes',
    null,
    'memory of its sandboxes: their limit while they run, what they hold while frozen',
    MIB,
  ),
  held('minWarm', 'number', null, 'sandboxes that minWarm keeps, all functions together'),
  held('functions', 'number', 2000, 'functions'),
  held('versions', 'number', 1000, 'versions kept of one function'),
  held('secrets', 'number', 1000, 'secrets'),
  held('schedules', 'number', 1000, 'schedules, all functions together'),
  held('volumesBytes', 'bytes', null, 'sizes of its volumes and scratch disks together'),
  held('imagesBytes', 'bytes', null, 'what images of its versions take of the disk, unpacked packages included'),
  held('queuedBytes', 'bytes', 256 * MIB, 'accepted calls that have not ended'),
  held('resultBytes', 'bytes', 512 * MIB, 'kept results of asynchronous calls'),
  rate('requestsPerSecond', 'number', null, 'requests a second, calls of functions and of the control API'),
  rate('firesPerSecond', 'number', 100, 'calls that schedules make a second'),
  rate('logBytesPerSecond', 'bytes', 4 * MIB, 'output of functions kept a second'),
  rate('namesPerSecond', 'number', 200, 'names looked up a second, all sandboxes together'),
  { ...held('callbacks', 'number', 25, 'callbacks and follow-ups under way at once', 1), kind: 'atOnce' },
] as const satisfies readonly QuotaDefinition[]

export type QuotaKey = (typeof QUOTAS)[number]['key']
/** A bound for each key; null: none. */
export type QuotaBounds = Readonly<Record<QuotaKey, number | null>>

const BY_KEY: ReadonlyMap<string, QuotaDefinition> = new Map(QUOTAS.map((quota) => [quota.key, quota]))
const MOST_NUMBER = 1_000_000_000

export function isQuotaKey(key: string): key is QuotaKey {
  return BY_KEY.has(key)
}

/** `minWarm` → `FN_QUOTA_MIN_WARM`. */
export function quotaSetting(key: string): string {
  return `FN_QUOTA_${key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`
}

/** A bound as people write it: `20`, `1g`, `none` (null). Throws UnitError with what was expected and got. */
export function parseQuota(key: QuotaKey, value: unknown): number | null {
  if (value === null || value === 'none') return null
  const { unit, least } = BY_KEY.get(key)!
  const lowest = quotaText(key, least)
  const expected =
    unit === 'bytes'
      ? `a size of at least ${lowest} such as 512m, or none`
      : `a whole number from ${lowest} to ${MOST_NUMBER}, or none`
  const bound = numberOf(unit, value)
  const most = unit === 'bytes' ? Number.MAX_SAFE_INTEGER : MOST_NUMBER
  if (bound !== null && Number.isSafeInteger(bound) && bound >= least && bound <= most) return bound
  throw new UnitError(`${key}: expected ${expected}, got ${JSON.stringify(value)?.slice(0, 80)}`)
}

function numberOf(unit: QuotaDefinition['unit'], value: unknown): number | null {
  if (typeof value === 'number') return value
  if (typeof value !== 'string') return null
  if (unit === 'number') return /^\d{1,10}$/.test(value) ? Number(value) : null
  try {
    return parseBytes(value)
  } catch {
    return null
  }
}

/** A bound or a use for people: `20`, `512m`, `none`. */
export function quotaText(key: QuotaKey, value: number | null): string {
  if (value === null) return 'none'
  return BY_KEY.get(key)!.unit === 'bytes' ? formatBytes(value) : String(value)
}

function held<K extends string>(
  key: K,
  unit: QuotaDefinition['unit'],
  fallback: number | null,
  doc: string,
  least = 0,
) {
  return { key, unit, kind: 'held' as QuotaKind, fallback, least, doc }
}

function rate<K extends string>(key: K, unit: QuotaDefinition['unit'], fallback: number | null, doc: string) {
  return { key, unit, kind: 'rate' as QuotaKind, fallback, least: 1, doc }
}
