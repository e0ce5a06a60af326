// The request a handler sees: a Request to every observer, built from the wire's fields only as far as it is used.
// The real object exists only after clone(), new Request(request), fetch(request), or a look at it as a whole (console.log).
import { isDisturbed } from './builtins.ts'
import type { Inflow } from './inflow.ts'
import type { NativeWeb } from './web.ts'

/** What a request is made from. `signal` is called at first use. */
export interface RequestSource {
  readonly method: string
  readonly target: string
  /** Flat names and values as they came. */
  readonly headers: readonly string[]
  readonly inflow: Inflow | null
  readonly signal: () => AbortSignal
}

/** Property under which fromNode finds the raw header list. */
export const RAW_HEADERS = Symbol.for('thaw.rawHeaders')

let native: NativeWeb

/** Looks and behaves as a Request with the body, url and headers of one invocation. What it has no member for is asked of the
 *  real one (`patchPrototype` in web.ts). */
export class LazyRequest {
  readonly #source: RequestSource
  #url: string | null = null
  #headers: Headers | null = null
  #used = false
  #stream: ReadableStream<Uint8Array<ArrayBuffer>> | null = null
  #real: Request | null = null
  /** The real one's body is this one's: it is read through that one then. */
  #handedOver = false

  constructor(source: RequestSource) {
    this.#source = source
    native.markAsUncloneable(this)
  }

  /** Puts Node's Request into the prototype chain: `instanceof Request` holds. Called once. */
  static adopt(web: NativeWeb): void {
    native = web
    Object.setPrototypeOf(LazyRequest.prototype, web.Request.prototype)
    Object.defineProperty(LazyRequest.prototype, 'constructor', {
      get: () => web.Request.prototype.constructor,
      configurable: true,
    })
  }

  /** True for a lazy request, whatever it has been made to look like. */
  static is(value: unknown): boolean {
    return typeof value === 'object' && value !== null && #source in value
  }

  /** The real Request for a lazy one; anything else unchanged. */
  static unwrap<T>(input: T): T | Request {
    return typeof input === 'object' && input !== null && #source in input
      ? (input as unknown as LazyRequest).#realize()
      : input
  }

