// Keeps the lines of a function in their order while some of them wait for their positions to be looked up: a line is passed on when
// all before it were. What may wait is bounded; above that the oldest are passed on as they are.
import type { LogLine } from '../api.ts'

interface Held {
  line: LogLine
  isReady: boolean
  readonly chars: number
  /** Called when it is passed on. */
  passed: (() => void)[]
}

/** Lines of one function, and characters of all, that may wait. */
const MOST_LINES = 4000
const MOST_CHARS = 16 * 1024 ** 2

export class HeldLines {
  readonly #write: (line: LogLine) => void
  readonly #held = new Map<string, Held[]>()
  #chars = 0

  /** `write` must not throw. */
  constructor(write: (line: LogLine) => void) {
    this.#write = write
  }

  /** Passes a line on now, or behind those that wait. `text` is what its text will be, where that is not known yet; it must not reject. */
  add(line: LogLine, text: Promise<string> | null): void {
    if (text === null && this.#held.size === 0) {
      this.#write(line)
      return
    }
    const key = `${line.namespace}/${line.function}`
    const queue = this.#held.get(key)
    if (text === null && queue === undefined) {
      this.#write(line)
      return
    }
    const held: Held = { line, isReady: text === null, chars: line.line.length, passed: [] }
    const lines = queue ?? []
    this.#held.set(key, lines)
    lines.push(held)
    this.#chars += held.chars
    void text?.then((mapped) => {
      if (held.isReady) return
      held.line = { ...line, line: mapped }
      held.isReady = true
      this.#pass(key)
    })
    while (lines.length > MOST_LINES || (this.#chars > MOST_CHARS && lines.length > 0)) this.#passFirst(key, lines)
  }

  get isEmpty(): boolean {
    return this.#held.size === 0
  }

  /** Resolves when what waits now was passed on: of a function (`namespace/name`), of a namespace (`namespace/`), or, null, all. */
  async settled(whose: string | null): Promise<void> {
    const isAsked = (key: string) => whose === null || (whose.endsWith('/') ? key.startsWith(whose) : key === whose)
    const last = [...this.#held].filter(([key]) => isAsked(key)).map(([, lines]) => lines.at(-1)!)
    await Promise.all(last.map((held) => new Promise<void>((resolve) => held.passed.push(resolve))))
  }

  /** Passes on all that waits, as it is. */
  flush(): void {
    for (const [key, lines] of [...this.#held]) while (lines.length > 0) this.#passFirst(key, lines)
  }

  #pass(key: string): void {
    const lines = this.#held.get(key)
    while (lines?.[0]?.isReady) this.#passFirst(key, lines)
  }

  #passFirst(key: string, lines: Held[]): void {
    const first = lines.shift()!
    first.isReady = true
    this.#chars -= first.chars
    if (lines.length === 0) this.#held.delete(key)
    this.#write(first.line)
    for (const tell of first.passed) tell()
  }
}
