// How many follow-ups may be under way at once: a bound for each namespace, one for each of its receivers, and one over all that leaves
// places for namespaces that have none under way (runtime/shares.ts). Only counts.
import { placesFor } from '../../../runtime/api.ts'

/** Under way at once, over all namespaces. */
export const AT_ONCE = 128
/** Those of one namespace to one receiver. */
const PER_HOST = 4

export class DeliveryTurns {
  readonly #bound: (namespace: string) => number | null
  readonly #byNamespace = new Map<string, number>()
  readonly #byHost = new Map<string, number>()
  #all = 0

  /** `bound`: how many of a namespace at once; null: only its share counts. */
  constructor(bound: (namespace: string) => number | null) {
    this.#bound = bound
  }

  /** Under way of this namespace. */
  of(namespace: string): number {
    return this.#byNamespace.get(namespace) ?? 0
  }

  /** How many more of this namespace may begin. */
  room(namespace: string): number {
    const held = this.of(namespace)
    const share = placesFor(held, AT_ONCE - this.#all)
    const bound = this.#bound(namespace)
    return bound === null ? share : Math.max(0, Math.min(share, bound - held))
  }

  /** One begins; the returned function says that it is over. Null: too many to this receiver (`host` empty: it has none). */
  begin(namespace: string, host: string): (() => void) | null {
    const key = `${namespace} ${host}`
    if (host !== '' && (this.#byHost.get(key) ?? 0) >= PER_HOST) return null
    this.#all++
    add(this.#byNamespace, namespace, 1)
    add(this.#byHost, key, 1)
    return () => {
      this.#all--
      add(this.#byNamespace, namespace, -1)
      add(this.#byHost, key, -1)
    }
  }
}

function add(counts: Map<string, number>, key: string, more: number): void {
  const count = (counts.get(key) ?? 0) + more
  if (count === 0) counts.delete(key)
  else counts.set(key, count)
}
