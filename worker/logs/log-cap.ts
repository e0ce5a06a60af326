// How much one invocation, or one load of a sandbox, may write into the log. Pure state.

export const CALL_LOG_BYTES = 1024 ** 2
export const CALL_LOG_LINES = 10_000

export class LogCap {
  #bytes = 0
  #lines = 0
  #said = false

  /** `keep` the line, `notice` once that the rest is dropped, or `drop` it. */
  take(line: string): 'keep' | 'notice' | 'drop' {
    this.#bytes += line.length
    this.#lines++
    if (this.#bytes <= CALL_LOG_BYTES && this.#lines <= CALL_LOG_LINES) return 'keep'
    if (this.#said) return 'drop'
    this.#said = true
    return 'notice'
  }
}

export const LOG_CAP_NOTICE = `the rest of this output is dropped: it is above ${CALL_LOG_LINES} lines or 1 MiB`
