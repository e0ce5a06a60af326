// Turns a listener for Node's http server (Express, Koa, any (req, res) function) into a fetch handler: Node's own
// IncomingMessage and ServerResponse, without a socket. Bundled into the function's code; knows nothing of the platform.
import { IncomingMessage, ServerResponse } from 'node:http'
import { Duplex } from 'node:stream'
import type { Context, Env, FetchHandler } from './handler.ts'

/** `(req, res)`, as given to `http.createServer`. */
export type NodeListener = (request: IncomingMessage, response: ServerResponse) => unknown
/** A listener, or an app that makes one (`app.callback()` of Koa). */
export type NodeApp = NodeListener | { callback(): NodeListener }

/** A fetch handler around `app`. A listener that throws or rejects before it answered makes the call fail. */
export function fromNode(app: NodeApp): FetchHandler {
  const listener = typeof app === 'function' ? app : app.callback()
  return {
    fetch(request: Request, _env: Env, ctx?: Context): Promise<Response> {
      const socket = new NoSocket(request)
      const incoming = new WebIncomingMessage(socket, request, ctx?.rawUrl)
      const outgoing = new WebServerResponse(incoming)
      request.signal.addEventListener('abort', () => leave(incoming, outgoing), { once: true })
      const handled = new Promise<unknown>((resolve) => resolve(listener(incoming, outgoing)))
      handled.catch((error: unknown) => outgoing.fail(error))
      return outgoing.answer
    },
  }
}

/** The caller is gone: both ends close, as they do when a connection breaks. */
function leave(incoming: IncomingMessage, outgoing: WebServerResponse): void {
  incoming.destroy()
  outgoing.fail(new DOMException('the caller has left', 'AbortError'))
  outgoing.destroy()
}

/** What frameworks ask a connection for; nothing is read from or written to it. */
class NoSocket extends Duplex {
  readonly encrypted: boolean
  readonly remoteAddress: string
  readonly remotePort = 0
  readonly remoteFamily = 'IPv4'
  readonly localAddress = '127.0.0.1'
  readonly localPort = 0

  constructor(request: Request) {
    super()
    this.encrypted = request.url.startsWith('https:')
    this.remoteAddress = request.headers.get('x-forwarded-for')?.split(',')[0]?.trim() ?? '127.0.0.1'
  }
  override _read(): void {}
  override _write(_chunk: unknown, _encoding: string, done: () => void): void {
    done()
  }
  setTimeout(): this {
    return this
  }
  setKeepAlive(): this {
    return this
  }
  setNoDelay(): this {
    return this
  }
  address(): object {
    return {}
  }
  ref(): this {
    return this
  }
  unref(): this {
    return this
  }
}

/** Node's own way to set rawHeaders so that headers and headersDistinct follow from them. */
interface HeaderLines {
  _addHeaderLines(lines: string[], count: number): void
}

class WebIncomingMessage extends IncomingMessage {
  readonly #body: ReadableStream<Uint8Array> | null
  #reader: ReadableStreamDefaultReader<Uint8Array> | null = null

  constructor(socket: NoSocket, request: Request, rawUrl: string | undefined) {
    super(socket as never)
    const { pathname, search } = rawUrl === undefined ? new URL(request.url) : { pathname: rawUrl, search: '' }
    this.method = request.method
    this.url = pathname + search
    this.httpVersion = '1.1'
    this.httpVersionMajor = 1
    this.httpVersionMinor = 1
    const lines = rawHeaders(request)
    ;(this as unknown as HeaderLines)._addHeaderLines(lines, lines.length)
    this.#body = request.body
  }

  override _read(): void {
    if (this.#body === null) {
      this.#finish()
      return
    }
    this.#reader ??= this.#body.getReader()
    this.#reader.read().then(
      ({ done, value }) => {
        if (done) this.#finish()
        else this.push(value.length === 0 ? undefined : value)
      },
      (error: Error) => this.destroy(error),
    )
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.complete) {
      this.aborted = true
      this.#reader?.cancel(error ?? undefined).catch(() => undefined)
    }
    // The message's own _destroy would reach for a real socket.
    process.nextTick(done, error)
  }

  #finish(): void {
    this.complete = true
    this.push(null)
  }
}

/** Raw header lines where the platform gives them, else those of the Headers object. */
function rawHeaders(request: Request): string[] {
  const raw = (request as unknown as { [key: symbol]: unknown })[Symbol.for('thaw.rawHeaders')]
  if (Array.isArray(raw)) return [...raw]
  return [...request.headers].flat()
}

/** The parts of Node's OutgoingMessage that the response stands on. */
interface Outgoing {
  _header: string | null
  _headerSent: boolean
  finished: boolean
}

const STREAM_HIGH_WATER_BYTES = 64 * 1024

/** A response whose head and body go to a web Response instead of a socket. */
class WebServerResponse extends ServerResponse {
  readonly answer: Promise<Response>
  readonly #resolve: (response: Response) => void
  readonly #reject: (error: unknown) => void
  /** Body parts written before the Response was made. */
  #early: Buffer[] = []
  #earlyDone: (() => void)[] = []
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null
  #settled = false
  #closed = false

