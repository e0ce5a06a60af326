// The host's end of the wire to one sandbox: boot, load, calls, and the judgement of all that comes from inside.
// It never kills: it goes deaf and tells its owner through `onFault`; the owner ends the sandbox and calls `fail`.
import type { Duplex } from 'node:stream'
import type { CallSink, Clock, Code, Fault, SandboxCall, SandboxExchange, SandboxLog } from '../api.ts'
import { RuntimeError, type RuntimeErrorCode } from '../errors.ts'
import { WireSocket } from '../host/wire-socket.ts'
import { formatDuration } from '../limits/units.ts'
import { FrameDecoder } from '../protocol/decoder.ts'
import {
  FRAME,
  FRAME_HEADER_BYTES,
  frameName,
  MAX_PAYLOAD_BYTES,
  ProtocolError,
  SANDBOX_FRAMES,
  writeFrameHeader,
} from '../protocol/frames.ts'
import {
  encodeCacheRequest,
  encodeInit,
  type InitConfig,
  parseExit,
  parseFault,
  parseLog,
} from '../protocol/messages.ts'
import { CacheIntake } from './channel-cache.ts'
import { Exchange } from './channel-exchange.ts'
import type { ReadBudget } from './read-budget.ts'
import { WireCharges } from './wire-charges.ts'

export interface ChannelOptions {
  readonly clock: Clock
  /** Told once: a broken protocol, the end of the connection, or the process inside saying that it exits. The channel
   *  reads nothing more; open calls stay open until `fail`. */
  onFault(fault: Fault): void
  /** Called with an error in the platform while it handled what came from inside; the sandbox is killed (KILLED) then. */
  readonly onBug?: (error: unknown) => void
  /** What Lambda handlers see as their memory, asked when the code is sent; 128 MiB when left out. */
  readonly memoryBytes?: () => number
  /** Called before anything that was read is handled. */
  readonly handling?: () => void
}

export interface Channel {
  /** Resolves when the process inside has booted. Rejects RuntimeError `BOOT_TIMEOUT` | `SANDBOX_STOPPED`. */
  ready(timeoutMs: number): Promise<void>
  /** Resolves when the process inside has prepared all it can without code. Rejects RuntimeError `BOOT_TIMEOUT` |
   *  `SANDBOX_STOPPED`. */
  prepared(timeoutMs: number): Promise<void>
  /** Sends the code and waits for it to load; at most once. Rejects RuntimeError `LOAD_FAILED` (its `fault` has the
   *  stack) | `LOAD_TIMEOUT` | `SANDBOX_STOPPED`. Lines printed meanwhile go to `log`, and those that calls print after their end. */
  load(code: Code, timeoutMs: number, log: SandboxLog): Promise<void>
  /** Asks for V8's code cache of the loaded code: null when there is none, it is larger than `maxBytes`, or it does not
   *  come in time. Hostile bytes: for sandboxes of the same version only. Rejects RuntimeError `SANDBOX_STOPPED`. */
  codeCache(maxBytes: number, timeoutMs: number): Promise<Buffer | null>
  /** Starts a call. What goes wrong is told to the sink, never thrown; NOT_SENT where the sandbox had ended before. */
  /** `thawed`: the process was frozen since the call before, and first handles what came meanwhile. */
  invoke(call: SandboxCall, sink: CallSink, thawed?: boolean): SandboxExchange
  /** The sandbox is gone: every open call gets `failed` (where it had no end yet) and `idle(false)`, boot and load reject. */
  fail(fault: Fault): void
  /** `fail` with KILLED, and the socket is destroyed. Idempotent. */
  close(): void
  /** Calls between `invoke` and `idle`. */
  readonly inFlight: number
  /** From now on what comes is also charged to the budget of its group. */
  share(budget: ReadBudget): void
}

const DEFAULT_MEMORY_BYTES = 128 * 1024 ** 2
/** The ids of so many ended calls are kept. */
const PAST_CALLS = 64
const CLOSED: Fault = { code: 'KILLED', message: 'the sandbox was destroyed' }

/** Takes over the socket to a sandbox. */
export function createChannel(socket: Duplex, options: ChannelOptions): Channel {
  return new SocketChannel(socket, options)
}

/** Something awaited from inside: READY or LOADED. */
class Awaited {
  readonly promise: Promise<void>
  readonly resolve: () => void
  readonly reject: (error: RuntimeError) => void