  get method(): string {
    return this.#source.method
  }
  get url(): string {
    this.#url ??= requestUrl(this.#source.target, this.#source.headers)
    return this.#url
  }
  get headers(): Headers {
    if (this.#headers === null) {
      const list = this.#source.headers
      const headers = new native.Headers()
      for (let index = 0; index < list.length; index += 2) headers.append(list[index]!, list[index + 1]!)
      this.#headers = headers
    }
    return this.#headers
  }
  get [RAW_HEADERS](): readonly string[] {
    return this.#source.headers
  }
  get signal(): AbortSignal {
    return this.#source.signal()
  }
  get body(): ReadableStream<Uint8Array<ArrayBuffer>> | null {
    if (this.#handedOver) return this.#real!.body as ReadableStream<Uint8Array<ArrayBuffer>> | null
    if (this.#source.inflow === null) return null
    this.#stream ??= this.#source.inflow.stream()
    return this.#stream
  }
  get bodyUsed(): boolean {
    if (this.#handedOver) return this.#real!.bodyUsed
    if (this.#used || this.#stream === null) return this.#used
    return isDisturbed(this.#stream) || this.#source.inflow?.taken === true
  }

  get cache(): RequestCache {
    return 'default'
  }
  get credentials(): RequestCredentials {
    return 'same-origin'
  }
  get destination(): RequestDestination {
    return ''
  }
  get duplex(): 'half' {
    return 'half'
  }
  get integrity(): string {
    return ''
  }
  get keepalive(): boolean {
    return false
  }
  get mode(): RequestMode {
    return 'cors'
  }
  get redirect(): RequestRedirect {
    return 'follow'
  }
  get referrer(): string {
    return 'about:client'
  }
  get referrerPolicy(): ReferrerPolicy {
    return ''
  }

  async text(): Promise<string> {
    if (this.#handedOver) return this.#real!.text()
    return decodeUtf8(await this.#consume())
  }
  async json(): Promise<unknown> {
    if (this.#handedOver) return this.#real!.json()
    return JSON.parse(decodeUtf8(await this.#consume()))
  }
  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#handedOver) return this.#real!.bytes() as Promise<Uint8Array<ArrayBuffer>>
    return owned(await this.#consume())
  }
  async arrayBuffer(): Promise<ArrayBuffer> {
    if (this.#handedOver) return this.#real!.arrayBuffer()
    return owned(await this.#consume()).buffer
  }
  async blob(): Promise<Blob> {
    if (this.#handedOver) return this.#real!.blob()
    return this.#bodyAsResponse(owned(await this.#consume())).blob()
  }
  async formData(): Promise<FormData> {
    if (this.#handedOver) return this.#real!.formData()
    return this.#bodyAsResponse(owned(await this.#consume())).formData()
  }
  clone(): Request {
    const clone = this.#realize().clone()
    if (clone.method !== this.method) Object.defineProperty(clone, 'method', { value: this.method, configurable: true })
    return clone
  }

  async #consume(): Promise<Buffer> {
    const { inflow } = this.#source
    if (this.bodyUsed || this.#stream?.locked === true)
      throw new TypeError('Body is unusable: Body has already been read')
    if (inflow === null) return Buffer.alloc(0)
    this.#used = true
    if (this.#stream === null) return inflow.collect()
    return Buffer.from(await new native.Response(this.#stream).arrayBuffer())
  }

  /** Node's own readers go by the content type. */
  #bodyAsResponse(body: Uint8Array<ArrayBuffer>): Response {
    const type = this.headers.get('content-type')
    return new native.Response(body, { headers: type === null ? [] : [['content-type', type]] })
  }

  /** As they came, letter case included: so Node prints them. */
  #pairs(): [string, string][] {
    const { headers } = this.#source
    const pairs: [string, string][] = []
    for (let index = 0; index < headers.length; index += 2) pairs.push([headers[index]!, headers[index + 1]!])
    return pairs
  }

  #realize(): Request {
    if (this.#real !== null) {
      if (this.#headers !== null) makeEqual(this.#real.headers, this.#headers)
      return this.#real
    }
    const { method, inflow } = this.#source
    // Node's class takes neither a body with GET and HEAD nor these methods: such a body stays with this object.
    const bodyless = method === 'GET' || method === 'HEAD'
    const forbidden = FORBIDDEN_METHODS.test(method)
    const init = {
      method: forbidden ? 'POST' : method,
      headers: this.#headers ?? this.#pairs(),
      signal: this.signal,
      duplex: 'half',
    }
    const body = bodyless || inflow === null ? null : this.#used ? usedStream() : this.body
    this.#real = new native.Request(this.url, body === null ? init : { ...init, body })
    this.#handedOver = body !== null
    if (this.#used && body !== null) body.cancel().catch(() => undefined)
    if (forbidden) Object.defineProperty(this.#real, 'method', { value: method, configurable: true })
    return this.#real
  }
}

/** What the code has changed since counts. */
function makeEqual(headers: Headers, wanted: Headers): void {
  for (const name of [...headers.keys()]) headers.delete(name)
  wanted.forEach((value, name) => {
    headers.append(name, value)
  })
}

/** Those that the Fetch standard keeps to the user agent. */
const FORBIDDEN_METHODS = /^(?:connect|trace|track)$/i

/** A body that was read already, past any stream: disturbed once the request has it. */
function usedStream(): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream<Uint8Array<ArrayBuffer>>()
}

// A target that the URL standard would leave as it is: no dot segments, no escapes, nothing to encode.
const PLAIN_TARGET = /^\/[\w\-.~!$&()*+,;=:@/]*(?:\?[\w\-.~!$&()*+,;=:@/?%]*)?$/
let lastAuthority = ''
let lastOrigin = ''

/** The absolute URL of a raw target: scheme and host as the platform forwards them, normalised as the URL standard says. */
function requestUrl(target: string, headers: readonly string[]): string {
  let host = ''
  let forwardedHost = ''
  let scheme = 'http'
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index]!
    if (name.length === 4 && name.toLowerCase() === 'host') host = headers[index + 1]!
    else if (name.length === 16 && name.toLowerCase() === 'x-forwarded-host') forwardedHost = headers[index + 1]!
    else if (name.length === 17 && name.toLowerCase() === 'x-forwarded-proto')
      scheme = headers[index + 1] === 'https' ? 'https' : 'http'
  }
  const authority = `${scheme}://${forwardedHost || host || 'localhost'}`
  if (authority !== lastAuthority) {
    lastOrigin = native.URL.parse(authority)?.origin ?? `${scheme}://localhost`
    lastAuthority = authority
  }
  if (PLAIN_TARGET.test(target) && !target.includes('/.')) return lastOrigin + target
  return native.URL.parse(lastOrigin + target)?.href ?? `${lastOrigin}/`
}

/** UTF-8 text without a byte order mark, as the Encoding standard's "UTF-8 decode". */
function decodeUtf8(bytes: Buffer): string {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.toString('utf8', 3) : bytes.toString()
}

/** The bytes in an ArrayBuffer of their own. */
function owned(bytes: Buffer): Uint8Array<ArrayBuffer> {
  return bytes.length === bytes.buffer.byteLength ? new Uint8Array(bytes.buffer as ArrayBuffer) : new Uint8Array(bytes)
}
