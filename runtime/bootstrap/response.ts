// The Response class functions see. `new Response(text, bytes or request.body, simple init)` keeps those and builds Node's real
// object only when asked for more.
import { type Answer, HeaderText, isHeaderValue } from './answer.ts'
import { isDisturbed, types } from './builtins.ts'
import { inflowOf } from './inflow.ts'
import type { NativeWeb } from './web.ts'

const TEXT_TYPE = '\ncontent-type\ntext/plain;charset=UTF-8'
const NULL_BODY_STATUS = new Set([101, 103, 204, 205, 304])

let web: NativeWeb

/** Text, a snapshot of bytes, or the untouched stream of a request. */
type KeptBody = string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array<ArrayBuffer>> | null
/** Why a response is none. */
export const READ_ALREADY = 'a Response whose body was already read'

/** A Response whose parts are kept as given. */
export class LazyResponse {
  readonly #status: number
  readonly #statusText: string
  readonly #lines: HeaderText
  readonly #body: KeptBody
  /** Once handed out, the truth about the headers. */
  #headers: Headers | null = null
  #real: Response | null = null

  constructor(status: number, statusText: string, lines: HeaderText, body: KeptBody) {
    this.#status = status
    this.#statusText = statusText
    this.#lines = lines
    this.#body = body
    web.markAsUncloneable(this)
  }

  /** True for a lazy response, whatever it has been made to look like. */
  static is(value: unknown): boolean {
    return typeof value === 'object' && value !== null && #lines in value
  }

  /** The real Response for a lazy one; anything else unchanged. */
  static unwrap<T>(value: T): T | Response {
    return typeof value === 'object' && value !== null && #lines in value
      ? (value as unknown as LazyResponse).#realize()
      : value
  }

