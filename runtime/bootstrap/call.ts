// One invocation inside: from INVOKE to IDLE. Runs the handler, sends its answer under credits, says what failed.
// Several may be under way at once; each has its own number and credits.
import { FLAG, FRAME, MAX_HEAD_BYTES, WINDOW_BYTES } from '../protocol/frames.ts'
import type { InvokeHead } from '../protocol/heads.ts'
import type { CancelReason, FaultMessage, SandboxFaultCode } from '../protocol/messages.ts'
import type { Answer, ByteReader, ByteSource } from './answer.ts'
import { bytesOfChunk } from './body-source.ts'
import { enqueueMicrotask, nextTick, now, types } from './builtins.ts'
import { describeError, describeValue } from './describe-error.ts'
import type { Handler } from './find-handler.ts'
import type { Inflow } from './inflow.ts'
import type { Outbox } from './outbox.ts'
import { flushLines, type OutputOwner, PartialLines, printError } from './output.ts'
import { toAnswer } from './to-answer.ts'
import { installWeb } from './web.ts'

const CANCEL_MESSAGES: Readonly<Record<CancelReason, string>> = {
  client: 'the caller has left',
  timeout: 'the time-out has passed',
  cancelled: 'the invocation was cancelled',
}

/** Status and content-length need their room in the head too. */
const MAX_HEADERS_BYTES = MAX_HEAD_BYTES - 64

/** What a call needs of the process around it. */
export interface CallHost {
  readonly outbox: Outbox
  readonly handler: Handler
  /** Runs `fire` with this call as the owner of what is printed. */
  enter(call: Call, fire: () => unknown): unknown
  /** The call sent IDLE; forget it. */
  finished(call: Call): void
  /** True when the process is to end rather than rest: something was left running. */
  leaves(): boolean
  /** Ends the process. */
  leave(): void
}

/** One invocation under way. */
export class Call implements OutputOwner {
  readonly id: number
  readonly head: InvokeHead
  readonly inflow: Inflow | null
  readonly lines = new PartialLines()
  readonly deadline: number
  /** IDLE was said. */
  over = false
  readonly #host: CallHost
  #started = false
  #ended = false
  #background = 0
  /** Why work in the background failed, the first time. */
  #late: FaultMessage | null = null
  #credit = WINDOW_BYTES
  #creditWaiter: (() => void) | null = null
  #controller: AbortController | null = null
  #cancelled: CancelReason | null = null
  #reader: ByteReader | null = null

  constructor(id: number, head: InvokeHead, inflow: Inflow | null, host: CallHost) {
    this.id = id
    this.head = head
    this.inflow = inflow
    this.deadline = now() + head.timeoutMs
    this.#host = host
  }

  /** Calls the handler. Never throws. */
  run(): void {
    let result: unknown
    try {
      result = this.#host.enter(this, () => this.#host.handler(this))
    } catch (error) {
      this.#threw(error)
      return
    }
    if (result instanceof Promise) {
      result.then(
        (value) => this.#answer(value),
        (error) => this.#threw(error),
      )
    } else if (isThenable(result)) {
      Promise.resolve(result).then(
        (value) => this.#answer(value),
        (error) => this.#threw(error),
      )
    } else this.#answer(result)
    // ORDER: the tick queued from a microtask runs after every microtask of this turn; a handler that answers in the
    // same turn has sent STARTED with its HEAD by then.
    if (!this.#started) enqueueMicrotask(() => nextTick(() => this.#sayStarted()))
  }

  /** Aborts when the call is cancelled; made at first use. */
  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new (installWeb().AbortController)()
      if (this.#cancelled !== null) this.#controller.abort(abortError(this.#cancelled))
    }
    return this.#controller.signal
  }

  waitUntil(promise: unknown): void {
    this.#background++
    Promise.resolve(promise).then(
      () => this.#settled(),
      (error) => {
        this.#host.enter(this, () => printError('waitUntil:', error))
        this.#late ??= { code: 'HANDLER_THREW', ...describeError(error) }
        this.#settled()
      },
    )
  }

