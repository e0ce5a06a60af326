// Owns how many control calls of one namespace's tokens are open at once: streams of events, results that are waited for, uploads that
// come slowly. Each holds a connection and memory, so one namespace must not hold them all. The platform's own token is not counted.
import type { Quotas } from '../../worker/registry/quotas.ts'
import type { GatewayResponse } from '../response.ts'

/** Of one namespace. */
export const MOST_HELD = 256
const RETRY_AFTER_S = 1

export class HeldRequests {
  readonly #quotas: Quotas | null
  readonly #counts = new Map<string, number>()

  /** `quotas`: null: any number. */
  constructor(quotas: Quotas | null) {
    this.#quotas = quotas
  }

  /** Counts the call until its answer is over. Throws QuotaExceeded. */
  take(namespace: string, outgoing: GatewayResponse): void {
    if (this.#quotas === null) return
    const held = this.#counts.get(namespace) ?? 0
    this.#quotas.expectFixed(namespace, 'controlRequests', MOST_HELD, held, { retryAfterS: RETRY_AFTER_S })
    this.#counts.set(namespace, held + 1)
    outgoing.once('close', () => {
      const left = this.#counts.get(namespace)! - 1
      if (left === 0) this.#counts.delete(namespace)
      else this.#counts.set(namespace, left)
    })
  }
}
