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
      const incoming = createIncoming(request, ctx?.rawUrl)
      const outgoing = new ServerResponse(incoming)
      const reply = new Reply(incoming, outgoing)
      const leave = () => {
        incoming.destroy()
        reply.fail(new DOMException('the caller has left', 'AbortError'))
        outgoing.destroy()
      }
      request.signal.addEventListener('abort', leave, { once: true })
      const handled = new Promise<unknown>((resolve) => resolve(listener(incoming, outgoing)))
      handled.catch((error: unknown) => reply.fail(error))
      return reply.response
    },
  }
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

/** The parts of Node's IncomingMessage that its parser uses. */
interface Parsed {
  /** Sets rawHeaders so that headers and headersDistinct follow from them. */
  _addHeaderLines(lines: string[], count: number): void
  _consumed: boolean
  _readableState: { readingMore: boolean }
  _read(): void
  _destroy(error: Error | null, done: (error?: Error | null) => void): void
}

/** A request message that reads the web request's body.
 *  CONTRACT: overrides are own properties, for Express exchanges the prototypes of request and response. */
function createIncoming(request: Request, rawUrl: string | undefined): IncomingMessage {
  const incoming = new IncomingMessage(new NoSocket(request) as never)
  const parsed = incoming as unknown as Parsed
  const { pathname, search } = rawUrl === undefined ? new URL(request.url) : { pathname: rawUrl, search: '' }
  const lines = rawHeaders(request)
  incoming.method = request.method
  incoming.url = pathname + search
  Object.assign(incoming, { httpVersion: '1.1', httpVersionMajor: 1, httpVersionMinor: 1 })
  parsed._addHeaderLines(lines, lines.length)
  // The parser would clear this with its first read: until then the stream asks for nothing.
  parsed._readableState.readingMore = false
  parsed._consumed = true
  const reader = request.body?.getReader() ?? null
  const finish = () => {
    incoming.complete = true
    incoming.push(null)
  }
  parsed._read = () => {
    if (reader === null) {
      finish()
      return
    }
    reader.read().then(
      ({ done, value }) => (done ? finish() : incoming.push(value)),
      (error: Error) => incoming.destroy(error),
    )
  }
  // The message's own _destroy would reach for a real socket.
  parsed._destroy = (error, done) => {
    if (!incoming.complete) {
      incoming.aborted = true
      reader?.cancel(error ?? undefined).catch(() => undefined)
    }
    process.nextTick(done, error)
  }
  return incoming
}

/** Raw header lines where the platform gives them, else those of the Headers object. */
function rawHeaders(request: Request): string[] {
  const raw = (request as unknown as { [key: symbol]: unknown })[Symbol.for('thaw.rawHeaders')]
  if (Array.isArray(raw)) return [...raw]
  return [...request.headers].flat()
}

/** The parts of Node's OutgoingMessage that the reply stands on. */
interface Outgoing {
  _header: string | null
  _headerSent: boolean
  _send(data: string | Uint8Array, encoding?: BufferEncoding | null, callback?: (() => void) | null): boolean
}

const STREAM_HIGH_WATER_BYTES = 64 * 1024
const EARLY_HIGH_WATER_BYTES = 64 * 1024

/** Takes what a ServerResponse would write to its socket and makes a web Response of it. */
class Reply {
  readonly response: Promise<Response>
  readonly #outgoing: ServerResponse & Outgoing
  readonly #resolve: (response: Response) => void
  readonly #reject: (error: unknown) => void
  /** Body parts written before the Response was made. */
  #early: Buffer[] = []
  #earlyBytes = 0
  /** Callbacks of writes that wait for room. */
  #waiting: (() => void)[] = []
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null
  /** A write was answered with false: `drain` is owed. */
  #full = false
  #resolved = false
  #closed = false

  constructor(incoming: IncomingMessage, outgoing: ServerResponse) {
    const { promise, resolve, reject } = Promise.withResolvers<Response>()
    this.response = promise
    this.#resolve = resolve
    this.#reject = reject
    this.#outgoing = outgoing as ServerResponse & Outgoing
    // No chunked framing: what is given to _send is the body as it is.
    outgoing.useChunkedEncodingByDefault = false
    outgoing.shouldKeepAlive = false
    outgoing.sendDate = false
    outgoing.assignSocket(incoming.socket)
    this.#override(incoming)
  }

