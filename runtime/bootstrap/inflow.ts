// A request's body as it arrives: queue, credits back to the host, and the ways to read it (one chunk, all, web stream).
// Knows nothing of Request; the chunks it is given are its own.
import { WINDOW_BYTES } from '../protocol/frames.ts'
import type { Outbox } from './outbox.ts'

// Credits are returned in portions, not per chunk.
const CREDIT_PORTION = WINDOW_BYTES / 4

/** Whose body a web stream is: one that is handed on untouched need not be read through it. */
const inflows = new WeakMap<object, Inflow>()

/** The inflow that made this stream; undefined for all others. */
export function inflowOf(stream: object): Inflow | undefined {
  return inflows.get(stream)
}

/** The body of one invocation. One reader at a time. */
export class Inflow {
  readonly #invocation: number
  readonly #outbox: Outbox
  readonly #chunks: Buffer[] = []
  #ended: boolean
  #error: unknown = null
  #owed = 0
  #taken = false
  #wake: (() => void) | null = null

  constructor(invocation: number, outbox: Outbox, first: Buffer | null, complete: boolean) {
    this.#invocation = invocation
    this.#outbox = outbox
    this.#ended = complete
    if (first !== null && first.length > 0) this.#chunks.push(first)
  }

  push(chunk: Buffer): void {
    if (this.#ended) return
    this.#chunks.push(chunk)
    this.#notify()
  }

  end(): void {
    this.#ended = true
    this.#notify()
  }

  /** The body broke off: what is queued can still be read, then readers get `error`. */
  fail(error: unknown): void {
    this.#error = error
    this.end()
  }

  /** No more credits from here on: the invocation is over. */
  close(): void {
    this.#ended = true
    this.#notify()
  }

  /** The next chunk, or null at the end. Rejects with the error of a body that broke off. */
  async read(): Promise<Buffer | null> {
    while (this.#chunks.length === 0) {
      if (this.#ended) {
        if (this.#error !== null) throw this.#error
        return null
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    const chunk = this.#chunks.shift()!
    this.#consumed(chunk.length)
    return chunk
  }

  /** True when the rest was taken past its stream. */
  get taken(): boolean {
    return this.#taken
  }

  /** The rest at once, for nobody else then; null where it has not come whole. */
  take(): Buffer | null {
    if (!this.#ended || this.#error !== null || this.#chunks.length > 1) return null
    this.#taken = true
    return this.#chunks.pop() ?? Buffer.alloc(0)
  }

  /** All of the rest as one buffer. */
  async collect(): Promise<Buffer> {
    const whole = this.take()
    if (whole !== null) return whole
    const parts: Buffer[] = []
    for (let chunk = await this.read(); chunk !== null; chunk = await this.read()) parts.push(chunk)
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts)
  }

  /** The rest as a byte stream. */
  stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    const stream: ReadableStream<Uint8Array<ArrayBuffer>> = new ReadableStream({
      type: 'bytes',
      pull: async (controller) => {
        const chunk = await this.read()
        if (chunk !== null) {
          // A byte stream takes the whole ArrayBuffer with it: never hand it a slice of a shared one.
          controller.enqueue(
            chunk.length === chunk.buffer.byteLength ? (chunk as Buffer<ArrayBuffer>) : new Uint8Array(chunk),
          )
          return
        }
        controller.close()
        controller.byobRequest?.respond(0)
      },
      cancel: () => {
        this.#chunks.length = 0
      },
    })
    inflows.set(stream, this)
    return stream
  }

  #consumed(bytes: number): void {
    if (this.#ended) return
    this.#owed += bytes
    if (this.#owed < CREDIT_PORTION) return
    this.#outbox.credit(this.#invocation, this.#owed)
    this.#owed = 0
  }

  #notify(): void {
    const wake = this.#wake
    this.#wake = null
    wake?.()
  }
}
