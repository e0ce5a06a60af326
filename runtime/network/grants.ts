// What is open by name, of all sandboxes together: the kernel's tables of it have one size for the whole host. A group (a
// namespace) takes at most half of what is free and gives up its own oldest for more, so there is always room for another's.
// Knows ways only as counts with an end; sandbox-link.ts opens and closes them.
import { mayTake } from '../shares.ts'

/** A way that is open. */
export interface Grant {
  /** Members of the kernel's sets. */
  readonly count: number
  /** When the kernel closes it by itself, monotonic. */
  readonly untilMs: number
  /** Closes it now; must not call back. */
  close(): void
}

/** Below the size of the kernel's sets: what has just gone by itself is counted there a second longer. */
export const MOST_OPEN = 60_000
const SLICE_MS = 60_000

interface Group {
  count: number
  /** Oldest first. */
  readonly grants: Set<Grant>
}

export class Grants {
  readonly #most: number
  #count = 0
  readonly #groups = new Map<string, Group>()
  readonly #groupOf = new Map<Grant, string>()
  /** By the minute in which they end. */
  readonly #ends = new Map<number, Set<Grant>>()
  /** Closed before their time, for newer ones of their own group. */
  closed = 0

  constructor(most: number = MOST_OPEN) {
    this.#most = most
  }

  /** Makes room for so many more of the group. False: others need what is left. */
  admit(group: string, count: number, nowMs: number): boolean {
    this.#forgetEnded(nowMs)
    while (!this.#fits(group, count)) {
      const oldest = this.#groups.get(group)?.grants.values().next()
      if (oldest === undefined || oldest.done) return false
      this.delete(oldest.value)
      this.closed++
      oldest.value.close()
    }
    return true
  }

  add(group: string, grant: Grant): void {
    const kept = this.#groups.get(group) ?? { count: 0, grants: new Set() }
    this.#groups.set(group, kept)
    kept.count += grant.count
    kept.grants.add(grant)
    this.#count += grant.count
    this.#groupOf.set(grant, group)
    const slice = sliceOf(grant)
    const ending = this.#ends.get(slice) ?? new Set()
    this.#ends.set(slice, ending)
    ending.add(grant)
  }

  /** It is closed, or replaced. One that is not there is fine. */
  delete(grant: Grant): void {
    const group = this.#groupOf.get(grant)
    if (group === undefined) return
    this.#groupOf.delete(grant)
    this.#count -= grant.count
    const kept = this.#groups.get(group)!
    kept.count -= grant.count
    kept.grants.delete(grant)
    if (kept.grants.size === 0) this.#groups.delete(group)
    const slice = sliceOf(grant)
    const ending = this.#ends.get(slice)
    ending?.delete(grant)
    if (ending?.size === 0) this.#ends.delete(slice)
  }

  /** Members open now, of one group or of all. */
  open(group: string | null = null): number {
    return group === null ? this.#count : (this.#groups.get(group)?.count ?? 0)
  }

  #fits(group: string, count: number): boolean {
    return mayTake(this.open(group), this.#most - this.#count, count)
  }

  #forgetEnded(nowMs: number): void {
    for (const [slice, grants] of this.#ends) {
      if ((slice + 1) * SLICE_MS > nowMs) continue
      for (const grant of [...grants]) this.delete(grant)
    }
  }
}

function sliceOf({ untilMs }: Grant): number {
  return Math.floor(untilMs / SLICE_MS)
}
