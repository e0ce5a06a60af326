// Things that are being added to namespaces: they count with what is there, so that many at once do not slip past a bound together.

export class Additions {
  readonly #pending = new Map<string, number>()

  /** Runs `work`, which adds one. `expect` gets how many others are being added, and throws when that is too many. */
  async add<T>(namespace: string, expect: (pending: number) => void, work: () => Promise<T>): Promise<T> {
    const pending = this.#pending.get(namespace) ?? 0
    expect(pending)
    this.#pending.set(namespace, pending + 1)
    try {
      return await work()
    } finally {
      const left = this.#pending.get(namespace)! - 1
      if (left === 0) this.#pending.delete(namespace)
      else this.#pending.set(namespace, left)
    }
  }
}
