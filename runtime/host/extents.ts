// Which part of a large disk belongs to whom: first fit over free ranges, in sectors. Only arithmetic.

export interface Extent {
  /** Number of the part, from 1. */
  readonly number: number
  readonly startSectors: number
  readonly sectors: number
}

export class Extents {
  readonly #sectors: number
  readonly #maxParts: number
  /** Sorted by start. */
  readonly #taken: Extent[] = []

  constructor(sectors: number, maxParts: number) {
    this.#sectors = sectors
    this.#maxParts = maxParts
  }

  get count(): number {
    return this.#taken.length
  }

  /** The first range that is large enough, under the lowest free number; null when there is none. */
  take(sectors: number): Extent | null {
    if (this.#taken.length >= this.#maxParts) return null
    let startSectors = 0
    let index = 0
    for (; index < this.#taken.length; index++) {
      const next = this.#taken[index]!
      if (next.startSectors - startSectors >= sectors) break
      startSectors = next.startSectors + next.sectors
    }
    if (startSectors + sectors > this.#sectors) return null
    const extent = { number: this.#freeNumber(), startSectors, sectors }
    this.#taken.splice(index, 0, extent)
    return extent
  }

  release(extent: Extent): void {
    const index = this.#taken.findIndex((taken) => taken.number === extent.number)
    if (index >= 0) this.#taken.splice(index, 1)
  }

  #freeNumber(): number {
    const used = new Set(this.#taken.map((extent) => extent.number))
    let number = 1
    while (used.has(number)) number++
    return number
  }
}
