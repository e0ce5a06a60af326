// Things that wait for their time, soonest first: a binary heap. What is put in again leaves its old place.

interface Entry<T> {
  readonly atMs: number
  readonly what: T
}

const SPARE = 64

export class Sleepers<T> {
  #heap: Entry<T>[] = []
  /** The entry of each that counts; older ones stay in the heap until they are more than those. */
  readonly #current = new Map<T, Entry<T>>()

  /** It sleeps until then, whatever was said before. */
  put(what: T, atMs: number): void {
    if (this.#current.get(what)?.atMs === atMs) return
    const entry = { atMs, what }
    this.#current.set(what, entry)
    if (this.#heap.length > 2 * this.#current.size + SPARE) {
      // Sorted is a heap.
      this.#heap = [...this.#current.values()].sort((one, other) => one.atMs - other.atMs)
      return
    }
    this.#heap.push(entry)
    this.#rise(this.#heap.length - 1)
  }

  delete(what: T): void {
    this.#current.delete(what)
  }

  /** When the first wakes; Infinity: nothing sleeps. */
  get firstAtMs(): number {
    this.#dropOld()
    return this.#heap[0]?.atMs ?? Infinity
  }

  /** Takes those out whose time has come. */
  wake(nowMs: number): T[] {
    const woken: T[] = []
    while (this.firstAtMs <= nowMs) {
      const { what } = this.#pop()
      this.#current.delete(what)
      woken.push(what)
    }
    return woken
  }

  #dropOld(): void {
    for (;;) {
      const first = this.#heap[0]
      if (first === undefined || this.#current.get(first.what) === first) return
      this.#pop()
    }
  }

  #pop(): Entry<T> {
    const first = this.#heap[0]!
    const last = this.#heap.pop()!
    if (this.#heap.length > 0) {
      this.#heap[0] = last
      this.#sink(0)
    }
    return first
  }

  #rise(from: number): void {
    let at = from
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (this.#heap[parent]!.atMs <= this.#heap[at]!.atMs) return
      this.#swap(parent, at)
      at = parent
    }
  }

  #sink(from: number): void {
    let at = from
    for (;;) {
      let least = at
      for (const child of [2 * at + 1, 2 * at + 2])
        if (child < this.#heap.length && this.#heap[child]!.atMs < this.#heap[least]!.atMs) least = child
      if (least === at) return
      this.#swap(least, at)
      at = least
    }
  }

  #swap(one: number, other: number): void {
    const kept = this.#heap[one]!
    this.#heap[one] = this.#heap[other]!
    this.#heap[other] = kept
  }
}
