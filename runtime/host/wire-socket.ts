// The host's end of the socket to a sandbox, made for small frames: reads into one buffer that all of them share, writes with
// one system call at once, and gathers what is said to a sandbox that is busy anyway. Knows bytes, not frames.
import { closeSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { refuseDescriptors, socketPair } from './syscalls.ts'

/** Told once: null when the kernel has all of it, else why it does not. */
export type Written = (error: Error | null) => void

interface Reader {
  take: ((chunk: Buffer) => void) | null
  /** What came before anybody took bytes. */
  readonly early: Buffer[]
}

/** Owns its descriptor. Reads from the start; ends and errors are the stream's events. */
export class WireSocket extends Socket {
  readonly #fd: number
  readonly #reader: Reader
  #pending: Buffer[] = []
  #pendingDone: Written[] = []

  /** `readBuffer` may be shared by all wires of a process: it is used only while bytes are handed over. */
  constructor(fd: number, readBuffer: Buffer) {
    const reader: Reader = { take: null, early: [] }
    const callback = (bytes: number): boolean => {
      const chunk = readBuffer.subarray(0, bytes)
      if (reader.take === null) reader.early.push(Buffer.from(chunk))
      else reader.take(chunk)
      return true
    }
    super({ fd, onread: { buffer: readBuffer, callback } } as ConstructorParameters<typeof Socket>[0])
    this.#fd = fd
    this.#reader = reader
  }

  /** Hands over all that is read from here on, and what came before. A chunk is valid only during the call. */
  takeBytes(take: (chunk: Buffer) => void): void {
    this.#reader.take = take
    for (const chunk of this.#reader.early.splice(0)) take(chunk)
  }

  /** Writes at once; what the kernel does not take is queued. */
  send(bytes: Buffer, done: Written): void {
    this.#flush()
    this.#sendNow(bytes, done)
  }

  /** Writes with all else that is said in this turn of the event loop. */
  sendSoon(bytes: Buffer, done: Written): void {
    if (this.#pending.push(bytes) === 1) setImmediate(this.#flush)
    this.#pendingDone.push(done)
  }

  // ORDER: what was said first leaves first, whichever way it was said.
  override write(...parameters: unknown[]): boolean {
    this.#flush()
    return super.write(...(parameters as Parameters<Socket['write']>))
  }

  readonly #flush = (): void => {
    if (this.#pending.length === 0) return
    const bytes = this.#pending.length === 1 ? this.#pending[0]! : Buffer.concat(this.#pending)
    const done = this.#pendingDone
    this.#pending = []
    this.#pendingDone = []
    this.#sendNow(bytes, (error) => {
      for (const one of done) one(error)
    })
  }

  #sendNow(bytes: Buffer, done: Written): void {
    let written = 0
    if (this.destroyed || this.writableEnded) {
      done(new Error('the socket is closed'))
      return
    }
    if (this.writableLength === 0) {
      try {
        written = writeSync(this.#fd, bytes)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') {
          done(error as Error)
          return
        }
      }
    }
    if (written === bytes.length) done(null)
    else super.write(bytes.subarray(written), (error) => done(error ?? null))
  }
}

/** Descriptors of a pair: the socket's, which it owns, and the other's, which the caller closes once it was inherited. */
interface Ends {
  readonly ownFd: number
  readonly peerFd: number
}

/** A connected pair. */
export function createWire(readBuffer: Buffer): { readonly wire: WireSocket } & Ends {
  const { made: wire, ...ends } = connected((fd) => new WireSocket(fd, readBuffer))
  return { wire, ...ends }
}

/** The same for what only comes out of a sandbox, its stdout and stderr. A socket, not a pipe: a writer holds a pipe's lock
 *  while the kernel copies from its memory, and when a page of that is slow to come, our read waits (pipe_write, Linux 6.18).
 *  Paused it reads once more at most: what is not read is what holds the writer back. */
export function createOutlet(): { readonly outlet: Socket } & Ends {
  const { made: outlet, ...ends } = connected((fd) => {
    const options = { fd, readable: true, writable: false, highWaterMark: 1 }
    return new Socket(options)
  })
  return { outlet, ...ends }
}

/** SECURITY: our end refuses descriptors before the other end is given away. */
function connected<T>(make: (fd: number) => T): { readonly made: T } & Ends {
  const [ownFd, peerFd] = socketPair()
  try {
    refuseDescriptors(ownFd)
    return { made: make(ownFd), ownFd, peerFd }
  } catch (error) {
    closeSync(ownFd)
    closeSync(peerFd)
    throw error
  }
}

/** Whether this kernel can refuse descriptors (Linux 6.16). */
export function canRefuseDescriptors(): boolean {
  const ends = socketPair()
  try {
    return refuseDescriptors(ends[0])
  } finally {
    for (const fd of ends) closeSync(fd)
  }
}
