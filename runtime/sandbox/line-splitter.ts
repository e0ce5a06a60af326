// Text in pieces in, lines out, in time proportional to what is new: a line that comes byte by byte costs no more than one that
// comes whole. Pure.

/** A longer line is cut into pieces of this size. */
const LINE_MAX_CHARS = 16 * 1024

export class LineSplitter {
  readonly #onLine: (line: string) => void
  /** Of a line without its end yet; shorter than a whole one. */
  #partial = ''

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine
  }

  /** Takes the next text; returns how many lines it gave. */
  push(text: string): number {
    let lines = 0
    let start = 0
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      lines += this.#add(text.slice(start, end))
      this.#onLine(this.#partial)
      this.#partial = ''
      lines++
      start = end + 1
    }
    return start < text.length ? lines + this.#add(start === 0 ? text : text.slice(start)) : lines
  }

  /** Gives what is left of a line that never ended. */
  flush(): void {
    if (this.#partial !== '') this.#onLine(this.#partial)
    this.#partial = ''
  }

  /** Joins and never searches what was there before: a joined string costs nothing until it is read. */
  #add(piece: string): number {
    let lines = 0
    let at = 0
    while (this.#partial.length + piece.length - at > LINE_MAX_CHARS) {
      const take = LINE_MAX_CHARS - this.#partial.length
      this.#onLine(this.#partial + piece.slice(at, at + take))
      this.#partial = ''
      at += take
      lines++
    }
    this.#partial += at === 0 ? piece : piece.slice(at)
    return lines
  }
}
