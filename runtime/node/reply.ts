// The answer: what a ServerResponse would write to its socket becomes a web Response, whole where it ends within a tick, else a
// stream with back-pressure. What happens to the connection happens to the call.
import { type IncomingMessage, OutgoingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { NoSocket } from './no-socket.ts'

/** The parts of Node's OutgoingMessage that the reply stands on. */
interface Outgoing {
  _header: string | null
  _headerSent: boolean
  _closed: boolean
  _storeHeader(firstLine: string, headers: unknown): void
  _send(data: string | Uint8Array, encoding?: BufferEncoding | null, callback?: (() => void) | null): boolean
}

const STREAM_HIGH_WATER_BYTES = 64 * 1024
const EARLY_HIGH_WATER_BYTES = 64 * 1024
/** Node's own note that `drain` is owed: what `writableNeedDrain` reads. */
const NEED_DRAIN = Object.getOwnPropertySymbols(new OutgoingMessage()).find(
  ({ description }) => description === 'kNeedDrain',
)

export interface ReplyParts {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
  readonly socket: NoSocket
  /** Called when the response has ended. */
  readonly ended: () => void
}

/** Takes what a ServerResponse would write to its socket and makes a web Response of it. */
export class Reply {
  readonly response: Promise<Response>
  readonly #incoming: IncomingMessage
  readonly #outgoing: ServerResponse & Outgoing
  readonly #socket: NoSocket
  readonly #whenEnded: () => void
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

  constructor({ incoming, outgoing, socket, ended }: ReplyParts) {
    const { promise, resolve, reject } = Promise.withResolvers<Response>()
    this.response = promise
    this.#resolve = resolve
    this.#reject = reject
    this.#incoming = incoming
    this.#outgoing = outgoing as ServerResponse & Outgoing
    this.#socket = socket
    this.#whenEnded = ended
    outgoing.assignSocket(socket)
    this.#override()
    socket.once('close', () => this.#cut())
    socket.on('timeout', () => this.#timedOut())
  }

  /** Fails the call: before the head by rejecting, after it by breaking the body off. */
  fail(error: unknown): void {
    if (this.#closed) return
    this.#closed = true
    if (this.#resolved) this.#controller?.error(error)
    else this.#reject(error)
    this.#resolved = true
  }

  #override(): void {
    const outgoing = this.#outgoing
    const { end, _storeHeader: store } = outgoing
    outgoing._storeHeader = (firstLine, headers) => {
      // The platform's own server dates and frames: what is given to _send is the body as it is. Node decides before whether the
      // head may announce trailers.
      const { sendDate } = outgoing
      outgoing.sendDate = false
      store.call(outgoing, firstLine, headers)
      outgoing.sendDate = sendDate
      outgoing.chunkedEncoding = false
    }
    outgoing._send = (data, encoding, callback) => this.#send(data, encoding ?? 'utf8', callback ?? null)
    outgoing.end = ((...parameters: unknown[]) => {
      const again = outgoing.writableEnded
      ;(end as (...parameters: unknown[]) => unknown).apply(outgoing, parameters)
      if (!again) this.#ended()
      return outgoing
    }) as typeof outgoing.end
  }

  /** The connection is gone: what Node's server does then to a request and a response that have not ended. */
  #cut(): void {
    const { reason } = this.#socket
    this.fail(reason ?? new Error('the connection was destroyed before the end of the response'))
    const incoming = this.#incoming
    if (!incoming.destroyed && !(incoming.complete && incoming.readableEnded)) {
      incoming.destroy(Object.assign(new Error('aborted'), { code: 'ECONNRESET' }))
    }
    for (const done of this.#waiting.splice(0)) process.nextTick(done)
  }

  /** Nothing passed for as long as `setTimeout` said: a listener decides; without one the connection is closed. */
  #timedOut(): void {
    const heard = !this.#incoming.complete && this.#incoming.emit('timeout', this.#socket)
    if (!this.#outgoing.emit('timeout', this.#socket) && !heard) this.#socket.destroy()
  }

  /** Called with every piece of body, and with nothing to get the head out. */
  #send(data: string | Uint8Array, encoding: BufferEncoding, callback: (() => void) | null): boolean {
    this.#socket.touch()
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

  #ended(): void {
    if (!this.#resolved) this.#resolveWhole()
    else if (!this.#closed) {
      this.#closed = true
      this.#controller?.close()
    }
    // Nothing asks for more once the body is closed: what waited has been taken.
    for (const done of this.#waiting.splice(0)) process.nextTick(done)
    process.nextTick(() => this.#close())
  }

  /** ORDER: after the callback of the last write, which says `finish`. */
  #close(): void {
    const outgoing = this.#outgoing
    const socket = this.#socket
    socket.setTimeout(0)
    if (outgoing.socket !== null && !socket.destroyed) outgoing.detachSocket(socket)
    this.#whenEnded()
    if (outgoing._closed) return
    outgoing.destroyed = true
    outgoing._closed = true
    outgoing.emit('close')
  }

  #resolveWhole(): void {
    this.#resolved = true
    this.#closed = true
    const head = parseHead(this.#outgoing._header!)
    const body = hasBody(head.status) && this.#earlyBytes > 0 ? Buffer.concat(this.#early) : null
    this.#early = []
    this.#answer(body, head)
  }

  #startStream(): void {
    if (this.#resolved) return
    this.#resolved = true
    const head = parseHead(this.#outgoing._header!)
    const stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller
        },
        pull: () => {
          for (const done of this.#waiting.splice(0)) done()
          if (!this.#full) return
          this.#full = false
          if (NEED_DRAIN !== undefined) Object.assign(this.#outgoing, { [NEED_DRAIN]: false })
          this.#outgoing.emit('drain')
        },
        cancel: () => {
          this.#closed = true
          this.#socket.destroy()
        },
      },
      { highWaterMark: STREAM_HIGH_WATER_BYTES, size: (chunk) => chunk.length },
    )
    for (const chunk of this.#early.splice(0)) this.#controller!.enqueue(chunk)
    this.#answer(hasBody(head.status) ? stream : null, head)
  }

  /** A status that no answer can have (101) fails the call: thrown here, nothing would catch it. */
  #answer(
    body: Buffer<ArrayBuffer> | ReadableStream<Uint8Array> | null,
    head: { status: number; statusText: string; headers: [string, string][] },
  ): void {
    try {
      this.#resolve(new Response(body, head))
    } catch (error) {
      this.#reject(error)
    }
  }
}

/** Status, reason phrase and headers of the head that Node composed; its framing headers have no meaning here, and trailers are not sent. */
function parseHead(text: string): { status: number; statusText: string; headers: [string, string][] } {
  const [statusLine, ...lines] = text.split('\r\n')
  const headers: [string, string][] = []
  for (const line of lines) {
    const at = line.indexOf(':')
    const name = line.slice(0, at).toLowerCase()
    if (
      at > 0 &&
      name !== 'connection' &&
      name !== 'keep-alive' &&
      name !== 'transfer-encoding' &&
      name !== 'trailer'
    ) {
      headers.push([name, line.slice(at + 1).trim()])
    }
  }
  const [, code, reason] = /^\S+ (\d+) ?(.*)$/.exec(statusLine!)!
  const status = Number(code)
  // What every server says of this status need not travel.
  const statusText = reason === STATUS_CODES[status] || reason === 'unknown' ? '' : reason!
  return { status, statusText, headers }
}

function hasBody(status: number): boolean {
  return status !== 204 && status !== 205 && status !== 304
}
