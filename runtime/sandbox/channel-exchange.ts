// One call on the host's end: what the sandbox may send next, its credits, and what the sink is told, in order.
// Everything it receives is hostile: what does not fit throws ProtocolError, and the channel ends the sandbox.
import type { Duplex } from 'node:stream'
import type { CallSink, Fault, SandboxCall, SandboxExchange } from '../api.ts'
import { WireSocket } from '../host/wire-socket.ts'
import {
  encodeCredit,
  encodeFrame,
  FLAG,
  FRAME,
  frameName,
  ProtocolError,
  readU32,
  WINDOW_BYTES,
} from '../protocol/frames.ts'
import { bodyOffset, encodeInvoke, parseResponseHead } from '../protocol/heads.ts'
import { CANCEL_REASONS, type CancelReason, parseFault, parseLog } from '../protocol/messages.ts'
import { Upload } from './channel-upload.ts'

// Credits are returned in portions, not per chunk.
const CREDIT_PORTION = WINDOW_BYTES / 4
const HEAD_FLAGS = FLAG.END | FLAG.STARTED | FLAG.IDLE

/** A call in flight. The channel feeds it frames until `onDone` is called. */
export class Exchange implements SandboxExchange {
  readonly #socket: Duplex
  readonly #id: number
  readonly #sink: CallSink
  readonly #onDone: (id: number) => void
  #upload: Upload | null = null
  /** INVOKE did not go out whole: the code cannot have run. */
  #unwritten = false
  /** INVOKE is all that went out. */
  #onlyInvoke = true
  // What the sandbox has said.
  #started = false
  #headSeen = false
  #endSeen = false
  #idleSeen = false
  #lateSeen = false
  /** Bytes the sandbox may still send. */
  #window = WINDOW_BYTES
  /** Bytes taken by the sink for which no credit was returned yet. */
  #consumed = 0
  // What the sink has been told.
  #held = false
  readonly #waiting: Buffer[] = []
  /** The sink has had `end` or `failed`. */
  #closed = false
  #cancelled = false

  constructor(socket: Duplex, id: number, sink: CallSink, onDone: (id: number) => void) {
    this.#socket = socket
    this.#id = id
    this.#sink = sink
    this.#onDone = onDone
  }

