// Owns how many uploads are taken at once: each may hold some hundred megabytes until its version is kept or refused. In order
// of arrival; a namespace has at most half of the places, and while the queue is full only one with less than an even part of it
// gets in, so that one cannot keep the others out. Reads nothing itself.
import { GatewayError } from '../errors.ts'
import type { GatewayResponse } from '../response.ts'

const PLACES = 8
const PLACES_OF_ONE = 4
const MOST_WAITING = 64

interface Waiter {
  readonly namespace: string
  readonly begin: () => void
}

export class UploadTurns {
  readonly #running = new Map<string, number>()
  readonly #waiting = new Set<Waiter>()
  #places = PLACES

  /** Uploads that wait for a place. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** Resolves with what gives the place back. Rejects with GatewayError HOST_FULL when too many wait, CLIENT_GONE when the
   *  caller leaves before its turn. */
  async take(namespace: string, outgoing: GatewayResponse): Promise<() => void> {
    if (!this.#isFree(namespace)) await this.#wait(namespace, outgoing)
    else this.#begin(namespace)
    let over = false
    return () => {
      if (!over) this.#end(namespace)
      over = true
    }
  }

  #isFree(namespace: string): boolean {
    return this.#places > 0 && (this.#running.get(namespace) ?? 0) < PLACES_OF_ONE
  }

  #begin(namespace: string): void {
    this.#places--
    this.#running.set(namespace, (this.#running.get(namespace) ?? 0) + 1)
  }

  async #wait(namespace: string, outgoing: GatewayResponse): Promise<void> {
    if (this.#waiting.size >= MOST_WAITING && this.#hasItsPart(namespace))
      throw new GatewayError('HOST_FULL', `${this.#waiting.size} deploys wait for their turn already; try again`)
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.delete(waiter)
        reject(new GatewayError('CLIENT_GONE', 'the caller left before its deploy had its turn'))
      }
      const begin = (): void => {
        outgoing.off('close', leave)
        resolve()
      }
      const waiter = { namespace, begin }
      this.#waiting.add(waiter)
      outgoing.once('close', leave)
    })
  }

  /** True when the namespace has an even part of all that may wait, or more. */
  #hasItsPart(namespace: string): boolean {
    const namespaces = new Set([namespace])
    let own = 0
    for (const waiter of this.#waiting) {
      namespaces.add(waiter.namespace)
      if (waiter.namespace === namespace) own++
    }
    return own >= MOST_WAITING / namespaces.size
  }

  #end(namespace: string): void {
    this.#places++
    const running = this.#running.get(namespace)! - 1
    if (running > 0) this.#running.set(namespace, running)
    else this.#running.delete(namespace)
    const next = [...this.#waiting].find((waiter) => this.#isFree(waiter.namespace))
    if (next === undefined) return
    this.#waiting.delete(next)
    this.#begin(next.namespace)
    next.begin()
  }
}