  /** Fails the call: before the head by rejecting, after it by breaking the body off. */
  fail(error: unknown): void {
    if (this.#closed) return
    this.#closed = true
    if (this.#resolved) this.#controller?.error(error)
    else this.#reject(error)
    this.#resolved = true
  }

  #override(incoming: IncomingMessage): void {
    const outgoing = this.#outgoing
    const end = outgoing.end as (...parameters: unknown[]) => unknown
    outgoing._send = (data, encoding, callback) => this.#send(data, encoding ?? 'utf8', callback ?? null)
    outgoing.end = ((...parameters: unknown[]) => {
      const again = outgoing.writableEnded
      end.apply(outgoing, parameters)
      if (!again) this.#ended(incoming)
      return outgoing
    }) as typeof outgoing.end
    outgoing.destroy = (error?: Error) => {
      if (outgoing.destroyed) return outgoing
      outgoing.destroyed = true
      if (!outgoing.writableEnded) this.fail(error ?? new Error('the response was destroyed before its end'))
      process.nextTick(() => outgoing.emit('close'))
      return outgoing
    }
  }

  /** Called with every piece of body, and with nothing to get the head out. */
  #send(data: string | Uint8Array, encoding: BufferEncoding, callback: (() => void) | null): boolean {
    if (!this.#outgoing._headerSent) {
      this.#outgoing._headerSent = true
      // A body that ends within this tick leaves in one piece, without a stream.
      process.nextTick(() => this.#startStream())
    }
    // The caller may change its bytes once the callback has run: keep a copy.
    const chunk = typeof data === 'string' ? Buffer.from(data, encoding) : Buffer.from(data)
    if (!this.#closed && chunk.length > 0) this.#keep(chunk)
    const roomy = this.#hasRoom()
    this.#full ||= !roomy
    if (callback !== null) {
      if (roomy || this.#closed) process.nextTick(callback)
      else this.#waiting.push(callback)
    }
    return roomy
  }

  #keep(chunk: Buffer): void {
    if (this.#controller !== null) {
      this.#controller.enqueue(chunk)
      return
    }
    this.#early.push(chunk)
    this.#earlyBytes += chunk.length
  }

  #hasRoom(): boolean {
    if (this.#controller === null) return this.#earlyBytes < EARLY_HIGH_WATER_BYTES
    return !this.#closed && (this.#controller.desiredSize ?? 0) > 0
  }

  #ended(incoming: IncomingMessage): void {
    if (!this.#resolved) this.#resolveWhole()
    else if (!this.#closed) {
      this.#closed = true
      this.#controller?.close()
    }
    process.nextTick(() => {
      if (!this.#outgoing.writableFinished) this.#outgoing.emit('finish')
      this.#outgoing.detachSocket(incoming.socket)
      this.#outgoing.destroy()
    })
  }

  #resolveWhole(): void {
    this.#resolved = true
    this.#closed = true
    const { status, headers } = parseHead(this.#outgoing._header!)
    const body = hasBody(status) && this.#earlyBytes > 0 ? Buffer.concat(this.#early) : null
    this.#early = []
    this.#answer(body, status, headers)
    for (const done of this.#waiting.splice(0)) process.nextTick(done)
  }

  #startStream(): void {
    if (this.#resolved) return
    this.#resolved = true
    const { status, headers } = parseHead(this.#outgoing._header!)
    const stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller
        },
        pull: () => {
          for (const done of this.#waiting.splice(0)) done()
          if (!this.#full) return
          this.#full = false
          this.#outgoing.emit('drain')
        },
        cancel: () => {
          this.#closed = true
          this.#outgoing.destroy()
        },
      },
      { highWaterMark: STREAM_HIGH_WATER_BYTES, size: (chunk) => chunk.length },
    )
    for (const chunk of this.#early.splice(0)) this.#controller!.enqueue(chunk)
    this.#answer(hasBody(status) ? stream : null, status, headers)
  }

  /** A status that no answer can have (101) fails the call: thrown here it would end up in nobody's hands. */
  #answer(
    body: Buffer<ArrayBuffer> | ReadableStream<Uint8Array> | null,
    status: number,
    headers: [string, string][],
  ): void {
    try {
      this.#resolve(new Response(body, { status, headers }))
    } catch (error) {
      this.#reject(error)
    }
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
