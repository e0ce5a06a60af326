// Owns how many reading control calls of one namespace's tokens are answered at once; the next wait, in order. What is read costs the event
// loop and Redis some milliseconds each, and hundreds that come at once would make all others wait for their sum.
import type { GatewayResponse } from '../response.ts'

const PLACES = 8

interface Namespace {
  running: number
  /** In order of arrival. */
  readonly waiting: Set<() => void>
}

export class ReadTurns {
  readonly #namespaces = new Map<string, Namespace>()

  /** Runs `begin` at once or in its turn; not at all when the caller leaves before. The place is free when the answer is over. */
  take(name: string, outgoing: GatewayResponse, begin: () => void): void {
    const namespace = this.#namespaces.get(name) ?? { running: 0, waiting: new Set() }
    this.#namespaces.set(name, namespace)
    let left = false
    const leave = (): void => {
      left = true
      namespace.waiting.delete(start)
    }
    const start = (): void => {
      outgoing.off('close', leave)
      if (left) this.#end(name, namespace)
      else {
        outgoing.once('close', () => this.#end(name, namespace))
        begin()
      }
    }
    if (namespace.running < PLACES) {
      namespace.running++
      start()
    } else {
      namespace.waiting.add(start)
      outgoing.once('close', leave)
    }
  }

  /** The next takes the place over, in a turn of the loop of its own: others come between. */
  #end(name: string, namespace: Namespace): void {
    const [next] = namespace.waiting
    if (next !== undefined) {
      namespace.waiting.delete(next)
      setImmediate(next)
    } else if (--namespace.running === 0) this.#namespaces.delete(name)
  }
}
