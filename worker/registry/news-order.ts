// Which news of changes is new: counts epochs, so that a change that was made here is not read again and one that was missed is
// noticed. Pure.

/** `one`: read what it names; `all`: some were missed, read everything; `none`: it is known. */
export type Reading = 'none' | 'one' | 'all'

export class NewsOrder {
  /** Every change up to here is known. */
  #epoch = 0
  /** Known beyond it: made here, before the news of those between came. */
  readonly #ahead = new Set<number>()

  get epoch(): number {
    return this.#epoch
  }

  /** The highest that is known, with gaps below it or without. */
  get newest(): number {
    return Math.max(this.#epoch, ...this.#ahead)
  }

  /** Everything up to `epoch` was read. */
  reset(epoch: number): void {
    this.#epoch = epoch
    for (const one of this.#ahead) if (one <= epoch) this.#ahead.delete(one)
    this.#join()
  }

  /** A change was made here, and is known. */
  made(epoch: number): void {
    this.#ahead.add(epoch)
    this.#join()
  }

  /** News came; to be called in the order in which it does. */
  heard(epoch: number): Reading {
    if (epoch <= this.#epoch || this.#ahead.has(epoch)) return 'none'
    if (epoch !== this.#epoch + 1) return 'all'
    this.#epoch = epoch
    this.#join()
    return 'one'
  }

  #join(): void {
    while (this.#ahead.delete(this.#epoch + 1)) this.#epoch++
  }
}
