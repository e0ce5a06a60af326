// Bytes in, frames out. Refuses unknown types and oversized frames from the header alone, before any payload is kept.
// It judges single frames only; their order is the receiver's business.
import { FRAME_HEADER_BYTES, type FrameLimits, frameName, MAX_PAYLOAD_BYTES, ProtocolError, readU32 } from './frames.ts'

/** Receives one frame. `payload` is a view on the pushed chunk, or, `own`, a buffer of its own for a frame that came in pieces:
 *  a receiver that keeps it must know who owns the chunk. */
export type OnFrame = (type: number, invocation: number, payload: Buffer, own: boolean) => void

const REFUSED = -1

/** Incremental decoder of one direction of one connection. After a throw it must not be used again. */
export class FrameDecoder {
  readonly #limits = new Int32Array(256).fill(REFUSED)
  readonly #onFrame: OnFrame
  readonly #header = Buffer.alloc(FRAME_HEADER_BYTES)
  #headerFilled = 0
  /** The frame in pieces: allocated once its header is known, of at most 256 KiB. */
  #payload: Buffer | null = null
  #payloadFilled = 0

  constructor(limits: FrameLimits, onFrame: OnFrame) {
    for (const [type, limit] of Object.entries(limits)) this.#limits[Number(type)] = limit ?? REFUSED
    this.#onFrame = onFrame
  }

  /** True between frames: an end of the stream here loses nothing. */
  get atBoundary(): boolean {
    return this.#headerFilled === 0
  }

  /** Takes the next bytes and calls `onFrame` for every frame they complete. Throws ProtocolError. */
  push(chunk: Buffer): void {
    let offset = this.#headerFilled === 0 ? 0 : this.#continue(chunk)
    while (offset < chunk.length) {
      const start = offset + FRAME_HEADER_BYTES
      if (start > chunk.length) {
        this.#keepHeader(chunk, offset)
        return
      }
      const length = this.#checkedLength(chunk, offset)
      const end = start + length
      if (end > chunk.length) {
        this.#keepHeader(chunk, offset)
        this.#startPayload(length)
        this.#payloadFilled = chunk.copy(this.#payload!, 0, start)
        return
      }
      this.#onFrame(chunk[offset + 4]!, readU32(chunk, offset + 5), chunk.subarray(start, end), false)
      offset = end
    }
  }

  /** Completes the frame begun by an earlier chunk; returns how much of this one it took. */
  #continue(chunk: Buffer): number {
    let offset = 0
    if (this.#headerFilled < FRAME_HEADER_BYTES) {
      offset = Math.min(FRAME_HEADER_BYTES - this.#headerFilled, chunk.length)
      chunk.copy(this.#header, this.#headerFilled, 0, offset)
      this.#headerFilled += offset
      if (this.#headerFilled < FRAME_HEADER_BYTES) return offset
      this.#startPayload(this.#checkedLength(this.#header, 0))
    }
    const payload = this.#payload!
    const taken = Math.min(payload.length - this.#payloadFilled, chunk.length - offset)
    chunk.copy(payload, this.#payloadFilled, offset, offset + taken)
    this.#payloadFilled += taken
    if (this.#payloadFilled === payload.length) {
      this.#headerFilled = 0
      this.#payload = null
      this.#onFrame(this.#header[4]!, readU32(this.#header, 5), payload, true)
    }
    return offset + taken
  }

  #keepHeader(chunk: Buffer, offset: number): void {
    this.#headerFilled = chunk.copy(this.#header, 0, offset)
  }

  #startPayload(length: number): void {
    this.#payload = Buffer.allocUnsafe(length)
    this.#payloadFilled = 0
  }

  #checkedLength(from: Uint8Array, offset: number): number {
    const length = readU32(from, offset)
    const type = from[offset + 4]!
    const limit = this.#limits[type]!
    if (limit === REFUSED) throw new ProtocolError(`${frameName(type)} is not a frame of this direction`)
    if (length > limit || length > MAX_PAYLOAD_BYTES) {
      throw new ProtocolError(
        `${frameName(type)} of ${length} bytes is above its limit of ${Math.min(limit, MAX_PAYLOAD_BYTES)}`,
      )
    }
    return length
  }
}
