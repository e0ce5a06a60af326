// Owns how many connections there are at once: in all, so that files are left for sandboxes, and of one address, so that one
// client cannot take them all. What is above is closed unread. Who comes from this machine or by way of a proxy is not counted
// by address: there, one address is many.
import type { Server, Socket } from 'node:net'
import type { Logger } from '../runtime/api.ts'
import { isLoopbackAddress } from './auth/known-host.ts'

/** One address may have a quarter of all. */
const SHARE_OF_ONE = 4
const WARN_EVERY = 1000

export class ConnectionBounds {
  readonly #most: number
  readonly #byAddress: boolean
  readonly #logger: Logger
  readonly #counts = new Map<string, number>()
  #closed = 0

  /** `most`: connections at once. */
  constructor(most: number, byAddress: boolean, logger: Logger) {
    this.#most = most
    this.#byAddress = byAddress
    this.#logger = logger
  }

  /** Addresses that have connections and are counted. */
  get addresses(): number {
    return this.#counts.size
  }

  /** Bounds a server that listens later. */
  watch(server: Server): void {
    server.maxConnections = this.#most
    server.on('drop', () => this.#tell('in all'))
    if (this.#byAddress) server.on('connection', (socket: Socket) => this.take(socket))
  }

  /** Counts a connection, or closes it. */
  take(socket: Socket): void {
    const address = socket.remoteAddress
    // Without an address it is gone already.
    if (address === undefined || isLoopbackAddress(address)) return
    const count = this.#counts.get(address) ?? 0
    if (count >= Math.max(1, Math.floor(this.#most / SHARE_OF_ONE))) {
      socket.destroy()
      this.#tell(address)
      return
    }
    this.#counts.set(address, count + 1)
    socket.once('close', () => {
      const left = (this.#counts.get(address) ?? 1) - 1
      if (left > 0) this.#counts.set(address, left)
      else this.#counts.delete(address)
    })
  }

  /** The first and then one in a thousand: a flood of connections must not become one of lines. */
  #tell(whose: string): void {
    if (this.#closed++ % WARN_EVERY === 0)
      this.#logger.warn({ whose, most: this.#most, closed: this.#closed }, 'too many connections: new ones are closed')
  }
}
