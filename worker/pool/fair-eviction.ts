// Whose idle sandboxes are evicted when the host is full and a namespace needs room: first those of namespaces above their share that
// have more than it will have, then its own; those of other namespaces only while it stays within its share. Within each of these
// eviction.ts gives the order. Pure.
import { type EvictionCandidate, priorityOf } from './eviction.ts'
import type { Missing, NamespaceRoom } from './namespace-room.ts'

export interface OwnedCandidate extends EvictionCandidate {
  readonly space: NamespaceRoom
}

/** The namespace that needs the room. */
export interface Taker {
  readonly space: NamespaceRoom
  /** Its part of the host once it has what it asks for, 0–1. */
  readonly shareAfter: number
  /** The part each namespace may have while all want it, 0–1. */
  readonly fairShare: number
  readonly host: { readonly memoryBytes: number; readonly maxSandboxes: number }
}

interface Victims<T> {
  readonly victims: readonly T[]
  /** The policy's new clock: later uses age from there. */
  readonly clock: number
}

/** The candidates to evict, or null when those that may go would not do. */
export function chooseFairVictims<T extends OwnedCandidate>(
  candidates: readonly T[],
  need: Missing,
  taker: Taker,
): Victims<T> | null {
  const choice = new Choice(candidates, need, taker)
  const { space, shareAfter, fairShare } = taker
  choice.pick((owner) => choice.shareOf(owner) > (owner === space ? fairShare : Math.max(fairShare, shareAfter)))
  choice.pick((owner) => owner === space || shareAfter <= fairShare)
  return choice.result()
}

class Choice<T extends OwnedCandidate> {
  readonly #ordered: { readonly candidate: T; readonly priority: number }[]
  readonly #need: Missing
  readonly #host: Taker['host']
  readonly #victims = new Set<T>()
  /** What the chosen ones give back, by namespace. */
  readonly #given = new Map<NamespaceRoom, { bytes: number; count: number }>()
  #bytes = 0
  #clock = 0

  constructor(candidates: readonly T[], need: Missing, taker: Taker) {
    this.#need = need
    this.#host = taker.host
    this.#ordered = candidates
      .map((candidate) => ({ candidate, priority: priorityOf(candidate) }))
      .sort((a, b) => a.priority - b.priority || a.candidate.idleSinceMs - b.candidate.idleSinceMs)
  }

  /** What the namespace has without those chosen so far. */
  shareOf(space: NamespaceRoom): number {
    const given = this.#given.get(space)
    return given === undefined ? space.shareOf(this.#host) : space.shareOf(this.#host, -given.bytes, -given.count)
  }

  pick(mayGive: (owner: NamespaceRoom) => boolean): void {
    for (const { candidate, priority } of this.#ordered) {
      if (this.#isEnough) return
      if (this.#victims.has(candidate) || !mayGive(candidate.space)) continue
      this.#victims.add(candidate)
      this.#bytes += candidate.sizeBytes
      this.#clock = Math.max(this.#clock, priority)
      const given = this.#given.get(candidate.space) ?? { bytes: 0, count: 0 }
      given.bytes += candidate.sizeBytes
      given.count++
      this.#given.set(candidate.space, given)
    }
  }

  result(): Victims<T> | null {
    return this.#isEnough ? { victims: [...this.#victims], clock: this.#clock } : null
  }

  get #isEnough(): boolean {
    return this.#bytes >= this.#need.bytes && this.#victims.size >= this.#need.count
  }
}
