// The payloads of INVOKE and HEAD: a compact head and, behind it, the first bytes of the body. Imports only frames.ts.
//
//    ┌───────┬─────────────┬──────────────────────────────┬─────── … ──┐
//    │ flags │ head length │ head: latin1, fields by '\n' │ body bytes │
//    │ u8    │ u32         │ ≤ 64 KiB                     │ ≤ 64 KiB   │
//    └───────┴─────────────┴──────────────────────────────┴─────── … ──┘
//    INVOKE  id \n timeout ms \n attempt \n method \n target [\n name \n value]*
//    HEAD    status [ reason] [\n name \n value]*
import {
  FRAME,
  FRAME_HEADER_BYTES,
  MAX_HEAD_BYTES,
  ProtocolError,
  readU32,
  WINDOW_BYTES,
  writeFrameHeader,
  writeU32,
} from './frames.ts'

/** Bytes of flags and head length. */
export const HEAD_PREFIX_BYTES = 5
const FIXED_INVOKE_FIELDS = 5

/** The request line and headers of one invocation. Headers are flat `[name, value, …]`, latin1. */
export interface InvokeHead {
  readonly id: string
  readonly timeoutMs: number
  readonly attempt: number
  readonly method: string
  readonly target: string
  readonly headers: readonly string[]
}

/** A whole INVOKE frame with `body` (at most 64 KiB) in it. Throws ProtocolError for a head above 64 KiB, or a field
 *  that would not survive (a line feed, a character above U+00FF). */
export function encodeInvoke(invocation: number, flags: number, head: InvokeHead, body: Uint8Array | null): Buffer {
  let text = `${head.id}\n${head.timeoutMs}\n${head.attempt}\n${head.method}\n${head.target}`
  for (const field of head.headers) text += `\n${field}`
  checkFields(text, FIXED_INVOKE_FIELDS + head.headers.length)
  const bodyBytes = body === null ? 0 : body.length
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + HEAD_PREFIX_BYTES + text.length + bodyBytes)
  const bodyAt = writeHead(frame, 0, FRAME.INVOKE, invocation, flags, text, bodyBytes)
  if (body !== null) frame.set(body, bodyAt)
  return frame
}

/** Writes frame header, flags and head at `offset` and returns where the body of `bodyBytes` goes.
 *  The caller has checked the sizes and that `text` is latin1. */
export function writeHead(
  into: Buffer,
  offset: number,
  type: number,
  invocation: number,
  flags: number,
  text: string,
  bodyBytes: number,
): number {
  const at = writeFrameHeader(into, offset, type, invocation, HEAD_PREFIX_BYTES + text.length + bodyBytes)
  into[at] = flags
  writeU32(into, at + 1, text.length)
  into.write(text, at + HEAD_PREFIX_BYTES, 'latin1')
  return at + HEAD_PREFIX_BYTES + text.length
}

/** Where the body begins in a payload of INVOKE or HEAD. Throws ProtocolError when the lengths do not fit. */
export function bodyOffset(payload: Uint8Array): number {
  if (payload.length < HEAD_PREFIX_BYTES) throw new ProtocolError(`head of ${payload.length} bytes is too short`)
  const headBytes = readU32(payload, 1)
  const offset = HEAD_PREFIX_BYTES + headBytes
  if (headBytes > MAX_HEAD_BYTES) throw new ProtocolError(`head of ${headBytes} bytes is above ${MAX_HEAD_BYTES}`)
  if (offset > payload.length) throw new ProtocolError(`head of ${headBytes} bytes in a payload of ${payload.length}`)
  if (payload.length - offset > WINDOW_BYTES) throw new ProtocolError('body in a head frame is above the window')
  return offset
}

/** The fields of an INVOKE head. Throws ProtocolError. */
export function parseInvokeHead(payload: Buffer, end: number): InvokeHead {
  const fields = payload.toString('latin1', HEAD_PREFIX_BYTES, end).split('\n')
  if (fields.length < FIXED_INVOKE_FIELDS || fields.length % 2 === 0) {
    throw new ProtocolError(`INVOKE with ${fields.length} fields`)
  }
  const [id, timeoutMs, attempt, method, target] = fields as [string, string, string, string, string]
  return {
    id,
    timeoutMs: Number(timeoutMs),
    attempt: Number(attempt),
    method,
    target,
    headers: fields.slice(FIXED_INVOKE_FIELDS),
  }
}

/** A response's status and headers, checked: three digits from 200 to 599, names that are tokens (RFC 9110 5.6.2),
 *  values without control characters. */
export interface ResponseHead {
  readonly status: number
  readonly headers: readonly string[]
  /** Undefined where the function gave none. */
  readonly reason: string | undefined
}

const STATUS = /^[2-5]\d\d(?: [^ ].*)?$/
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
// Everything below space except tab and the separator, and DEL.
const CONTROL = /[^\t\n\x20-\x7e\x80-\xff]/

/** The fields of a HEAD. Trusts nothing. Throws ProtocolError. */
export function parseResponseHead(payload: Buffer, end: number): ResponseHead {
  const text = payload.toString('latin1', HEAD_PREFIX_BYTES, end)
  if (CONTROL.test(text)) throw new ProtocolError('control character in a response head')
  const headers = text.split('\n')
  const status = headers.shift()!
  if (!STATUS.test(status)) throw new ProtocolError(`response status ${JSON.stringify(status.slice(0, 20))}`)
  if (headers.length % 2 !== 0) throw new ProtocolError('response header without a value')
  for (let index = 0; index < headers.length; index += 2) {
    if (!TOKEN.test(headers[index]!)) {
      throw new ProtocolError(`response header name ${JSON.stringify(headers[index]!.slice(0, 40))}`)
    }
  }
  const reason = status.length > 3 ? status.slice(4) : undefined
  return { status: Number(status.slice(0, 3)), headers, reason }
}

/** Refuses text that latin1 or the separator would change. One pass over the characters. */
function checkFields(text: string, fields: number): void {
  if (text.length > MAX_HEAD_BYTES) throw new ProtocolError(`head of ${text.length} bytes is above ${MAX_HEAD_BYTES}`)
  let separators = 0
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code === 10) separators++
    else if (code > 255) throw new ProtocolError('a head field holds a character above U+00FF')
  }
  if (separators !== fields - 1) throw new ProtocolError('a head field holds a line feed')
}
