// What a Lambda handler gave becomes an answer: an object with a statusCode is the response, everything else is sent as JSON.
import { HeaderText, ReadyAnswer } from './answer.ts'
import { types } from './builtins.ts'

/** The head of a response in payload format 2.0, before it is checked. */
export interface LambdaHead {
  readonly statusCode?: unknown
  readonly headers?: unknown
  readonly multiValueHeaders?: unknown
  readonly cookies?: unknown
}
interface LambdaResult extends LambdaHead {
  readonly body?: unknown
  readonly isBase64Encoded?: unknown
}

/** A handler's result as an answer. Throws what JSON.stringify throws. */
export function toLambdaAnswer(result: unknown): ReadyAnswer {
  const given = typeof result === 'object' && result !== null ? (result as LambdaResult) : null
  if (given === null || given.statusCode === undefined) {
    const lines = new HeaderText()
    lines.add('content-type', 'application/json')
    const body = JSON.stringify(result) ?? 'null'
    return new ReadyAnswer({ status: 200, reason: '', headers: lines.text, length: null, body })
  }
  const head = lambdaHead(given)
  if (typeof head === 'string') return new ReadyAnswer(head)
  const { body } = given
  const hasBody = body !== undefined && body !== null
  if (!head.lines.hasType && hasBody) head.lines.add('content-type', 'application/json')
  return new ReadyAnswer({
    reason: '',
    status: head.status,
    headers: head.lines.text,
    length: head.lines.length,
    body: hasBody ? bodyBytes(body, given.isBase64Encoded === true) : null,
  })
}

/** Status and header lines, or why there are none. */
export function lambdaHead(head: LambdaHead): { readonly status: number; readonly lines: HeaderText } | string {
  const status = Number(head.statusCode)
  if (!Number.isInteger(status) || status < 200 || status > 599) return `a statusCode of ${String(head.statusCode)}`
  const lines = new HeaderText()
  const several = entriesOf(head.multiValueHeaders)
  const names = new Set(several.map(([name]) => name.toLowerCase()))
  for (const [name, value] of entriesOf(head.headers)) if (!names.has(name.toLowerCase())) addAll(lines, name, value)
  for (const [name, values] of several) addAll(lines, name, values)
  addAll(lines, 'set-cookie', head.cookies)
  return lines.invalid === null ? { status, lines } : `a response with an invalid header ${lines.invalid}`
}

/** One line for each value. CONTRACT: AWS sees the result as JSON, where undefined is nothing; null is nothing here, too. */
function addAll(lines: HeaderText, name: string, value: unknown): void {
  for (const each of Array.isArray(value) ? value : [value]) {
    if (each !== undefined && each !== null) lines.add(name, String(each))
  }
}

function entriesOf(headers: unknown): [string, unknown][] {
  return typeof headers === 'object' && headers !== null ? Object.entries(headers) : []
}

function bodyBytes(body: unknown, isBase64: boolean): string | Uint8Array {
  if (types.isUint8Array(body)) return body
  const text = typeof body === 'string' ? body : (JSON.stringify(body) ?? '')
  return isBase64 ? Buffer.from(text, 'base64') : text
}
