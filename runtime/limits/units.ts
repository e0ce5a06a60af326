// Sizes (powers of 1024) and durations as people write them: `64m`, `30mb`, `250ms`, `5m`. Pure.

/** A value that is not of its unit; the message says what was expected and got. */
export class UnitError extends Error {
  readonly code = 'UNIT'
  constructor(message: string) {
    super(message)
    this.name = 'UnitError'
  }
}

const SIZE = /^(\d+(?:\.\d+)?)\s*(b|k|kb|kib|m|mb|mib|g|gb|gib|t|tb|tib)?$/i
const SIZE_FACTOR: Readonly<Record<string, number>> = { b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 }

/** `64m` → 67108864. Plain numbers are bytes. Throws UnitError. */
export function parseBytes(text: string): number {
  const match = SIZE.exec(text.trim())
  if (!match) throw new UnitError(`expected a size such as 64m, 1g or 1048576, got ${shown(text)}`)
  const bytes = Number(match[1]) * (SIZE_FACTOR[(match[2] ?? 'b').charAt(0).toLowerCase()] ?? 1)
  if (!Number.isSafeInteger(Math.round(bytes))) throw new UnitError(`expected a size below 8 PiB, got ${shown(text)}`)
  return Math.round(bytes)
}

const DURATION = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?$/i
const DURATION_FACTOR: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** A hundred years: added to or taken from now it is still a date. */
const LONGEST_MS = 36_500 * 86_400_000

/** `250ms` → 250, `5m` → 300000. A unit is required unless the value is 0. Throws UnitError. */
export function parseDurationMs(text: string): number {
  const match = DURATION.exec(text.trim())
  const unit = match?.[2]?.toLowerCase()
  if (!match || (unit === undefined && Number(match[1]) !== 0)) {
    throw new UnitError(`expected a duration such as 250ms, 30s, 5m or 6h, got ${shown(text)}`)
  }
  const ms = Math.round(Number(match[1]) * (DURATION_FACTOR[unit ?? 'ms'] ?? 1))
  if (ms > LONGEST_MS) throw new UnitError(`expected a duration of at most 36500d, got ${shown(text)}`)
  return ms
}

function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text)
}

const UNITS = [
  ['t', 1024 ** 4],
  ['g', 1024 ** 3],
  ['m', 1024 ** 2],
  ['k', 1024],
] as const

/** 67108864 → `64m`, 1536 → `1.5k`: in the largest unit that is exact to one decimal, else rounded in the largest. −1 stays `-1`. */
export function formatBytes(bytes: number): string {
  const units = UNITS.filter(([, factor]) => bytes >= factor)
  const [unit, factor] = units.find(([, factor]) => Number.isInteger((bytes / factor) * 10)) ?? units[0] ?? ['b', 1]
  if (bytes < 0) return String(bytes)
  const value = bytes / factor
  return `${Number.isInteger(value) ? value : value.toFixed(1)}${unit}`
}

/** 300000 → `5m`, 250 → `250ms`. */
export function formatDuration(ms: number): string {
  for (const [unit, factor] of [
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
  ] as const) {
    if (ms >= factor && ms % factor === 0) return `${ms / factor}${unit}`
  }
  return ms >= 10_000 ? `${(ms / 1000).toFixed(1)}s` : `${Number.isInteger(ms) ? ms : ms.toFixed(1)}ms`
}
