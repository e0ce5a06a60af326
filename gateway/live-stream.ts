// Owns responses that stay open and carry news as it comes (events, followed logs): beats that keep them alive, a bound on what
// a slow reader may hold, and their end when the gateway closes. Knows nothing of what is sent.
import type { Clock } from '../runtime/api.ts'
import type { GatewayResponse } from './response.ts'

const BEAT_MS = 15_000
/** A reader further behind than this is cut off. */
const BEHIND_BYTES = 1024 * 1024

export interface LiveStream {
  /** Sends text; drops it when the stream is over. */
  send(text: string): void
  readonly open: boolean
}

export class LiveStreams {
  readonly #clock: Clock
  readonly #open = new Set<GatewayResponse>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Begins a stream on a response, which for HEAD is its head alone; `beat` is sent when nothing else was for a while; `onEnd` runs once when it is over. */
  start(outgoing: GatewayResponse, contentType: string, beat: string, onEnd: () => void): LiveStream {
    outgoing.writeHead(200, ['Content-Type', contentType, 'Cache-Control', 'no-store', 'X-Accel-Buffering', 'no'])
    outgoing.flushHeaders()
    this.#open.add(outgoing)
    let cancelBeat = (): void => {}
    let open = true
    const send = (text: string): void => {
      if (!open || outgoing.destroyed || outgoing.writableEnded) return
      if (outgoing.writableLength > BEHIND_BYTES) outgoing.destroy()
      else write(text)
    }
    // What is sent within one turn of the loop leaves together.
    let isCorked = false
    const write = (text: string): void => {
      if (!isCorked) {
        isCorked = true
        outgoing.cork()
        setImmediate(() => {
          isCorked = false
          outgoing.uncork()
        })
      }
      outgoing.write(text)
    }
    const schedule = (): void => {
      cancelBeat = this.#clock.after(BEAT_MS, () => {
        send(beat)
        schedule()
      })
    }
    schedule()
    outgoing.once('close', () => {
      open = false
      cancelBeat()
      this.#open.delete(outgoing)
      onEnd()
    })
    if (outgoing.req.method === 'HEAD') outgoing.end()
    return {
      send,
      get open() {
        return open
      },
    }
  }

  /** Ends every stream. */
  close(): void {
    for (const outgoing of this.#open) outgoing.end()
  }
}