  /** Writes INVOKE; `busy`: the sandbox has other calls, so that it may wait for what else is said to it in this turn;
   *  `thawed`: it was frozen since the call before.
   *  Throws ProtocolError for a head that cannot travel; nothing was written then. */
  send(call: SandboxCall, busy: boolean, thawed = false): void {
    const { body } = call
    const whole = body === null || Buffer.isBuffer(body)
    const first: Buffer | null = Buffer.isBuffer(body)
      ? body.subarray(0, WINDOW_BYTES)
      : ((body?.read() as Buffer | null) ?? null)
    const inline = first === null || first.length <= WINDOW_BYTES ? first : first.subarray(0, WINDOW_BYTES)
    const sent = inline?.length ?? 0
    const complete = body === null || (whole && sent === body.length)
    const flags = (complete ? FLAG.END : 0) | (thawed ? FLAG.THAWED : 0)
    this.#write(encodeInvoke(this.#id, flags, call, inline), busy)
    if (complete || body === null) return
    if (!Buffer.isBuffer(body) && first !== null && sent < first.length) body.unshift(first.subarray(sent))
    this.#onlyInvoke = false
    this.#upload = new Upload(
      this.#socket,
      this.#id,
      Buffer.isBuffer(body) ? body.subarray(sent) : body,
      sent,
      (error) => this.#bodyBroke(error),
    )
  }

  #write(invoke: Buffer, busy: boolean): void {
    const socket = this.#socket
    const done = (error?: Error | null) => {
      this.#unwritten = error !== undefined && error !== null
    }
    if (socket instanceof WireSocket) {
      this.#unwritten = true
      if (busy) socket.sendSoon(invoke, done)
      else socket.send(invoke, done)
    } else socket.write(invoke, done)
  }

  resume(): void {
    if (!this.#held) return
    this.#held = false
    while (!this.#held && this.#waiting.length > 0) this.#pass(this.#waiting.shift()!)
    if (this.#held) return
    this.#returnCredit()
    this.#settle()
  }

  cancel(reason: CancelReason): void {
    if (this.#cancelled || this.#idleSeen) return
    this.#cancelled = true
    this.#onlyInvoke = false
    this.#socket.write(encodeFrame(FRAME.CANCEL, this.#id, Uint8Array.of(CANCEL_REASONS.indexOf(reason))))
    // Nobody wants the rest of the body: it is taken and dropped, so that the handler can finish.
    for (const chunk of this.#waiting.splice(0)) this.#consumed += chunk.length
    this.resume()
    this.#returnCredit()
    this.#settle()
  }

  /** The sandbox is gone. The sink gets what is missing of `failed` and `idle`; NOT_SENT where INVOKE was not written whole
   *  or, `unread`, what was written last was not read whole. */
  fail(fault: Fault, unread = false): void {
    const notSent = !this.#started && (this.#unwritten || (unread && this.#onlyInvoke))
    this.#upload?.stop()
    this.#waiting.length = 0
    if (this.#endSeen && fault.code !== 'KILLED' && fault.data?.meant === undefined) this.#sink.late?.(fault)
    this.#close(notSent ? { code: 'NOT_SENT', message: fault.message } : fault)
    this.#sink.idle(false)
  }

  /** A frame for this call; `own`: its payload stays as it is. Throws ProtocolError when it does not fit what came before. */
  onFrame(type: number, payload: Buffer, own: boolean): void {
    if (type === FRAME.HEAD) this.#onHead(payload, own)
    else if (type === FRAME.DATA) this.#onData(own ? payload : Buffer.from(payload))
    else if (type === FRAME.END) this.#onEnd()
    else if (type === FRAME.IDLE) this.#onIdle()
    else if (type === FRAME.STARTED) this.#onStarted()
    else if (type === FRAME.LOG) this.#onLog(payload)
    else if (type === FRAME.CREDIT) this.#onCredit(payload)
    else if (type === FRAME.FAIL) this.#onFail(payload)
    else throw new ProtocolError(`${frameName(type)} for an invocation`)
  }

  #onStarted(): void {
    if (this.#started || this.#headSeen || this.#endSeen) throw new ProtocolError('STARTED out of order')
    this.#start()
  }

  #onHead(payload: Buffer, own: boolean): void {
    if (this.#headSeen || this.#endSeen) throw new ProtocolError('HEAD out of order')
    const bodyAt = bodyOffset(payload)
    const flags = payload[0]!
    if ((flags & ~HEAD_FLAGS) !== 0 || (flags & (FLAG.END | FLAG.IDLE)) === FLAG.IDLE)
      throw new ProtocolError('HEAD with wrong flags')
    const { status, headers, reason } = parseResponseHead(payload, bodyAt)
    this.#headSeen = true
    this.#start()
    if (!this.#closed) this.#sink.head(status, headers, reason)
    if (bodyAt < payload.length) {
      const body = payload.subarray(bodyAt)
      this.#onData(own ? body : Buffer.from(body))
    }
    if ((flags & FLAG.IDLE) !== 0) this.#idleSeen = true
    if ((flags & FLAG.END) !== 0) this.#onEnd()
  }

  #onData(chunk: Buffer): void {
    if (!this.#headSeen || this.#endSeen) throw new ProtocolError('DATA out of order')
    if (chunk.length > this.#window)
      throw new ProtocolError(`DATA of ${chunk.length} bytes with a credit of ${this.#window}`)
    this.#window -= chunk.length
    if (this.#held) {
      this.#waiting.push(chunk)
      return
    }
    this.#pass(chunk)
    if (!this.#held && this.#consumed >= CREDIT_PORTION) this.#returnCredit()
  }

  #onEnd(): void {
    if (!this.#headSeen || this.#endSeen) throw new ProtocolError('END out of order')
    this.#endSeen = true
    this.#settle()
  }

  #onFail(payload: Buffer): void {
    const fault = parseFault(payload)
    if (fault.code === 'LOAD_FAILED') throw new ProtocolError('LOAD_FAILED for a call')
    if (this.#endSeen) {
      // From work in the background: once, right before IDLE.
      if (this.#lateSeen) throw new ProtocolError('FAIL out of order')
      this.#lateSeen = true
      this.#sink.late?.(fault)
      return
    }
    this.#endSeen = true
    this.#start()
    // ORDER: what came before the failure is not worth waiting for.
    this.#waiting.length = 0
    this.#held = false
    this.#close(fault)
    this.#settle()
  }

  #onIdle(): void {
    if (!this.#endSeen || this.#idleSeen) throw new ProtocolError('IDLE out of order')
    this.#idleSeen = true
    this.#settle()
  }

  #onLog(payload: Buffer): void {
    const { stream, line } = parseLog(payload)
    this.#sink.log(stream, line)
  }

  #onCredit(payload: Buffer): void {
    if (this.#upload === null || payload.length !== 4) throw new ProtocolError('CREDIT for a call without a body')
    this.#upload.addCredit(readU32(payload, 0))
  }

  #start(): void {
    if (this.#started) return
    this.#started = true
    if (!this.#closed) this.#sink.started()
  }

  #pass(chunk: Buffer): void {
    this.#consumed += chunk.length
    if (!this.#closed && !this.#cancelled && !this.#sink.data(chunk)) this.#held = true
  }

  #returnCredit(): void {
    if (this.#endSeen || this.#consumed === 0) return
    this.#socket.write(encodeCredit(this.#id, this.#consumed))
    this.#window += this.#consumed
    this.#consumed = 0
  }

  /** Says `end` and `idle` when their time has come. */
  #settle(): void {
    if (!this.#endSeen || this.#held || this.#waiting.length > 0) return
    this.#close(null)
    if (!this.#idleSeen) return
    this.#upload?.stop()
    this.#onDone(this.#id)
    this.#sink.idle(true)
  }

  #close(fault: Fault | null): void {
    if (this.#closed) return
    this.#closed = true
    if (fault === null) this.#sink.end()
    else this.#sink.failed(fault)
  }

  #bodyBroke(error: Error | null): void {
    this.#waiting.length = 0
    this.#held = false
    this.#close({
      code: 'BODY_ABORTED',
      message: `the request body broke off before its end${error === null ? '' : `: ${error.message}`}`,
    })
    this.#returnCredit()
    this.#settle()
  }
}
