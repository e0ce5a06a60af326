// Calls on their way to the disk, by namespace. While many press, running gives way to saying 202; only the namespaces that
// press give way.

/** So many at once are more than comes and goes by itself. */
const PRESSING = 8

export class Accepting {
  readonly #counts = new Map<string, number>()
  #all = 0

  /** One more of this namespace; the returned function, called once, says that it is on disk or refused. */
  begin(namespace: string): () => void {
    this.#all++
    this.#counts.set(namespace, (this.#counts.get(namespace) ?? 0) + 1)
    return () => {
      this.#all--
      const left = (this.#counts.get(namespace) ?? 1) - 1
      if (left === 0) this.#counts.delete(namespace)
      else this.#counts.set(namespace, left)
    }
  }

  /** Whether calls press, and this namespace has its full share in that. */
  press(namespace: string): boolean {
    if (this.#all < PRESSING) return false
    return (this.#counts.get(namespace) ?? 0) * this.#counts.size >= this.#all
  }
}
