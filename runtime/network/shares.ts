// A number of places that groups (namespaces) share: one group takes at most half, the next half of the rest, and so on, so that
// there is one left for a group that has none (the dynamic thresholds of Choudhury and Hahne, 1998).

export class Shares {
  readonly #places: number
  readonly #held = new Map<string, number>()
  #taken = 0

  constructor(places: number) {
    this.#places = places
  }

  /** A place, to be given back by calling what is returned, once; null: others need what is left. */
  take(group: string): (() => void) | null {
    const held = this.#held.get(group) ?? 0
    if (held >= this.#places - this.#taken) return null
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
