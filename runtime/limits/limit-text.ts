// A limit's value for people: sizes as they are written in a configuration. Pure.
import { formatBytes } from './units.ts'

const IN_BYTES: ReadonlySet<string> = new Set([
  ...['memory', 'memorySwap', 'memoryReservation', 'tmpfs', 'scratch', 'networkRxBps', 'networkTxBps'],
])

/** `memory`, 67108864 → `64m`; null and −1 are `no limit`. */
export function limitText(limit: string, value: unknown): string {
  if (value === null || value === -1) return 'no limit'
  if (typeof value === 'number') return IN_BYTES.has(limit) ? formatBytes(value) : String(value)
  return typeof value === 'string' ? value : JSON.stringify(value)
}
