// Names of a call's keys in Redis; what lies there is said in invocation-store.ts. Pure.
import { createHash } from 'node:crypto'
import type { InvocationRecord } from '../api.ts'

/** Of an idempotency key's scope, hex. */
export function digestOf(scope: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(scope)).digest('hex')
}
export function claimKey(scope: readonly string[]): string {
  return `{thaw}:idem:${digestOf(scope)}`
}

export function recordKey(id: string): string {
  return `{thaw}:inv:${id}`
}
export function resultKey(id: string): string {
  return `{thaw}:res:${id}`
}
export function triesKey(id: string): string {
  return `{thaw}:tries:${id}`
}
export function deadKey(id: string): string {
  return `{thaw}:dead:${id}`
}
export function deadListKey(queueKey: string): string {
  return `{thaw}:deads:${queueKey}`
}
export function indexKey(namespace: string): string {
  return `{thaw}:invs:${namespace}`
}

/** Its place in lists. */
export function scoreOf(record: InvocationRecord): number {
  return timeOfId(record.id) ?? Date.parse(record.createdAt)
}

/** Ms since the epoch in a UUIDv7 (RFC 9562), null for another id. */
export function timeOfId(id: string): number | null {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-7/.test(id) ? Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16) : null
}
