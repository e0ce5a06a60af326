// Response streaming of AWS Lambda: `awslambda.streamifyResponse` and the stream it hands to a handler.
// Source: AWS, "Writing response streaming-enabled Lambda functions"; aws-lambda-nodejs-runtime-interface-client.
import type { ByteReader, ByteSource } from './answer.ts'
import { Writable } from './builtins.ts'
import type { LambdaHead } from './lambda-answer.ts'

/** Set on handlers that stream, to `response`; the name is AWS's. */
const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming')

/** Puts the global `awslambda` in its place; again is a no-op. Before the code is loaded, which asks for it at once. */
export function installLambda(): void {
  if ('awslambda' in globalThis) return
  const value = {
    streamifyResponse<T extends object>(handler: T): T {
      Object.defineProperty(handler, STREAMING, { value: 'response', configurable: true })
      return handler
    },
    HttpResponseStream: {
      /** Sets status, headers and cookies of the answer, which begins with the first write. */
      from(stream: LambdaResponseStream, head: LambdaHead): LambdaResponseStream {
        stream.head = head
        return stream
      },
    },
  }
  Object.defineProperty(globalThis, 'awslambda', { value, configurable: true, writable: true })
}

/** True for what `streamifyResponse` gave. */
export function isStreaming(handler: object): boolean {
  return (handler as Record<symbol, unknown>)[STREAMING] === 'response'
}

/** What the handler writes to, and the byte source the answer is sent from. A write waits until the one before was taken. */
export class LambdaResponseStream extends Writable {
  head: LambdaHead | null = null
  contentType = 'application/octet-stream'
  readonly #begin: () => void
  #waiting: { readonly chunk: Uint8Array; readonly taken: (error?: Error | null) => void } | null = null
  #over = false
  #error: Error | null = null
  #wake: (() => void) | null = null

  /** `begin` is called once, when status and headers are settled. */
  constructor(begin: () => void) {
    super()
    let isBegun = false
    this.#begin = () => {
      if (!isBegun) begin()
      isBegun = true
    }
    // The answer says why it broke off: the handler need not listen for an error.
    this.on('error', () => undefined)
  }

  setContentType(type: string): void {
    this.contentType = type
  }

  source(): ByteSource {
    const stop = (reason?: unknown) => this.destroy(reason instanceof Error ? reason : undefined)
    const reader: ByteReader = { read: () => this.#read(), cancel: stop }
    return { getReader: () => reader, cancel: stop }
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, taken: (error?: Error | null) => void): void {
    this.#waiting = { chunk, taken }
    this.#begin()
    this.#notify()
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#over = true
    this.#begin()
    this.#notify()
    done()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.#over) this.#error = error ?? new Error('the response stream was destroyed before its end')
    this.#begin()
    this.#notify()
    done(error)
  }

  async #read(): Promise<{ done: boolean; value?: Uint8Array }> {
    while (this.#waiting === null && !this.#over && this.#error === null) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    const waiting = this.#waiting
    if (waiting !== null) {
      this.#waiting = null
      waiting.taken()
      return { done: false, value: waiting.chunk }
    }
    if (this.#error !== null) throw this.#error
    return { done: true }
  }

  #notify(): void {
    const wake = this.#wake
    this.#wake = null
    wake?.()
  }
}
