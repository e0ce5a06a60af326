// What a handler returned becomes an answer: a Response of ours, of Node, of another realm, or of a library that brings its own.
import { type Answer, HeaderText, isHeaderValue, ReadyAnswer } from './answer.ts'
import { bodyOf, buffered } from './body-source.ts'
import { isDecodedByFetch } from './fetch.ts'
import { LazyResponse, READ_ALREADY } from './response.ts'

/** What is asked of an object that may be a response. */
interface ResponseLike {
  readonly status?: unknown
  readonly statusText?: unknown
  readonly headers?: unknown
  readonly body?: unknown
  readonly bodyUsed?: unknown
  readonly url?: unknown
  readonly arrayBuffer?: unknown
}
interface HeadersLike {
  readonly forEach?: (each: (value: unknown, name: unknown) => void) => void
  readonly getSetCookie?: () => readonly string[]
  /** node-fetch */
  readonly raw?: () => Record<string, readonly string[]>
  readonly [Symbol.iterator]?: () => Iterator<readonly [unknown, unknown]>
}

const NOT_ONE = 'not a Response'

/** What a handler returned, ready to send; a string says why it is no response. Throws what the object's own getters throw. */
export function toAnswer(result: unknown): Answer | string {
  if (typeof result !== 'object' || result === null) return NOT_ONE
  if (result instanceof ReadyAnswer) return result.answer
  return LazyResponse.answer(result) ?? answerOf(result as ResponseLike)
}

function answerOf(response: ResponseLike): Answer | string {
  const { status, headers } = response
  if (typeof status !== 'number' || !isHeaders(headers)) return NOT_ONE
  if (!Number.isInteger(status) || status < 200 || status > 599) return `a Response of status ${status}`
  const given = response.body
  const known = bodyOf(given)
  const body = known === undefined ? bufferedBody(response) : known
  if (body === undefined) return NOT_ONE
  if (response.bodyUsed === true || (given as { locked?: unknown } | null)?.locked === true) return READ_ALREADY
  const lines = readLines(headers, body !== null && isDecodedByFetch(response.url, headers))
  if (lines.invalid !== null) return `a Response with an invalid header ${lines.invalid}`
  return { status, reason: reasonOf(response.statusText), headers: lines.text, length: lines.length, body }
}

/** What HTTP can carry of it. */
function reasonOf(statusText: unknown): string {
  return typeof statusText === 'string' && isHeaderValue(statusText) ? statusText : ''
}

/** Of an old polyfill, which has methods to read its body and no stream. */
function bufferedBody(response: ResponseLike): ReturnType<typeof bodyOf> {
  if (typeof response.arrayBuffer !== 'function') return undefined
  return buffered(response as { arrayBuffer(): Promise<ArrayBuffer> })
}

function isHeaders(headers: unknown): headers is HeadersLike {
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers)) return false
  const { forEach, [Symbol.iterator]: iterator } = headers as HeadersLike
  return typeof forEach === 'function' || typeof iterator === 'function'
}

/** `decoded`: the body is no longer what content-encoding and content-length speak of. */
function readLines(headers: HeadersLike, decoded: boolean): HeaderText {
  const lines = new HeaderText()
  const cookies = cookiesOf(headers)
  const add = (value: unknown, name: unknown) => {
    const lower = String(name).toLowerCase()
    if (decoded && (lower === 'content-encoding' || lower === 'content-length')) return
    if (cookies === null || lower !== 'set-cookie') lines.add(lower, String(value))
  }
  if (typeof headers.forEach === 'function') headers.forEach(add)
  else for (const [name, value] of headers as Iterable<readonly [unknown, unknown]>) add(value, name)
  for (const cookie of cookies ?? []) lines.add('set-cookie', cookie)
  return lines
}

/** Each cookie by itself, where the class can tell them: some join them by commas, which no browser takes apart. */
function cookiesOf(headers: HeadersLike): readonly string[] | null {
  if (typeof headers.getSetCookie === 'function') return headers.getSetCookie()
  return typeof headers.raw === 'function' ? (headers.raw()['set-cookie'] ?? []) : null
}
