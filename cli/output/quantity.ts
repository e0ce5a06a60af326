// Sizes, times and ages as people read them, with rounding (exact forms are runtime/limits/units.ts). Pure.

/** 12345 → `12.1 KiB`: powers of 1024 under their IEC names (IEC 80000-13), three digits. */
export function sizeText(bytes: number): string {
  let value = bytes
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (value < 1024) return `${unit === 'B' ? value : digits(value)} ${unit}`
    value /= 1024
  }
  return `${digits(value)} TiB`
}

/** 0.1234 → `0.12 ms`, 950 → `950 ms`, 65000 → `1 min 5 s`. */
export function millisText(ms: number): string {
  if (ms < 1000) return `${digits(ms)} ms`
  if (ms < 60_000) return `${digits(ms / 1000)} s`
  const seconds = Math.round(ms / 1000)
  const rest = seconds % 60
  return `${Math.floor(seconds / 60)} min${rest === 0 ? '' : ` ${rest} s`}`
}

export function microsText(us: number): string {
  return us < 1000 ? `${digits(us)} µs` : millisText(us / 1000)
}

/** How long ago `time` (RFC 3339) was: `5s`, `12m`, `3h`, `2d`; empty for none. */
export function ageText(time: string | null | undefined, nowMs: number): string {
  const then = Date.parse(time ?? '')
  if (Number.isNaN(then)) return ''
  const seconds = Math.max(0, Math.round((nowMs - then) / 1000))
  if (seconds < 60) return `${seconds}s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`
  return seconds < 86_400 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`
}

function digits(value: number): string {
  if (value === 0 || Number.isInteger(value)) return String(value)
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}