  constructor(request: IncomingMessage) {
    super(request)
    // No socket to say "Connection: keep-alive" on and no chunked framing: the bytes given to _send are the body.
    this.useChunkedEncodingByDefault = false
    this.shouldKeepAlive = false
    this.sendDate = false
    const { promise, resolve, reject } = Promise.withResolvers<Response>()
    this.answer = promise
    this.#resolve = resolve
    this.#reject = reject
    this.assignSocket(request.socket)
  }

  /** Fails the call: before the head by rejecting, after it by breaking the body off. */
  fail(error: unknown): void {
    if (this.#closed) return
    this.#closed = true
    if (this.#settled) this.#controller?.error(error)
    else this.#reject(error)
    this.#settled = true
  }

  /** What OutgoingMessage calls with every piece of body, and with nothing to get the head out. */
  _send(data: string | Uint8Array, encoding?: BufferEncoding | null, callback?: (() => void) | null): boolean {
    const outgoing = this as unknown as Outgoing
    if (!outgoing._headerSent) {
      outgoing._headerSent = true
      // A body that ends within this tick leaves in one piece, without a stream.
      process.nextTick(() => this.#startStream())
    }
    const chunk = typeof data === 'string' ? Buffer.from(data, encoding ?? 'utf8') : data
    const done = callback ?? undefined
    if (this.#controller !== null) return this.#pushToStream(chunk, done)
    // The array may be changed by its owner once the callback has run: keep a copy.
    if (chunk.length > 0) this.#early.push(Buffer.from(chunk))
    if (done !== undefined) this.#earlyDone.push(done)
    return this.#early.length < 16
  }

  override end(...parameters: unknown[]): this {
    const before = this.writableEnded
    ;(super.end as (...parameters: unknown[]) => unknown)(...parameters)
    if (before) return this
    if (!this.#settled) this.#finishWhole()
    else this.#closeStream()
    process.nextTick(() => {
      if (!this.writableFinished) this.emit('finish')
      this.detachSocket(this.req.socket)
      if (!this.destroyed) this.destroy()
    })
    return this
  }

  override destroy(error?: Error): this {
    if (this.destroyed) return this
    this.destroyed = true
    if (!this.writableEnded) this.fail(error ?? new Error('the response was destroyed before its end'))
    process.nextTick(() => this.emit('close'))
    return this
  }

  #finishWhole(): void {
    this.#settled = true
    this.#closed = true
    const { status, headers } = parseHead((this as unknown as Outgoing)._header!)
    const body = hasBody(status) && this.#early.length > 0 ? Buffer.concat(this.#early) : null
    this.#early = []
    this.#resolve(new Response(body as BodyInit | null, { status, headers }))
    for (const done of this.#earlyDone.splice(0)) process.nextTick(done)
  }

  #startStream(): void {
    if (this.#settled) return
    this.#settled = true
    const { status, headers } = parseHead((this as unknown as Outgoing)._header!)
    const stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller
        },
        pull: () => {
          for (const done of this.#earlyDone.splice(0)) done()
          this.emit('drain')
        },
        cancel: () => {
          this.#closed = true
          this.destroy()
        },
      },
      { highWaterMark: STREAM_HIGH_WATER_BYTES, size: (chunk) => chunk.length },
    )
    for (const chunk of this.#early.splice(0)) this.#controller!.enqueue(chunk)
    this.#resolve(new Response(hasBody(status) ? stream : null, { status, headers }))
  }

  #pushToStream(chunk: Uint8Array, done: (() => void) | undefined): boolean {
    if (this.#closed) {
      if (done !== undefined) process.nextTick(done)
      return false
    }
    if (chunk.length > 0) this.#controller!.enqueue(Uint8Array.from(chunk))
    const roomy = (this.#controller!.desiredSize ?? 0) > 0
    if (done !== undefined) {
      if (roomy) process.nextTick(done)
      else this.#earlyDone.push(done)
    }
    return roomy
  }

  #closeStream(): void {
    if (this.#closed) return
    this.#closed = true
    this.#controller?.close()
  }
}

/** Status and headers of the head that Node composed; its framing headers have no meaning here. */
function parseHead(text: string): { status: number; headers: [string, string][] } {
  const [statusLine, ...lines] = text.split('\r\n')
  const headers: [string, string][] = []
  for (const line of lines) {
    const at = line.indexOf(':')
    const name = line.slice(0, at).toLowerCase()
    if (at > 0 && name !== 'connection' && name !== 'keep-alive' && name !== 'transfer-encoding') {
      headers.push([name, line.slice(at + 1).trim()])
    }
  }
  return { status: Number(statusLine!.split(' ')[1]), headers }
}

function hasBody(status: number): boolean {
  return status !== 204 && status !== 205 && status !== 304
}