  constructor(clock: Clock, timeoutMs: number, onTimeout: () => RuntimeError) {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const stop = clock.after(timeoutMs, () => reject(onTimeout()))
    this.promise = promise
    this.resolve = () => {
      stop()
      resolve()
    }
    this.reject = (error) => {
      stop()
      reject(error)
    }
  }
}

type Phase = 'booting' | 'ready' | 'loading' | 'loaded' | 'unusable'

class SocketChannel implements Channel {
  readonly #socket: Duplex
  readonly #options: ChannelOptions
  readonly #decoder: FrameDecoder
  readonly #charges: WireCharges
  readonly #exchanges = new Map<number, Exchange>()
  readonly #forget = (id: number): void => {
    this.#exchanges.delete(id)
  }
  #phase: Phase = 'booting'
  #lastId = 0
  /** Ids of the last calls, by number. */
  readonly #past: string[] = new Array(PAST_CALLS).fill('')
  /** Number of the last call that the process said it had read; those after it never ran. */
  #receivedId = Number.POSITIVE_INFINITY
  /** Why nothing is read any more. */
  #deaf: Fault | null = null
  /** Why there is no sandbox any more: what new calls get. */
  #gone: Fault | null = null
  /** The process inside ended without having read all that was written. */
  #lastUnread = false
  #ready: Awaited | null = null
  #isPrepared = false
  #prepared: Awaited | null = null
  #loaded: Awaited | null = null
  #cache: CacheIntake | null = null
  #log: SandboxLog | null = null
  #cancelPause: (() => void) | null = null
  /** The bytes of a chunk are overwritten by the next: what is kept must be copied. */
  #reused = false

  constructor(socket: Duplex, options: ChannelOptions) {
    this.#socket = socket
    this.#options = options
    this.#charges = new WireCharges(options.clock)
    this.#decoder = new FrameDecoder(SANDBOX_FRAMES, (type, id, payload, own) => this.#onFrame(type, id, payload, own))
    const ended = () => this.#goDeaf({ code: 'EXITED', message: 'the process inside has ended' })
    socket.on('end', ended).on('close', ended)
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // unix(7): a peer that closes with unread bytes resets the connection. What was written last never reached the code.
      this.#lastUnread = error.code === 'ECONNRESET'
      this.#goDeaf({ code: 'EXITED', message: `the connection to the process inside failed: ${error.message}` })
    })
    if (!(socket instanceof WireSocket)) socket.on('data', (chunk: Buffer) => this.#onChunk(chunk))
    else {
      this.#reused = true
      socket.takeBytes((chunk) => this.#onChunk(chunk))
      // Its end may have come before anybody listened.
      if (socket.readableEnded || socket.destroyed) queueMicrotask(ended)
    }
  }

  get inFlight(): number {
    return this.#exchanges.size
  }

  ready(timeoutMs: number): Promise<void> {
    if (this.#gone !== null) return Promise.reject(stopped(this.#gone))
    if (this.#phase !== 'booting') return Promise.resolve()
    this.#ready ??= new Awaited(
      this.#options.clock,
      timeoutMs,
      () => new RuntimeError('BOOT_TIMEOUT', `the process inside did not get ready within ${timeoutMs} ms`),
    )
    return this.#ready.promise
  }

  prepared(timeoutMs: number): Promise<void> {
    if (this.#gone !== null) return Promise.reject(stopped(this.#gone))
    if (this.#isPrepared) return Promise.resolve()
    this.#prepared ??= new Awaited(
      this.#options.clock,
      timeoutMs,
      () => new RuntimeError('BOOT_TIMEOUT', `the process inside did not prepare itself within ${timeoutMs} ms`),
    )
    return this.#prepared.promise
  }

  load(code: Code, timeoutMs: number, log: SandboxLog): Promise<void> {
    if (this.#gone !== null) return Promise.reject(stopped(this.#gone))
    if (this.#phase !== 'ready') {
      return Promise.reject(new RuntimeError('SANDBOX_STATE', `cannot load code into a channel that is ${this.#phase}`))
    }
    this.#phase = 'loading'
    this.#log = log
    this.#loaded = new Awaited(this.#options.clock, timeoutMs, () => {
      const message = `the code did not load within ${formatDuration(timeoutMs)}`
      return new RuntimeError('LOAD_TIMEOUT', message, { fault: { code: 'LOAD_TIMEOUT', message } })
    })
    this.#sendCode(code)
    return this.#loaded.promise
  }

  codeCache(maxBytes: number, timeoutMs: number): Promise<Buffer | null> {
    if (this.#gone !== null) return Promise.reject(stopped(this.#gone))
    // One at most: after one that did not come in time its bytes may still come, and count as the same.
    if (this.#phase !== 'loaded' || this.#cache !== null) return Promise.resolve(null)
    this.#cache = new CacheIntake(this.#options.clock, maxBytes, timeoutMs)
    this.#socket.write(encodeCacheRequest(maxBytes))
    return this.#cache.promise
  }

  share(budget: ReadBudget): void {
    this.#charges.share(budget)
  }

  invoke(call: SandboxCall, sink: CallSink, thawed = false): SandboxExchange {
    const id = ++this.#lastId
    this.#charges.beginCall()
    const exchange = new Exchange(this.#socket, id, sink, this.#forget)
    const end = this.#gone ?? this.#deaf
    if (end !== null || this.#phase !== 'loaded') {
      const message = end?.message ?? `the sandbox has no code (${this.#phase})`
      queueMicrotask(() => exchange.fail({ code: 'NOT_SENT', message }))
      return exchange
    }
    try {
      exchange.send(call, this.#exchanges.size > 0, thawed)
      this.#exchanges.set(id, exchange)
      this.#past[id % PAST_CALLS] = call.id
    } catch (error) {
      // Nothing was written: the sandbox is as good as before.
      queueMicrotask(() => {
        sink.failed({ code: 'PROTOCOL', message: (error as Error).message })
        sink.idle(true)
      })
    }
    return exchange
  }

  fail(fault: Fault): void {
    this.#gone ??= fault
    this.#deaf ??= fault
    const error = stopped(this.#gone)
    this.#ready?.reject(error)
    this.#prepared?.reject(error)
    this.#loaded?.reject(error)
    this.#cache?.reject(error)
    const open = [...this.#exchanges]
    this.#exchanges.clear()
    // Only the call begun last can have been the last thing written.
    open.forEach(([id, exchange], index) => {
      exchange.fail(fault, id > this.#receivedId || (this.#lastUnread && index === open.length - 1))
    })
  }

  close(): void {
    this.fail(CLOSED)
    this.#cancelPause?.()
    this.#socket.destroy()
  }

  #sendCode(code: Code): void {
    const { fileName, form, env, functionName, version, source, cache = null, leftovers } = code
    const memoryBytes = this.#options.memoryBytes?.() ?? DEFAULT_MEMORY_BYTES
    const fate = leftovers === undefined ? {} : { leftovers }
    const config = Buffer.from(
      JSON.stringify({ fileName, form, env, functionName, version, memoryBytes, ...fate } satisfies InitConfig),
    )
    this.#socket.cork()
    this.#socket.write(encodeInit(config.length, source.length, cache?.length ?? 0))
    this.#sendCodePart(config)
    this.#sendCodePart(source)
    if (cache !== null) this.#sendCodePart(cache)
    this.#writeHeader(FRAME.END, 0)
    this.#socket.uncork()
  }

  #sendCodePart(part: Buffer): void {
    for (let from = 0; from < part.length; from += MAX_PAYLOAD_BYTES) {
      const chunk = part.subarray(from, from + MAX_PAYLOAD_BYTES)
      this.#writeHeader(FRAME.DATA, chunk.length)
      this.#socket.write(chunk)
    }
  }

  #writeHeader(type: number, length: number): void {
    const header = Buffer.allocUnsafe(FRAME_HEADER_BYTES)
    writeFrameHeader(header, 0, type, 0, length)
    this.#socket.write(header)
  }

  #onChunk(chunk: Buffer): void {
    this.#options.handling?.()
    if (this.#deaf !== null) return
    this.#charges.beginRead()
    try {
      this.#decoder.push(chunk)
    } catch (error) {
      this.#goDeaf(this.#faultOf(error))
      return
    }
    const pauseMs = this.#charges.pauseMs(chunk.length)
    if (pauseMs > 0 && this.#deaf === null) this.#stopReading(pauseMs)
  }

  /** CONTRACT: nothing that comes from inside ends the process. What was not foreseen costs its sandbox and no other. */
  #faultOf(error: unknown): Fault {
    if (error instanceof ProtocolError)
      return { code: 'PROTOCOL', message: `the sandbox broke the protocol: ${error.message}` }
    this.#options.onBug?.(error)
    return { code: 'KILLED', message: 'killed: the platform failed on what the sandbox sent' }
  }

  /** CONTRACT: a sandbox above its budget is left unread, so that it blocks and the host does not. */
  #stopReading(ms: number): void {
    this.#socket.pause()
    this.#cancelPause = this.#options.clock.after(ms, () => {
      this.#cancelPause = null
      if (this.#deaf === null) this.#socket.resume()
    })
  }

  #goDeaf(fault: Fault): void {
    if (this.#deaf !== null) return
    this.#deaf = fault
    this.#options.onFault(fault)
  }

  #onFrame(type: number, id: number, payload: Buffer, own: boolean): void {
    if (this.#deaf !== null) return
    if (type === FRAME.EXIT) this.#onExit(id, payload)
    else if (id === 0) this.#onSandboxFrame(type, payload)
    else {
      const exchange = this.#exchanges.get(id)
      if (exchange === undefined) {
        if (type !== FRAME.LOG || id > this.#lastId)
          throw new ProtocolError(`${frameName(type)} for invocation ${id}, which is not open`)
        this.#onLateLine(this.#pastCall(id), payload)
        return
      }
      this.#charges.frame(type, payload)
      exchange.onFrame(type, payload, own || !this.#reused)
    }
  }

  /** A line outside of every call that is open. */
  #onLateLine(invocation: string | null, payload: Buffer): void {
    this.#charges.pay(payload.length)
    const { stream, line } = parseLog(payload)
    this.#log?.(stream, line, invocation)
  }

  /** The id of the call with this number; null when that is too long ago. */
  #pastCall(id: number): string | null {
    return id > this.#lastId - PAST_CALLS ? this.#past[id % PAST_CALLS] || null : null
  }

  /** Frames of the sandbox itself: boot, load, and lines printed outside of every call. */
  #onSandboxFrame(type: number, payload: Buffer): void {
    if (type === FRAME.READY && this.#phase === 'booting') {
      this.#phase = 'ready'
      this.#ready?.resolve()
    } else if (type === FRAME.IDLE && this.#phase !== 'booting' && !this.#isPrepared) {
      this.#isPrepared = true
      this.#prepared?.resolve()
    } else if (this.#cache?.open && (type === FRAME.DATA || type === FRAME.END)) {
      this.#charges.pay(type === FRAME.DATA ? payload.length : 0)
      this.#cache.onFrame(type, payload)
    } else if (type === FRAME.LOADED && this.#phase === 'loading') {
      this.#phase = 'loaded'
      this.#loaded?.resolve()
    } else if (type === FRAME.FAIL && this.#phase === 'loading') {
      const fault = parseFault(payload)
      this.#phase = 'unusable'
      this.#log = null
      this.#loaded?.reject(new RuntimeError('LOAD_FAILED', fault.message, { fault: { ...fault, code: 'LOAD_FAILED' } }))
    } else if (type === FRAME.LOG) {
      this.#onLateLine(null, payload)
    } else throw new ProtocolError(`${frameName(type)} while ${this.#phase}`)
  }

  #onExit(id: number, payload: Buffer): void {
    const { exitCode, received, meant, message, stack } = parseExit(payload)
    if (received !== undefined) this.#receivedId = received
    const cause = message === undefined ? `exited with code ${exitCode}` : `ended by an error nobody caught: ${message}`
    const leftBy = id > 0 && id <= this.#lastId && !this.#exchanges.has(id) ? this.#pastCall(id) : null
    const left = leftBy === null ? '' : ` (left running by invocation ${leftBy}, which had ended)`
    this.#goDeaf({
      code: 'EXITED',
      message: `the function's process ${cause}${left}`,
      ...(stack === undefined ? {} : { stack }),
      data: { exitCode, ...(leftBy === null ? {} : { leftBy }), ...(meant ? { meant: 'leftovers' } : {}) },
    })
  }
}

function stopped(fault: Fault): RuntimeError {
  const code: RuntimeErrorCode = 'SANDBOX_STOPPED'
  return new RuntimeError(code, fault.message, { fault })
}
