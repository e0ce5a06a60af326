// Owns how many control calls of one namespace's tokens are open at once: streams of events, results that are waited for, uploads that
// come slowly. Each holds a connection and memory, so one namespace must not hold them all. Calls with the platform's own token are not counted.
import type { Quotas } from '../../worker/registry/quotas.ts'
import type { GatewayResponse } from '../response.ts'

/** Of one namespace. */
export const MOST_HELD = 256
/** Of those, streams of events and of followed logs: each line of a function goes to each that follows. */
export const MOST_STREAMS = 32
const RETRY_AFTER_S = 1

export class HeldRequests {
  readonly #quotas: Quotas | null
  readonly #what: string
  readonly #most: number
  readonly #counts = new Map<string, number>()

  /** `quotas`: null: any number. `what`: as a refusal names it. */
  constructor(quotas: Quotas | null, what = 'controlRequests', most = MOST_HELD) {
    this.#quotas = quotas
    this.#what = what
    this.#most = most
  }

  /** Counts the call until its answer is over. Throws QuotaExceeded. */
  take(namespace: string, outgoing: GatewayResponse): void {
    if (this.#quotas === null) return
    const held = this.#counts.get(namespace) ?? 0
    this.#quotas.expectFixed(namespace, this.#what, this.#most, held, { retryAfterS: RETRY_AFTER_S })
    this.#counts.set(namespace, held + 1)
    outgoing.once('close', () => {
      const left = this.#counts.get(namespace)! - 1
      if (left === 0) this.#counts.delete(namespace)
      else this.#counts.set(namespace, left)
    })
  }
}
