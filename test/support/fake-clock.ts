// Time that stands still until a test moves it.
import type { Clock } from '../../runtime/api.ts'

interface Timer {
  readonly atMs: number
  readonly fire: () => void
}

/** Starts at a wall clock of 2026-01-01T00:00:00Z and a monotonic clock of 1,000 ms. */
export class FakeClock implements Clock {
  #elapsedMs = 0
  readonly #timers = new Set<Timer>()

  now(): number {
    return Date.UTC(2026, 0, 1) + this.#elapsedMs
  }

  monotonicMs(): number {
    return 1000 + this.#elapsedMs
  }

  after(ms: number, fire: () => void): () => void {
    const timer = { atMs: this.#elapsedMs + ms, fire }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** Time that passes within one turn of the event loop: nothing fires. */
  pass(ms: number): void {
    this.#elapsedMs += ms
  }

  /** Timers armed now. */
  get pending(): number {
    return this.#timers.size
  }

  /** Moves time and fires what falls due, in order; between two timers pending promises run. */
  async advance(ms: number): Promise<void> {
    const targetMs = this.#elapsedMs + ms
    for (;;) {
      await settle()
      const next = [...this.#timers].filter((timer) => timer.atMs <= targetMs).sort((a, b) => a.atMs - b.atMs)[0]
      if (next === undefined) break
      this.#timers.delete(next)
      this.#elapsedMs = Math.max(this.#elapsedMs, next.atMs)
      next.fire()
    }
    this.#elapsedMs = targetMs
    await settle()
  }
}

const DISK_MS = 5_000

/** Lets promises that are ready run to their end, and what waits for the disk: files are read by threads, which a busy machine
 *  may hold up for longer than a few turns. */
export async function settle(): Promise<void> {
  const endMs = performance.now() + DISK_MS
  for (let quiet = 0; quiet < 3; quiet++) {
    await new Promise((resolve) => setImmediate(resolve))
    if (readsFiles() && performance.now() < endMs) quiet = -1
  }
}

function readsFiles(): boolean {
  return process.getActiveResourcesInfo().some((kind) => kind.startsWith('FSReq'))
}
