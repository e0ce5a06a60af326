// The end of a call as a CloudEvent 1.0 in structured JSON mode: what the next function or the receiver of a callback gets.
// Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
import type { InvocationRecord } from '../../api.ts'
import type { StoredResult } from '../api.ts'

export const EVENT_CONTENT_TYPE = 'application/cloudevents+json; charset=utf-8'
/** Of a longer response the event has the place where it lies. */
export const INLINE_RESPONSE_BYTES = 256 * 1024

/** A response as it stands in the event; `body` is JSON as data, other text as text. */
export interface EventResponse {
  readonly status: number
  readonly contentType: string | null
  readonly bodyBytes: number
  readonly body?: unknown
  readonly bodyBase64?: string
  /** Instead of the body. */
  readonly location?: string
}

/** `id` is the delivery's: the same on each try. */
export function eventOf(id: string, record: InvocationRecord, response: EventResponse | null, depth: number): Buffer {
  const { namespace, function: functionName, version, state, attempt, status, error } = record
  const { createdAt, startedAt, endedAt } = record
  return Buffer.from(
    JSON.stringify({
      specversion: '1.0',
      id,
      source: `urn:thaw:function:${namespace}:${functionName}`,
      type: `thaw.invocation.${state}`,
      subject: record.id,
      time: endedAt ?? createdAt,
      datacontenttype: 'application/json',
      thawdepth: depth,
      data: {
        id: record.id,
        namespace,
        function: functionName,
        version,
        state,
        attempt,
        status,
        error: error === null ? null : { code: error.code, component: error.component, message: error.message },
        createdAt,
        startedAt,
        endedAt,
        response,
      },
    }),
  )
}

/** Reads a stored response for the event; a long one is left where it is. */
export async function readResponse(invocation: string, result: StoredResult | null): Promise<EventResponse | null> {
  if (result === null) return null
  const { status, headers, bodyBytes, body } = result
  const contentType = headerOf(headers, 'content-type')
  const head = { status, contentType, bodyBytes }
  if (bodyBytes > INLINE_RESPONSE_BYTES) {
    if (!Buffer.isBuffer(body)) body.destroy()
    return { ...head, location: `/v1/invocations/${invocation}/result` }
  }
  const chunks: Buffer[] = []
  if (Buffer.isBuffer(body)) chunks.push(body)
  else for await (const chunk of body) chunks.push(chunk as Buffer)
  return { ...head, ...bodyOf(Buffer.concat(chunks), contentType) }
}

function bodyOf(bytes: Buffer, contentType: string | null): Pick<EventResponse, 'body' | 'bodyBase64'> {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return { bodyBase64: bytes.toString('base64') }
  }
  if (contentType === null || !/[/+]json\b/i.test(contentType)) return { body: text }
  try {
    return { body: JSON.parse(text) }
  } catch {
    return { body: text }
  }
}

function headerOf(headers: readonly string[], name: string): string | null {
  for (let index = 0; index + 1 < headers.length; index += 2)
    if (headers[index]!.toLowerCase() === name) return headers[index + 1]!
  return null
}
