// The host's side of a code cache that comes from inside: gathers its bytes, bounded, and never looks into them.
import type { Clock } from '../api.ts'
import { FRAME, ProtocolError } from '../protocol/frames.ts'

/** One code cache under way. */
export class CacheIntake {
  /** Null: there is none, or it did not come in time. */
  readonly promise: Promise<Buffer | null>
  readonly reject: (error: Error) => void
  readonly #resolve: (cache: Buffer | null) => void
  readonly #maxBytes: number
  readonly #parts: Buffer[] = []
  #bytes = 0
  #late = false
  open = true

  constructor(clock: Clock, maxBytes: number, timeoutMs: number) {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer | null>()
    this.promise = promise
    this.#maxBytes = maxBytes
    const stop = clock.after(timeoutMs, () => {
      this.#late = true
      resolve(null)
    })
    this.#resolve = (cache) => {
      stop()
      resolve(cache)
    }
    this.reject = (error) => {
      stop()
      reject(error)
    }
  }

  /** DATA or END. Throws ProtocolError when it is more than was asked for. */
  onFrame(type: number, payload: Uint8Array): void {
    if (type === FRAME.END) {
      this.open = false
      this.#resolve(this.#bytes === 0 ? null : Buffer.concat(this.#parts.splice(0)))
      return
    }
    this.#bytes += payload.length
    if (this.#bytes > this.#maxBytes) throw new ProtocolError(`a code cache above ${this.#maxBytes} bytes`)
    // The frame's bytes are not ours to keep.
    if (!this.#late) this.#parts.push(Buffer.from(payload))
  }
}
