// The lines of one function that wait for the disk, kept as the bytes that will be written: nothing of them is left to the garbage
// collector, and a flush has nothing to format. Bounds nothing; log-store.ts does.
import type { LogLine } from '../api.ts'

const FIRST_BYTES = 8 * 1024
/** A UTF-16 unit is at most so many bytes of UTF-8. */
const BYTES_A_UNIT = 3

export class LineBuffer {
  readonly #name: string
  #bytes: Buffer | null = null
  #filled = 0
  /** Room the next buffer begins with: what the one before held. */
  #nextBytes = FIRST_BYTES
  #last: LogLine | null = null
  count = 0

  constructor(namespace: string, name: string) {
    this.#name = `,"namespace":${JSON.stringify(namespace)},"function":${JSON.stringify(name)},"version":`
  }

  /** The line added last; null when there is none. */
  get last(): LogLine | null {
    return this.#last
  }

  /** Adds a line of this function. */
  add(line: LogLine): void {
    const text = this.#textOf(line)
    const bytes = this.#room(text.length * BYTES_A_UNIT)
    this.#filled += bytes.write(text, this.#filled)
    this.#last = line
    this.count++
  }

  /** All lines as JSON, each with its line feed; empty afterwards. */
  take(): Buffer {
    const taken = this.#bytes === null ? Buffer.alloc(0) : this.#bytes.subarray(0, this.#filled)
    this.#nextBytes = Math.max(FIRST_BYTES, this.#filled)
    this.#bytes = null
    this.#filled = 0
    this.#last = null
    this.count = 0
    return taken
  }

  #textOf({ time, version, invocation, sandbox, stream, line }: LogLine): string {
    const whose = `${this.#name}${version},"invocation":${JSON.stringify(invocation)},"sandbox":${JSON.stringify(sandbox)}`
    return `{"time":"${time}"${whose},"stream":"${stream}","line":${JSON.stringify(line)}}\n`
  }

  #room(bytes: number): Buffer {
    const before = this.#bytes
    if (before !== null && this.#filled + bytes <= before.length) return before
    const size = Math.max(this.#nextBytes, 2 * this.#filled, this.#filled + bytes)
    const grown = Buffer.allocUnsafeSlow(size)
    before?.copy(grown, 0, 0, this.#filled)
    this.#bytes = grown
    return grown
  }
}
