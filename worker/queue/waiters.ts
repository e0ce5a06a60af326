// Who waits for the end of a call, by id. News may come from this process or from another; a timer ends the waiting.
import type { Clock } from '../../runtime/api.ts'

export class Waiters {
  readonly #clock: Clock
  readonly #waiting = new Map<string, Set<() => void>>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Resolves on news of this id, at the latest after `ms`. Register before you look: news are not kept. */
  wait(id: string, ms: number): { readonly news: Promise<void>; stop(): void } {
    const waiting = this.#waiting.get(id) ?? new Set()
    this.#waiting.set(id, waiting)
    let stop = () => {}
    const news = new Promise<void>((resolve) => {
      const cancel = this.#clock.after(ms, () => stop())
      stop = () => {
        cancel()
        waiting.delete(stop)
        if (waiting.size === 0 && this.#waiting.get(id) === waiting) this.#waiting.delete(id)
        resolve()
      }
      waiting.add(stop)
    })
    return { news, stop: () => stop() }
  }

  notify(id: string): void {
    for (const stop of [...(this.#waiting.get(id) ?? [])]) stop()
  }

  /** News may have been missed: everybody looks again. */
  notifyAll(): void {
    for (const id of [...this.#waiting.keys()]) this.notify(id)
  }
}