  /** The wire's form, or why there is none; null for anything that is no lazy response, or whose body became a stream. */
  static answer(value: object): Answer | string | null {
    if (!(#lines in value) || value.#real !== null) return null
    const lines = value.#headers === null ? value.#lines : readLines(value.#headers)
    let body = value.#body
    if (isStream(body)) {
      if (body.locked || isDisturbed(body)) return READ_ALREADY
      // A promised length has to be compared with what comes: that is done where streams are sent.
      if (lines.length === null) body = (inflowOf(body)?.take() as Uint8Array<ArrayBuffer> | null | undefined) ?? body
    }
    return { status: value.#status, reason: value.#statusText, headers: lines.text, length: lines.length, body }
  }

  get status(): number {
    return this.#status
  }
  get ok(): boolean {
    return this.#status >= 200 && this.#status <= 299
  }
  get statusText(): string {
    return this.#statusText
  }
  get headers(): Headers {
    this.#headers ??= this.#createHeaders()
    return this.#headers
  }
  get body(): ReadableStream<Uint8Array> | null {
    return this.#body === null ? null : this.#realize().body
  }
  get bodyUsed(): boolean {
    if (this.#real !== null) return this.#real.bodyUsed
    return isStream(this.#body) && isDisturbed(this.#body)
  }
  get type(): ResponseType {
    return 'default'
  }
  get url(): string {
    return ''
  }
  get redirected(): boolean {
    return false
  }
  text(): Promise<string> {
    return this.#realize().text()
  }
  json(): Promise<unknown> {
    return this.#realize().json()
  }
  bytes(): Promise<Uint8Array> {
    return this.#realize().bytes()
  }
  arrayBuffer(): Promise<ArrayBuffer> {
    return this.#realize().arrayBuffer()
  }
  blob(): Promise<Blob> {
    return this.#realize().blob()
  }
  formData(): Promise<FormData> {
    return this.#realize().formData()
  }
  clone(): Response {
    const { body } = this.#realize().clone()
    return new web.Response(body, { status: this.#status, statusText: this.#statusText, headers: this.headers })
  }

  #realize(): Response {
    const init = { status: this.#status, statusText: this.#statusText, headers: this.headers }
    this.#real ??= new web.Response(this.#body, init)
    return this.#real
  }

  #createHeaders(): Headers {
    const headers = new web.Headers()
    const fields = this.#lines.text.split('\n')
    for (let index = 1; index < fields.length; index += 2) headers.append(fields[index]!, fields[index + 1]!)
    if (this.#lines.length !== null) headers.set('content-length', this.#lines.length)
    return headers
  }
}

/** The class to install as the global Response. What it cannot take apart cheaply and exactly goes to Node's own. */
export function createResponseClass(native: NativeWeb): typeof Response {
  web = native
  const Native = native.Response
  function construct(body?: BodyInit | null, init?: ResponseInit): object {
    if (new.target === undefined) throw new TypeError("Class constructor Response cannot be invoked without 'new'")
    const lazy = (new.target as unknown) === construct ? createLazy(body, init) : null
    return lazy ?? Reflect.construct(Native, init === undefined ? [body] : [body, init], new.target)
  }
  Object.setPrototypeOf(construct, Native)
  Object.defineProperty(construct, 'name', { value: 'Response', configurable: true })
  Object.defineProperty(construct, 'length', { value: 0, configurable: true })
  Object.defineProperty(construct, 'prototype', { value: Native.prototype, writable: false })
  Object.defineProperty(construct, 'json', { value: createJson(Native), writable: true, configurable: true })
  const patched = construct as unknown as typeof Response
  Native.prototype.constructor = patched
  Object.setPrototypeOf(LazyResponse.prototype, Native.prototype)
  Object.defineProperty(LazyResponse.prototype, 'constructor', { value: patched })
  return patched
}

function createJson(Native: typeof Response): (value: unknown, init?: ResponseInit) => object {
  return function json(value, init) {
    const text = JSON.stringify(value)
    const lazy = text === undefined ? null : createLazy(text, init, '\ncontent-type\napplication/json')
    return lazy ?? Native.json(value, init)
  }
}

/** Null when the arguments are not of the simple kind: Node's class then decides, and throws what it throws. */
function createLazy(body: unknown, init: ResponseInit | undefined, defaultType = TEXT_TYPE): LazyResponse | null {
  let kept: KeptBody
  // CONTRACT: the body is a snapshot, bytes changed after the call must not leave.
  if (typeof body === 'string') kept = body.isWellFormed() ? body : body.toWellFormed()
  else if (body === null || body === undefined) kept = null
  else if (types.isUint8Array(body) || types.isArrayBuffer(body)) kept = new Uint8Array(body)
  else if (isUntouched(body)) kept = body
  else return null
  const lines = new HeaderText()
  let status = 200
  let statusText = ''
  if (init) {
    if (init.status !== undefined) status = init.status
    if (init.statusText !== undefined) statusText = init.statusText
    if (typeof statusText !== 'string' || !isHeaderValue(statusText)) return null
    if (!Number.isInteger(status) || status < 200 || status > 599) return null
    if (init.headers !== undefined && !readHeaders(init.headers, lines)) return null
  }
  if (kept !== null && NULL_BODY_STATUS.has(status)) return null
  if (typeof kept === 'string' && !lines.hasType) lines.text += defaultType
  return new LazyResponse(status, statusText, lines, kept)
}

function isStream(body: KeptBody): body is ReadableStream<Uint8Array<ArrayBuffer>> {
  return typeof body === 'object' && body !== null && !types.isUint8Array(body)
}

/** The body of a request that nobody has begun to read. */
function isUntouched(body: unknown): body is ReadableStream<Uint8Array<ArrayBuffer>> {
  if (typeof body !== 'object' || body === null || inflowOf(body) === undefined) return false
  const stream = body as ReadableStream
  return !stream.locked && !isDisturbed(stream)
}

/** Gathers header lines from a plain object, a list of pairs or Headers; false for other kinds and for what is not valid. */
function readHeaders(from: unknown, into: HeaderText): boolean {
  if (typeof from !== 'object' || from === null) return false
  if (from instanceof web.Headers) {
    from.forEach((value, name) => {
      into.add(name, value)
    })
    return true
  }
  if (Array.isArray(from)) {
    return from.every((pair) => Array.isArray(pair) && pair.length === 2 && into.add(String(pair[0]), String(pair[1])))
  }
  const prototype = Object.getPrototypeOf(from)
  if (prototype !== Object.prototype && prototype !== null) return false
  for (const name in from as Record<string, unknown>) {
    const value = (from as Record<string, unknown>)[name]
    if (!into.add(name, typeof value === 'string' ? value : String(value))) return false
  }
  return true
}

function readLines(headers: Headers): HeaderText {
  const lines = new HeaderText()
  headers.forEach((value, name) => {
    lines.add(name, value)
  })
  return lines
}
