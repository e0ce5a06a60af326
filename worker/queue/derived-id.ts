// Ids that follow from what they stand for: whoever makes one for the same thing at the same time makes the same one. Pure.
import { createHash } from 'node:crypto'
import { v7 } from 'uuid'

/** A UUIDv7 (RFC 9562) of that millisecond whose random part is a hash of `parts`. */
export function derivedId(atMs: number, ...parts: readonly string[]): string {
  const random = createHash('sha256').update(JSON.stringify(parts)).digest().subarray(0, 16)
  return v7({ msecs: atMs, random })
}

/** A number in [0, 1) that an id always draws alike: its last 48 bits. */
export function drawOfId(id: string): number {
  return Number.parseInt(id.slice(24), 16) / 2 ** 48
}
