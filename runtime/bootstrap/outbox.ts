// Frames to the host: gathered in one buffer, written with one system call at the end of the turn.
// It blocks the process, as Node's own stdout on a pipe does, when the host does not read: memory stays bounded by the buffer.

import { FRAME, FRAME_HEADER_BYTES, WINDOW_BYTES, writeFrameHeader, writeU32 } from '../protocol/frames.ts'
import { HEAD_PREFIX_BYTES, writeHead } from '../protocol/heads.ts'
import { type ExitMessage, encodeFault, type FaultMessage } from '../protocol/messages.ts'
import { exitProcess, nextTick, schedule, wait, writeSync } from './builtins.ts'

// Larger than any frame the sandbox may send, so that every frame fits after a flush.
const BUFFER_BYTES = 256 * 1024
const RETRY_MS = 1

/** Writes some of `length` bytes of `buffer` from `offset` and returns how many; 0 when nothing can be taken now. */
export type Write = (buffer: Uint8Array, offset: number, length: number) => number

/** Writes to a descriptor; ends the process when nobody is at the other end. */
export function writeTo(fd: number): Write {
  return (buffer, offset, length) => {
    try {
      return writeSync(fd, buffer, offset, length)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      return code === 'EAGAIN' || code === 'EINTR' ? 0 : exitProcess(1)
    }
  }
}

/** The writing end of a connection. */
export class Outbox {
  readonly #write: Write
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  readonly #pause = new Int32Array(new SharedArrayBuffer(4))
  readonly #onTurnEnd = () => {
    this.#scheduled = false
    this.#flush(false)
  }
  #filled = 0
  #scheduled = false
  #retrying = false
  /** Offset of the last frame in the buffer while it is a DATA frame that may still grow, else −1. */
  #openData = -1

  constructor(write: Write) {
    this.#write = write
  }

  /** A frame without payload. */
  signal(type: number, invocation: number): void {
    this.#filled = writeFrameHeader(this.#buffer, this.#reserve(FRAME_HEADER_BYTES), type, invocation, 0)
  }

  credit(invocation: number, bytes: number): void {
    const at = writeFrameHeader(this.#buffer, this.#reserve(FRAME_HEADER_BYTES + 4), FRAME.CREDIT, invocation, 4)
    writeU32(this.#buffer, at, bytes)
    this.#filled = at + 4
  }

  /** HEAD with the first `bodyBytes` of the body, at most a window of them. */
  head(invocation: number, flags: number, text: string, body: string | Uint8Array | null, bodyBytes: number): void {
    const at = this.#reserve(FRAME_HEADER_BYTES + HEAD_PREFIX_BYTES + text.length + bodyBytes)
    const bodyAt = writeHead(this.#buffer, at, FRAME.HEAD, invocation, flags, text, bodyBytes)
    if (typeof body === 'string') this.#buffer.write(body, bodyAt)
    else if (body !== null) this.#buffer.set(body, bodyAt)
    this.#filled = bodyAt + bodyBytes
  }

  /** Body bytes, at most a window of them. Joins the DATA frame before it when that has not left yet. */
  data(invocation: number, chunk: Uint8Array): void {
    if (this.#openData >= 0 && this.#joinData(invocation, chunk)) return
    const at = this.#reserve(FRAME_HEADER_BYTES + chunk.length)
    this.#buffer.set(chunk, writeFrameHeader(this.#buffer, at, FRAME.DATA, invocation, chunk.length))
    this.#filled = at + FRAME_HEADER_BYTES + chunk.length
    this.#openData = at
  }

  /** FAIL or EXIT. */
  fault(type: number, invocation: number, message: FaultMessage | ExitMessage): void {
    this.#append(type, invocation, encodeFault(message))
  }

  /** A frame that is complete already. */
  raw(frame: Uint8Array): void {
    const at = this.#reserve(frame.length)
    this.#buffer.set(frame, at)
    this.#filled = at + frame.length
  }

  /** Writes all that waits, blocking until the host has read it: for output lines and for the end of the process. */
  flushNow(): void {
    this.#flush(true)
  }

  #append(type: number, invocation: number, payload: Uint8Array): void {
    const at = this.#reserve(FRAME_HEADER_BYTES + payload.length)
    this.#buffer.set(payload, writeFrameHeader(this.#buffer, at, type, invocation, payload.length))
    this.#filled = at + FRAME_HEADER_BYTES + payload.length
  }

  #joinData(invocation: number, chunk: Uint8Array): boolean {
    const buffer = this.#buffer
    const at = this.#openData
    const length = this.#filled - at - FRAME_HEADER_BYTES + chunk.length
    if (length > WINDOW_BYTES || this.#filled + chunk.length > BUFFER_BYTES) return false
    if (buffer.readUInt32LE(at + 5) !== invocation) return false
    buffer.set(chunk, this.#filled)
    this.#filled += chunk.length
    writeU32(buffer, at, length)
    return true
  }

  /** Room for `bytes` at the returned offset; asks for a flush at the end of this turn. */
  #reserve(bytes: number): number {
    this.#openData = -1
    if (this.#filled + bytes > BUFFER_BYTES) this.#flush(true)
    if (!this.#scheduled && !this.#retrying) {
      this.#scheduled = true
      nextTick(this.#onTurnEnd)
    }
    return this.#filled
  }

  #flush(blocking: boolean): void {
    this.#openData = -1
    let written = 0
    while (written < this.#filled) {
      const bytes = this.#write(this.#buffer, written, this.#filled - written)
      if (bytes > 0) written += bytes
      else if (blocking) wait(this.#pause, 0, 0, RETRY_MS)
      else break
    }
    if (written < this.#filled) {
      this.#buffer.copyWithin(0, written, this.#filled)
      this.#retryLater()
    }
    this.#filled -= written
  }

  #retryLater(): void {
    if (this.#retrying) return
    this.#retrying = true
    schedule(() => {
      this.#retrying = false
      this.#flush(false)
    }, RETRY_MS)
  }
}
