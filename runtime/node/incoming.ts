// The request as Node's own IncomingMessage: head and body from the web request, the rest (trailers, abort, time-out) as Node does
// it. Reads the body only as far as the code asks.
import { IncomingMessage } from 'node:http'
import type { NoSocket } from './no-socket.ts'

/** The parts of Node's IncomingMessage that its parser uses. */
interface Parsed {
  /** Sets rawHeaders so that headers and headersDistinct follow from them. */
  _addHeaderLines(lines: string[], count: number): void
  _consumed: boolean
  _readableState: { readingMore: boolean }
  _read(): void
}

/** A request message, and what ends it when the code has not begun to read it. */
export interface Incoming {
  readonly incoming: IncomingMessage
  readonly dropUnread: () => void
}

/** A request message that reads the web request's body.
 *  CONTRACT: overrides are own properties, for Express exchanges the prototypes of request and response. */
export function createIncoming(request: Request, socket: NoSocket, rawUrl: string | undefined): Incoming {
  const incoming = new IncomingMessage(socket)
  const parsed = incoming as unknown as Parsed
  const { pathname, search } = rawUrl === undefined ? new URL(request.url) : { pathname: rawUrl, search: '' }
  const lines = rawHeaders(request)
  incoming.method = request.method
  incoming.url = pathname + search
  Object.assign(incoming, { httpVersion: '1.1', httpVersionMajor: 1, httpVersionMinor: 1, upgrade: false })
  parsed._addHeaderLines(lines, lines.length)
  // The parser would clear this with its first read: until then the stream asks for nothing.
  parsed._readableState.readingMore = false
  parsed._consumed = true
  const dropUnread = readBody(request.body?.getReader() ?? null, incoming, socket)
  return { incoming, dropUnread }
}

function readBody(
  reader: ReadableStreamDefaultReader<Uint8Array> | null,
  incoming: IncomingMessage,
  socket: NoSocket,
): () => void {
  const finish = () => {
    if (incoming.complete) return
    incoming.complete = true
    incoming.push(null)
  }
  if (reader === null) {
    ;(incoming as unknown as Parsed)._read = () => undefined
    // Node's parser says so when the handler has run.
    process.nextTick(finish)
    return () => {
      if (!incoming.readableDidRead && incoming.readableFlowing === null) incoming.resume()
    }
  }
  ;(incoming as unknown as Parsed)._read = () => {
    reader.read().then(
      ({ done, value }) => {
        socket.touch()
        if (done) finish()
        else incoming.push(value)
      },
      (error: Error) => incoming.destroy(error),
    )
  }
  incoming.once('close', () => {
    if (!incoming.complete) reader.cancel().catch(() => undefined)
  })
  return () => {
    if (incoming.readableDidRead || incoming.readableFlowing !== null) return
    reader.cancel().catch(() => undefined)
    finish()
    incoming.resume()
  }
}

/** Raw header lines where the platform gives them, else those of the Headers object. */
function rawHeaders(request: Request): string[] {
  const raw = (request as unknown as { [key: symbol]: unknown })[Symbol.for('thaw.rawHeaders')]
  if (Array.isArray(raw)) return [...raw]
  return [...request.headers].flat()
}