  cancel(reason: CancelReason): void {
    if (this.#cancelled !== null) return
    this.#cancelled = reason
    this.#controller?.abort(abortError(reason))
    if (this.#reader !== null) stop(this.#reader, abortError(reason))
    this.#wakeWriter()
  }

  addCredit(bytes: number): void {
    this.#credit += bytes
    this.#wakeWriter()
  }

  #sayStarted(): void {
    if (this.#started) return
    this.#started = true
    this.#host.outbox.signal(FRAME.STARTED, this.id)
  }

  #answer(result: unknown): void {
    if (this.#ended) return
    let answer: Answer | string
    try {
      answer = toAnswer(result)
    } catch (error) {
      answer = `a Response that cannot be read: ${describeError(error).message}`
    }
    if (typeof answer === 'string') {
      const got = answer === 'not a Response' ? describeValue(result) : answer
      this.fail('INVALID_RESPONSE', `the handler must return a Response, it returned ${got}`)
      return
    }
    if (answer.headers.length > MAX_HEADERS_BYTES) {
      const size = `${answer.headers.length} bytes of headers; at most ${MAX_HEADERS_BYTES} can be sent`
      this.fail('INVALID_RESPONSE', `the handler returned a Response with ${size}`)
      return
    }
    this.#send(answer)
  }

  #send(answer: Answer): void {
    const { body, status } = answer
    const bodyless = this.head.method === 'HEAD' || status === 204 || status === 304 || status === 205
    if (isSource(body)) {
      if (bodyless || this.#cancelled !== null) {
        stop(body, abortError(this.#cancelled ?? 'cancelled'))
        this.#sendWhole(answer, null, 0, answer.length)
        return
      }
      this.#pump(answer, body)
      return
    }
    const bytes = body === null ? 0 : typeof body === 'string' ? Buffer.byteLength(body) : body.length
    if (bodyless) {
      const length = status === 204 ? null : (answer.length ?? (body === null ? null : String(bytes)))
      this.#sendWhole(answer, null, 0, length)
    } else if (bytes <= this.#credit) {
      this.#sendWhole(answer, body, bytes, String(bytes))
    } else {
      this.#sendLarge(answer, typeof body === 'string' ? Buffer.from(body) : body!)
    }
  }

  /** The answer in one frame, with IDLE on it when nothing goes on in the background. */
  #sendWhole(answer: Answer, body: string | Uint8Array | null, bytes: number, length: string | null): void {
    const over = this.#background === 0
    const leaves = over && this.#host.leaves()
    const idle = over && !leaves && this.#late === null
    const flags = FLAG.END | (this.#started ? 0 : FLAG.STARTED) | (idle ? FLAG.IDLE : 0)
    flushLines(this.#host.outbox, this)
    this.#host.outbox.head(this.id, flags, headText(answer, length), body, bytes)
    this.#started = true
    this.#ended = true
    if (idle) this.#finish()
    else if (over) this.#idle(leaves)
  }

  #sendLarge(answer: Answer, body: Uint8Array): void {
    this.#sendHead(answer, String(body.length))
    this.#write(body).then(
      () => this.#end(),
      (error) => this.#threw(error),
    )
  }

  #pump(answer: Answer, body: ByteSource): void {
    let reader: ByteReader
    try {
      reader = body.getReader()
    } catch (error) {
      this.#threw(error)
      return
    }
    this.#reader = reader
    this.#sendHead(answer, answer.length)
    this.#copy(reader, promisedBytes(answer.length)).then(
      () => this.#end(),
      (error) => this.#threw(error),
    )
  }

