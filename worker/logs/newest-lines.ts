// The newest lines of a log that has many: parsed from the last to the first, in portions between which the event loop has its turn.
// What is answered at once is bounded, since it is written as one JSON text.
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { LogLine } from '../api.ts'

/** In an answer: lines, and characters of them. What is older is left out. */
export const MOST_LINES = 20_000
export const MOST_CHARS = 8 * 1024 ** 2
/** Of parsing in one piece. */
const PORTION_CHARS = 256 * 1024

export class NewestLines {
  readonly #invocation: string | null
  readonly #most: number
  readonly #newestFirst: LogLine[] = []
  #chars = 0
  #portion = 0

  /** Of this invocation, null: of all. */
  constructor(invocation: string | null, most: number) {
    this.#invocation = invocation
    this.#most = most
  }

  get isFull(): boolean {
    return this.#newestFirst.length >= this.#most || this.#chars >= MOST_CHARS
  }

  /** Takes what is still wanted of a list in the order written, all of it older than what was taken before. */
  async take(texts: readonly string[]): Promise<void> {
    for (let index = texts.length - 1; index >= 0 && !this.isFull; index--) {
      const text = texts[index]!
      this.#takeOne(text)
      this.#portion += text.length + 1
      if (this.#portion < PORTION_CHARS) continue
      this.#portion = 0
      await nextTurn()
    }
  }

  oldestFirst(): LogLine[] {
    return this.#newestFirst.toReversed()
  }

  #takeOne(text: string): void {
    if (text === '' || (this.#invocation !== null && !text.includes(this.#invocation))) return
    try {
      const line = JSON.parse(text) as LogLine
      if (this.#invocation !== null && line.invocation !== this.#invocation) return
      this.#newestFirst.push(line)
      this.#chars += text.length
    } catch {
      // Cut by a full disk or a crash.
    }
  }
}
