// Owns how a refusal reaches the wire on a node:http response: problem+json, and a careful end when the request's body has
// not been read. Decides no status: errors.ts does.
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Refusal } from './errors.ts'
import type { GatewayResponse } from './response.ts'

export const PROBLEM_TYPE = 'application/problem+json'

/** What may still arrive of an unread body before its connection is cut, and for how long. */
const LINGER_BYTES = 64 * 1024 * 1024
const LINGER_MS = 5000

/** Answers with a problem. `extra` is a flat header list. After the head was sent it can only cut the connection. */
export function answerProblem(
  incoming: IncomingMessage,
  outgoing: GatewayResponse,
  refusal: Refusal,
  extra: readonly string[] = [],
): void {
  if (outgoing.headersSent) {
    outgoing.destroy()
    return
  }
  if (outgoing.destroyed) return
  const body = Buffer.from(JSON.stringify(refusal.problem))
  const headers = ['Content-Type', PROBLEM_TYPE, 'Content-Length', String(body.length), 'Cache-Control', 'no-store']
  headers.push(...refusal.headers, ...extra)
  if (refusal.headers.includes('Connection')) closeAfter(incoming.socket)
  const expecting = outgoing.awaitsContinue
  const unread = !incoming.complete && hasBody(incoming)
  if (!expecting && !unread) {
    outgoing.writeHead(refusal.problem.status, headers)
    outgoing.end(incoming.method === 'HEAD' ? undefined : body)
    return
  }
  headers.push('Connection', 'close')
  closeAfter(incoming.socket)
  outgoing.writeHead(refusal.problem.status, headers)
  if (expecting) {
    // The client holds its body back, so nothing unread can turn the close into a reset.
    outgoing.end(body)
    return
  }
  // ORDER: all of the answer first, then read on for a while, then end. Ending at once closes the socket while bytes are
  // unread, and the kernel's reset may take the answer from the client.
  outgoing.write(body)
  outgoing.lingers = true
  linger(incoming, outgoing)
}

type Connection = Duplex & { thawCloses?: boolean }

/** Later requests on this connection are not read. */
function closeAfter(socket: Connection): void {
  socket.thawCloses = true
}

/** Whether the connection's last answer was given: node may have read further requests from it already. */
export function isClosing(socket: Connection): boolean {
  return socket.thawCloses === true
}

function hasBody(incoming: IncomingMessage): boolean {
  const length = incoming.headers['content-length']
  return incoming.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0')
}

function linger(incoming: IncomingMessage, outgoing: GatewayResponse): void {
  let bytes = 0
  const finish = (): void => {
    clearTimeout(timer)
    if (!outgoing.writableEnded) outgoing.end()
  }
  const timer = setTimeout(finish, LINGER_MS)
  timer.unref()
  incoming.removeAllListeners('data')
  incoming.unpipe()
  incoming.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > LINGER_BYTES) finish()
  })
  incoming.once('close', finish)
  incoming.once('error', finish)
  incoming.resume()
}

/** A whole answer for a socket whose request never became one (parse errors, upgrades), as bytes. */
export function rawProblem(refusal: Refusal): Buffer {
  const body = JSON.stringify(refusal.problem)
  const { status, title } = refusal.problem
  let head = `HTTP/1.1 ${status} ${title}\r\nContent-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`
  for (let index = 0; index < refusal.headers.length; index += 2)
    head += `${refusal.headers[index]}: ${refusal.headers[index + 1]}\r\n`
  return Buffer.from(`${head}Connection: close\r\n\r\n${body}`)
}

/** Writes `rawProblem` and closes; a socket that is gone is left alone. */
export function refuseSocket(socket: Duplex, refusal: Refusal): void {
  if (!socket.writable) {
    socket.destroy()
    return
  }
  socket.on('error', () => socket.destroy())
  socket.end(rawProblem(refusal), () => socket.destroy())
}
