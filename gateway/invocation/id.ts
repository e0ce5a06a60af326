// Owns invocation ids: UUIDv7s that rise within this process, and the draw for weighted aliases that follows from one.
import { randomFillSync } from 'node:crypto'
import { v7 } from 'uuid'

const POOL_BYTES = 16 * 256

/** Makes ids. Random bytes come from a pool (a system call per id costs more than the rest of it); ids of one millisecond
 *  rise by a counter, and a clock that steps back does not make them fall. */
export class IdSource {
  readonly #now: () => number
  readonly #pool = Buffer.alloc(POOL_BYTES)
  #offset = POOL_BYTES
  #lastMs = 0
  #sequence = 0

  constructor(now: () => number) {
    this.#now = now
  }

  next(): string {
    if (this.#offset === POOL_BYTES) {
      randomFillSync(this.#pool)
      this.#offset = 0
    }
    const random = this.#pool.subarray(this.#offset, this.#offset + 16)
    this.#offset += 16
    const now = this.#now()
    if (now > this.#lastMs) {
      this.#lastMs = now
      this.#sequence = random.readUInt32LE(0) >>> 2
    } else this.#sequence++
    return v7({ random, msecs: this.#lastMs, seq: this.#sequence })
  }
}

/** A number in [0, 1) that an id always draws alike: its last 48 bits, which are random in a UUIDv7. */
export function drawOf(id: string): number {
  return Number.parseInt(id.slice(24), 16) / 2 ** 48
}

const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** True for the form of our ids. */
export function isInvocationId(text: string): boolean {
  return ID.test(text)
}
