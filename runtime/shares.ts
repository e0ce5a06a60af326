// The one rule by which namespaces share places, bytes or slots without fixed parts: a group may hold so many times what is still
// free. With `times` 1 the first group gets half, the next half of the rest, and so on; with 3 it is three quarters. So there is
// always room left for a group that has nothing (the dynamic thresholds of Choudhury and Hahne, IEEE/ACM Trans. Networking, 1998).

/** Whether a group that holds `held` may take `more` while `free` of all is left. */
export function mayTake(held: number, free: number, more = 1, times = 1): boolean {
  return held + more <= times * free
}

/** How many single places such a group may take, one after the other. */
export function placesFor(held: number, free: number, times = 1): number {
  return Math.max(0, Math.ceil((times * free - held) / (1 + times)))
}

/** A number of places that are held and given back. */
export class Shares {
  readonly #places: number
  readonly #held = new Map<string, number>()
  #taken = 0

  constructor(places: number) {
    this.#places = places
  }

  /** A place, to be given back by calling what is returned, once; null: the group has its share. */
  take(group: string): (() => void) | null {
    const held = this.#held.get(group) ?? 0
    if (!mayTake(held, this.#places - this.#taken)) return null
    this.#held.set(group, held + 1)
    this.#taken++
    let isBack = false
    return () => {
      if (isBack) return
      isBack = true
      this.#taken--
      const left = (this.#held.get(group) ?? 1) - 1
      if (left === 0) this.#held.delete(group)
      else this.#held.set(group, left)
    }
  }
}
