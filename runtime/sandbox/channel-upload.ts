// The request body of one call on its way into the sandbox: never more than the sandbox gave credit for.
// Owns the listeners on the body's stream, never the stream itself.
import type { Duplex, Readable } from 'node:stream'
import { FLAG, FRAME, FRAME_HEADER_BYTES, ProtocolError, WINDOW_BYTES, writeFrameHeader } from '../protocol/frames.ts'

// Below this a chunk is copied behind its frame's header and written at once; above, two writes are corked.
const COPY_BYTES = 16 * 1024

/** Sends what is left of a body after the part that rode with INVOKE. */
export class Upload {
  readonly #socket: Duplex
  readonly #id: number
  readonly #onBroken: (error: Error | null) => void
  readonly #source: Readable | null
  /** Bytes given by the source and not yet sent. */
  #rest: Buffer | null
  #credit: number
  #sourceEnded: boolean
  #done = false

  /** `sent` bytes of the window are used already. `onBroken` is called once if the source fails before its end. */
  constructor(
    socket: Duplex,
    id: number,
    body: Buffer | Readable,
    sent: number,
    onBroken: (error: Error | null) => void,
  ) {
    this.#socket = socket
    this.#id = id
    this.#onBroken = onBroken
    this.#credit = WINDOW_BYTES - sent
    this.#source = Buffer.isBuffer(body) ? null : body
    this.#rest = Buffer.isBuffer(body) ? body : null
    this.#sourceEnded = this.#source === null
    if (this.#source === null) return
    this.#source.on('data', this.#onData).on('end', this.#onEnd).on('error', this.#onError).on('close', this.#onClose)
    if (this.#source.readableEnded) this.#onEnd()
    // ORDER: nothing is told before `invoke` has returned.
    else if (this.#source.destroyed) queueMicrotask(this.#onClose)
    else this.#send()
  }

  /** The sandbox consumed `bytes`. Throws ProtocolError when that is more than it was sent. */
  addCredit(bytes: number): void {
    this.#credit += bytes
    if (this.#credit > WINDOW_BYTES) throw new ProtocolError('CREDIT above the window')
    this.#send()
  }

  /** Sends nothing more and lets go of the source, which stays paused. */
  stop(): void {
    if (this.#done) return
    this.#done = true
    this.#rest = null
    const source = this.#source
    if (source === null) return
    source.pause()
    source.off('data', this.#onData).off('end', this.#onEnd).off('error', this.#onError).off('close', this.#onClose)
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#rest = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk])
    this.#send()
  }
  readonly #onEnd = (): void => {
    this.#sourceEnded = true
    this.#send()
  }
  readonly #onError = (error: Error): void => this.#break(error)
  readonly #onClose = (): void => {
    if (!this.#sourceEnded) this.#break(null)
  }

  #break(error: Error | null): void {
    if (this.#done) return
    this.stop()
    const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + 1)
    frame[writeFrameHeader(frame, 0, FRAME.END, this.#id, 1)] = FLAG.ABORTED
    this.#socket.write(frame)
    this.#onBroken(error)
  }

  #send(): void {
    if (this.#done) return
    while (this.#rest !== null && this.#credit > 0) {
      const bytes = Math.min(this.#rest.length, this.#credit)
      this.#writeData(this.#rest.subarray(0, bytes))
      this.#credit -= bytes
      this.#rest = bytes === this.#rest.length ? null : this.#rest.subarray(bytes)
    }
    if (this.#rest !== null || this.#credit === 0) this.#source?.pause()
    else if (this.#sourceEnded) this.#finish()
    else if (this.#source!.isPaused()) this.#source!.resume()
    if (this.#rest === null && this.#sourceEnded) this.#finish()
  }

  #finish(): void {
    if (this.#done) return
    this.stop()
    const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES)
    writeFrameHeader(frame, 0, FRAME.END, this.#id, 0)
    this.#socket.write(frame)
  }

  #writeData(chunk: Buffer): void {
    if (chunk.length <= COPY_BYTES) {
      const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + chunk.length)
      chunk.copy(frame, writeFrameHeader(frame, 0, FRAME.DATA, this.#id, chunk.length))
      this.#socket.write(frame)
      return
    }
    const header = Buffer.allocUnsafe(FRAME_HEADER_BYTES)
    writeFrameHeader(header, 0, FRAME.DATA, this.#id, chunk.length)
    this.#socket.cork()
    this.#socket.write(header)
    this.#socket.write(chunk)
    this.#socket.uncork()
  }
}
