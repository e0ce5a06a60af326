// Owns a request's body on its way in: gathering a small one, streaming a large one with a bound and without ever letting its
// reader destroy the connection, and throwing away what nobody reads. How long it may take: upload-watch.ts.
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { formatBytes } from '../../runtime/api.ts'
import { GatewayError } from '../errors.ts'

/** Bodies up to this length, when declared, arrive as one Buffer. */
export const GATHER_BYTES = 64 * 1024

/** Collects a body of exactly `length` bytes, then calls `done` once; never when the client leaves first. */
export function gatherBody(incoming: IncomingMessage, length: number, done: (body: Buffer) => void): void {
  let chunks: Buffer[] | null = null
  let bytes = 0
  incoming.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (chunks === null && bytes === length) {
      done(chunk)
      return
    }
    chunks ??= []
    chunks.push(chunk)
    if (bytes === length) done(Buffer.concat(chunks, length))
  })
  // An aborted upload is noticed by the response's close.
  incoming.on('error', ignore)
}

function ignore(): void {}

/** A body as a stream of its own, at most `limit` bytes. Pulls from the request only what is read, holds one chunk at most, and
 *  may be destroyed without harm to the connection, over which the answer still has to go.
 *  Fails with BODY_ABORTED when the upload ends early and with BODY_TOO_LARGE beyond `limit`. */
export class RequestBody extends Readable {
  readonly #incoming: IncomingMessage
  readonly #limit: number
  #bytes = 0

  constructor(incoming: IncomingMessage, limit: number) {
    super({ highWaterMark: 1, autoDestroy: true, emitClose: true })
    this.#incoming = incoming
    this.#limit = limit
    incoming.pause()
    incoming.on('data', this.#take)
    incoming.on('end', this.#ended)
    incoming.on('error', this.#aborted)
    incoming.on('close', this.#aborted)
  }

  override _read(): void {
    this.#incoming.resume()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const incoming = this.#incoming
    incoming.off('data', this.#take)
    incoming.off('end', this.#ended)
    incoming.off('close', this.#aborted)
    incoming.off('error', this.#aborted)
    incoming.on('error', ignore)
    incoming.pause()
    callback(error)
  }

  readonly #take = (chunk: Buffer): void => {
    this.#bytes += chunk.length
    if (this.#bytes > this.#limit) this.destroy(tooLarge(this.#limit))
    else if (!this.push(chunk)) this.#incoming.pause()
  }

  readonly #ended = (): void => {
    this.push(null)
  }

  readonly #aborted = (): void => {
    if (this.#incoming.complete && this.readableEnded) return
    if (!this.#incoming.complete) this.destroy(new GatewayError('BODY_ABORTED', 'the request body ended early'))
  }
}

/** The error for a body above its bound. */
export function tooLarge(limit: number): GatewayError {
  return new GatewayError('BODY_TOO_LARGE', `the request body is larger than ${formatBytes(limit)}`)
}

/** Lets what is left of a body run by, so that the connection can carry its next request. */
export function discardRest(incoming: IncomingMessage): void {
  if (incoming.complete) return
  incoming.removeAllListeners('data')
  incoming.on('error', ignore)
  incoming.resume()
}
