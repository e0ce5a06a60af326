// One keep-alive HTTP/1.1 connection of the load generator: a request out, its whole response in, nothing else. Checks framing
// (Content-Length and chunked) and costs as little as it can, so that the server is what is measured.
import { connect, type Socket } from 'node:net'

export interface Answer {
  readonly status: number
  /** Head as received, latin1. */
  readonly head: string
  readonly bodyBytes: number
}

interface Waiting {
  resolve(answer: Answer): void
  reject(error: Error): void
}

const HEAD_END = Buffer.from('\r\n\r\n')
const EMPTY = Buffer.alloc(0)

/** Owns its socket; `close` frees it. One request at a time. */
export class HttpConnection {
  readonly #socket: Socket
  #received: Buffer = EMPTY
  #waiting: Waiting | null = null

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.once('error', (error) => this.#fail(error))
    socket.once('close', () => this.#fail(new Error('the server closed the connection')))
  }

  /** Connects to 127.0.0.1. */
  static open(port: number): Promise<HttpConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port })
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(new HttpConnection(socket))
      })
    })
  }

  /** Sends a whole request and resolves when the whole response is here. Rejects when the connection breaks. */
  exchange(request: Buffer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      this.#socket.write(request)
    })
  }

  close(): void {
    this.#waiting = null
    this.#socket.destroy()
  }

  #take(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    let answer: ReturnType<typeof parseAnswer>
    try {
      answer = parseAnswer(this.#received)
    } catch (error) {
      this.#socket.destroy(error as Error)
      return
    }
    if (answer === null) return
    const waiting = this.#waiting
    // One request at a time: bytes after a whole response answer nothing.
    if (answer.bytes !== this.#received.length || waiting === null) {
      this.#socket.destroy(new Error('the server sent more than one response'))
      return
    }
    this.#waiting = null
    this.#received = EMPTY
    waiting.resolve(answer)
  }

  #fail(error: Error): void {
    const waiting = this.#waiting
    this.#waiting = null
    waiting?.reject(error)
  }
}

/** A complete response at the start of `bytes` and its length in all, or null while it is incomplete. Throws on bad framing. */
export function parseAnswer(bytes: Buffer): (Answer & { readonly bytes: number }) | null {
  const headEnd = bytes.indexOf(HEAD_END)
  if (headEnd < 0) return null
  const head = bytes.toString('latin1', 0, headEnd)
  const status = Number(head.slice(9, 12))
  const start = headEnd + 4
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)
  if (length) {
    const bodyBytes = Number(length[1])
    return bytes.length < start + bodyBytes ? null : { status, head, bodyBytes, bytes: start + bodyBytes }
  }
  if (/\r\ntransfer-encoding: *chunked/i.test(head)) {
    const body = measureChunks(bytes, start)
    return body === null ? null : { status, head, bodyBytes: body.bodyBytes, bytes: body.end }
  }
  if (status === 204 || status === 304) return { status, head, bodyBytes: 0, bytes: start }
  throw new Error(`a response without length:\n${head}`)
}

function measureChunks(bytes: Buffer, start: number): { readonly bodyBytes: number; readonly end: number } | null {
  let at = start
  let bodyBytes = 0
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at)
    if (lineEnd < 0) return null
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16)
    if (Number.isNaN(size)) throw new Error('a chunk without size')
    if (size === 0) {
      // Trailers, or none: the empty line ends both.
      const end = bytes.indexOf(HEAD_END, lineEnd)
      return end < 0 ? null : { bodyBytes, end: end + 4 }
    }
    bodyBytes += size
    at = lineEnd + 2 + size + 2
    if (at > bytes.length) return null
  }
}
