// The flat form in which answers leave: a status, one text of headers, a body. Knows no Response.

/** What bytes are read from: a web stream, or whatever behaves like one. */
export interface ByteReader {
  read(): PromiseLike<{ readonly done?: boolean; readonly value?: unknown }>
  cancel(reason?: unknown): unknown
}
export interface ByteSource {
  getReader(): ByteReader
  /** Before any reader was taken: it is not wanted. */
  cancel(reason?: unknown): unknown
}
export type AnswerBody = string | Uint8Array | ByteSource | null

/** A response ready for the wire. */
export interface Answer {
  readonly status: number
  /** The reason phrase of its own; '' where it has none. */
  readonly reason: string
  /** `\nname\nvalue` for each header, without content-length. */
  readonly headers: string
  /** The content-length the function set; null when it set none. */
  readonly length: string | null
  readonly body: AnswerBody
}

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/** Whether it can be a header's value (or a status text) in HTTP. */
export function isHeaderValue(text: string): boolean {
  return VALUE.test(text)
}

/** An answer made by the bootstrap's own adapters (or why there is none); `toAnswer` passes it on. */
export class ReadyAnswer {
  readonly answer: Answer | string
  constructor(answer: Answer | string) {
    this.answer = answer
  }
}

/** Header lines while they are gathered. */
export class HeaderText {
  text = ''
  length: string | null = null
  hasType = false
  /** Name of the last header that was refused. */
  invalid: string | null = null

  /** False when the name or value is not valid in HTTP; nothing is added then. */
  add(name: string, value: string): boolean {
    if (!NAME.test(name) || !VALUE.test(value)) {
      this.invalid = name
      return false
    }
    const lower = name.toLowerCase()
    if (lower === 'content-length') this.length = value.trim()
    else this.text += `\n${lower}\n${value}`
    if (lower === 'content-type') this.hasType = true
    return true
  }
}
