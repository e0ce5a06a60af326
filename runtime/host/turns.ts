// Work that must not overlap, by key.

/** Runs the work of one key one after another, in the order it came; work that fails holds nobody up. */
export class Turns {
  /** The last work of each key; a key without any is not kept. */
  readonly #last = new Map<string, Promise<unknown>>()

  /** Runs `work` when all earlier work of this key is over, whatever became of that. Settles as `work` does. */
  async take<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve()
    const turn = before.then(work, work)
    this.#last.set(key, turn)
    try {
      return await turn
    } finally {
      if (this.#last.get(key) === turn) this.#last.delete(key)
    }
  }

  /** Resolves when all work taken so far is over. */
  async idle(): Promise<void> {
    await Promise.allSettled(this.#last.values())
  }
}
