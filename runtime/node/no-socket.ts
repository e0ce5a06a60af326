// What frameworks ask a connection for. Nothing is read from it or written to it; its end, its time-out and who is at its other end
// are those of the call.
import { Socket } from 'node:net'

/** The parts of Node's Socket that its http server uses. */
interface Timed {
  _unrefTimer(): void
}

export class NoSocket extends Socket {
  /** Undefined on a plain connection, as on Node's. */
  readonly encrypted: true | undefined
  readonly authorized: false | undefined
  override readonly remoteAddress: string
  override readonly remotePort: number = 0
  override readonly remoteFamily: string
  override readonly localAddress: string = '127.0.0.1'
  override readonly localPort: number = 0
  override readonly localFamily: string = 'IPv4'
  override readonly connecting: boolean = false
  override readonly pending: boolean = false
  /** Why it was destroyed; null while it was not, or without an error. */
  reason: Error | null = null

  constructor(request: Request) {
    super({ allowHalfOpen: true })
    this.encrypted = request.url.startsWith('https:') || undefined
    this.authorized = this.encrypted && false
    this.remoteAddress = request.headers.get('x-forwarded-for')?.split(',')[0]?.trim() ?? '127.0.0.1'
    this.remoteFamily = this.remoteAddress.includes(':') ? 'IPv6' : 'IPv4'
    // As Node's server does: no other code handles an error of the connection.
    this.on('error', (error) => {
      this.reason = error
    })
  }

  /** Something passed: the time-out begins again. */
  touch(): void {
    ;(this as unknown as Timed)._unrefTimer()
  }

  override _read(): void {}

  override _write(_chunk: unknown, _encoding: BufferEncoding, done: () => void): void {
    done()
  }

  override _writev(_chunks: unknown, done: () => void): void {
    done()
  }

  /** Ended by the handler: Node would close the connection once all is written. */
  override _final(done: () => void): void {
    done()
    this.destroy()
  }

  override address(): { address: string; family: string; port: number } {
    return { address: this.localAddress, family: this.localFamily, port: this.localPort }
  }

  /** Of a TLS connection whose client shows none. */
  getPeerCertificate(): object {
    return {}
  }
}