  /** `promised`: what the content-length says, or −1. More or less than that is no valid response. */
  async #copy(reader: ByteReader, promised: number): Promise<void> {
    let sent = 0
    for (;;) {
      const { done, value } = await reader.read()
      if (this.#cancelled !== null) return
      if (done) {
        if (promised > sent) this.#wrongLength(`ended after ${sent} bytes`, promised)
        return
      }
      const chunk = bytesOfChunk(value)
      if (chunk === null) {
        stop(reader)
        throw new TypeError(`the response's body gave ${describeValue(value)} instead of bytes`)
      }
      sent += chunk.length
      if (promised >= 0 && sent > promised) {
        stop(reader)
        this.#wrongLength('is longer', promised)
        return
      }
      await this.#write(chunk)
    }
  }

  #wrongLength(fact: string, promised: number): void {
    this.fail('INVALID_RESPONSE', `the response's body ${fact}; its content-length says ${promised}`)
  }

  #sendHead(answer: Answer, length: string | null): void {
    this.#host.outbox.head(this.id, this.#started ? 0 : FLAG.STARTED, headText(answer, length), null, 0)
    this.#started = true
  }

  async #write(chunk: Uint8Array): Promise<void> {
    let from = 0
    while (from < chunk.length && this.#cancelled === null) {
      if (this.#credit === 0) {
        await new Promise<void>((resolve) => {
          this.#creditWaiter = resolve
        })
        continue
      }
      const bytes = Math.min(this.#credit, chunk.length - from)
      this.#host.outbox.data(this.id, chunk.subarray(from, from + bytes))
      this.#credit -= bytes
      from += bytes
    }
  }

  #wakeWriter(): void {
    const wake = this.#creditWaiter
    this.#creditWaiter = null
    wake?.()
  }

  #end(): void {
    if (this.#ended) return
    this.#ended = true
    flushLines(this.#host.outbox, this)
    this.#host.outbox.signal(FRAME.END, this.id)
    if (this.#background === 0) this.#idle()
  }

  #threw(error: unknown): void {
    const { message, stack } = describeError(error)
    this.fail('HANDLER_THREW', message, stack)
  }

  /** Ends the call with an error, before or after its head; again, or after its end, is a no-op. */
  fail(code: SandboxFaultCode, message: string, stack?: string): void {
    if (this.#ended) return
    this.#ended = true
    // FAIL implies STARTED.
    this.#started = true
    flushLines(this.#host.outbox, this)
    this.#host.outbox.fault(FRAME.FAIL, this.id, stack === undefined ? { code, message } : { code, message, stack })
    if (this.#background === 0) this.#idle()
  }

  #settled(): void {
    this.#background--
    if (this.#background === 0 && this.#ended) this.#idle()
  }

  #idle(leaves: boolean = this.#host.leaves()): void {
    flushLines(this.#host.outbox, this)
    if (this.#late !== null) this.#host.outbox.fault(FRAME.FAIL, this.id, this.#late)
    if (leaves) this.#host.leave()
    this.#host.outbox.signal(FRAME.IDLE, this.id)
    this.#finish()
  }

  #finish(): void {
    this.over = true
    this.inflow?.close()
    this.#host.finished(this)
  }
}

function promisedBytes(length: string | null): number {
  return length !== null && /^\d{1,15}$/.test(length) ? Number(length) : -1
}

function headText(answer: Answer, length: string | null): string {
  // Without spaces around it: the host takes none.
  const status = answer.reason === '' ? String(answer.status) : `${answer.status} ${answer.reason.trim()}`.trimEnd()
  return length === null ? status + answer.headers : `${status}${answer.headers}\ncontent-length\n${length}`
}

function abortError(reason: CancelReason): DOMException {
  return new (installWeb().DOMException)(CANCEL_MESSAGES[reason], 'AbortError')
}

function isSource(body: Answer['body']): body is ByteSource {
  return typeof body === 'object' && body !== null && !types.isUint8Array(body)
}

/** Cancels a body that is not wanted any more. It may be of any class: what it throws or rejects is ignored. */
function stop(body: ByteReader | ByteSource, reason?: unknown): void {
  try {
    Promise.resolve(body.cancel(reason)).catch(() => undefined)
  } catch {
    // It has ended.
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
