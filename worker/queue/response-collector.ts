// Takes in the response of one attempt: small bodies in memory, larger ones in a file that gets its name when the call is over.
import type { Invocation, InvocationFailure, InvocationSink, ResponseHead } from '../api.ts'
import { INLINE_MAX_BYTES } from './envelope.ts'
import { DurableFile, isDiskError } from './files.ts'
import type { ResultHead } from './invocation-store.ts'

export class ResponseCollector implements InvocationSink {
  readonly #folder: string
  readonly #maxBytes: number
  #invocation: Invocation | null = null
  #head: ResponseHead | null = null
  #chunks: Buffer[] = []
  #bytes = 0
  #file: DurableFile | null = null
  #spilling = false
  #writes: Promise<void> = Promise.resolve()
  #failure: InvocationFailure | null = null

  constructor(folder: string, maxBytes: number) {
    this.#folder = folder
    this.#maxBytes = maxBytes
  }

  /** Right after `worker.invoke`: what comes before is kept. */
  attach(invocation: Invocation): void {
    this.#invocation = invocation
  }

  /** How the attempt failed, or why its response cannot be kept. */
  get failure(): InvocationFailure | null {
    return this.#failure
  }

  /** The function's own status; null without a whole response. */
  get status(): number | null {
    return this.#failure === null ? (this.#head?.status ?? null) : null
  }

  /** The function's own headers, flat; empty without any. */
  get headers(): readonly string[] {
    return this.#head?.headers ?? []
  }

  head(head: ResponseHead): void {
    this.#head = head
  }

  data(chunk: Buffer): boolean {
    if (this.#failure !== null) return true
    this.#bytes += chunk.length
    if (this.#bytes > this.#maxBytes) {
      this.#refuse('FUNCTION_INVALID_RESPONSE', `the response is larger than ${this.#maxBytes} bytes`)
      return true
    }
    this.#chunks.push(chunk)
    if (!this.#spilling && this.#bytes <= INLINE_MAX_BYTES) return true
    this.#spilling = true
    this.#writes = this.#writes.then(() => this.#spill())
    return false
  }

  end(): void {}

  failed(failure: InvocationFailure): void {
    this.#failure ??= failure
  }

  /** After the attempt is over. The response, its file on disk under `name`; null when there is no whole one. */
  async result(name: string): Promise<ResultHead | null> {
    await this.#writes
    const head = this.#head
    if (head === null || this.#failure !== null) {
      await this.#file?.discard()
      return null
    }
    const { status, headers } = head
    if (this.#file === null) {
      const base64 = Buffer.concat(this.#chunks).toString('base64')
      return { status, headers, bodyBytes: this.#bytes, base64, file: null }
    }
    try {
      await this.#file.commit(name)
      return { status, headers, bodyBytes: this.#bytes, base64: null, file: name, sha256: this.#file.sha256() }
    } catch (error) {
      await this.#file.discard()
      this.#refuseForDisk(error)
      return null
    }
  }

  /** Nobody wants it. */
  async discard(): Promise<void> {
    await this.#writes
    await this.#file?.discard()
  }

  async #spill(): Promise<void> {
    if (this.#failure !== null) return
    const chunks = this.#chunks
    this.#chunks = []
    try {
      this.#file ??= await DurableFile.create(this.#folder)
      if (chunks.length > 0) await this.#file.write(Buffer.concat(chunks))
      this.#invocation?.resume()
    } catch (error) {
      this.#refuseForDisk(error)
    }
  }

  #refuseForDisk(error: unknown): void {
    const why = isDiskError(error) ? 'the disk is full or failing' : (error as Error).message
    this.#refuse('HOST_FULL', `the response cannot be kept: ${why}`)
  }

  #refuse(code: InvocationFailure['code'], message: string): void {
    this.#failure = { code, component: code === 'HOST_FULL' ? 'queue' : 'function', message }
    this.#chunks = []
    this.#invocation?.abort('cancelled')
  }
}
