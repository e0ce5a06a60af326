// One call as the event of AWS Lambda's payload format 2.0, as a function URL sends it.
// Source: AWS, "Working with AWS Lambda proxy integrations for HTTP APIs" and "Invoking Lambda function URLs".
import type { LambdaEvent } from '../handler.ts'
import { isUtf8, now } from './builtins.ts'
import type { Call } from './call.ts'

const TEXT_TYPE =
  /^(?:text\/|application\/(?:[\w.-]+\+)?(?:json|xml)|application\/(?:javascript|x-www-form-urlencoded|graphql|yaml)|multipart\/form-data$)/i

/** `body`: the whole of it, or null for none. */
export function createEvent(call: Call, body: Buffer | null): LambdaEvent {
  const { method, target, headers: raw, id } = call.head
  const at = target.indexOf('?')
  const path = at < 0 ? target : target.slice(0, at)
  const query = at < 0 ? '' : target.slice(at + 1)
  const { headers, cookies } = joinHeaders(raw)
  // Whatever it is called, what is no UTF-8 would not survive as text.
  const saysText = headers['content-encoding'] === undefined && TEXT_TYPE.test(headers['content-type'] ?? 'text/plain')
  const isText = saysText && (body === null || isUtf8(body))
  const host = headers['x-forwarded-host'] ?? headers.host ?? 'localhost'
  const time = now()
  return {
    version: '2.0',
    routeKey: '$default',
    // As sent: decoding would make different paths look the same.
    rawPath: path,
    rawQueryString: query,
    ...(cookies.length > 0 ? { cookies } : {}),
    headers,
    ...(query === '' ? {} : { queryStringParameters: joinQuery(query) }),
    requestContext: {
      accountId: 'anonymous',
      apiId: host.split('.')[0] ?? 'local',
      domainName: host,
      domainPrefix: host.split('.')[0] ?? 'local',
      http: {
        method,
        path,
        protocol: 'HTTP/1.1',
        sourceIp: headers['x-forwarded-for']?.split(',')[0]?.trim() ?? '127.0.0.1',
        userAgent: headers['user-agent'] ?? '',
      },
      requestId: id,
      routeKey: '$default',
      stage: '$default',
      time: clfTime(time),
      timeEpoch: time,
    },
    ...(body === null || body.length === 0 ? {} : { body: body.toString(isText ? 'utf8' : 'base64') }),
    isBase64Encoded: body !== null && body.length > 0 && !isText,
  }
}

/** Names in lower case, repeated ones joined by commas; cookies apart, one entry each. */
function joinHeaders(raw: readonly string[]): { headers: Record<string, string>; cookies: string[] } {
  const headers: Record<string, string> = {}
  const cookies: string[] = []
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index]!.toLowerCase()
    const value = raw[index + 1]!
    if (name === 'cookie') cookies.push(...value.split(/;\s*/).filter((part) => part !== ''))
    const before = Object.hasOwn(headers, name) ? headers[name] : undefined
    headers[name] = before === undefined ? value : `${before}${name === 'cookie' ? '; ' : ','}${value}`
  }
  return { headers, cookies }
}

function joinQuery(query: string): Record<string, string> {
  const parameters: Record<string, string> = {}
  for (const [name, value] of new URLSearchParams(query)) {
    parameters[name] = Object.hasOwn(parameters, name) ? `${parameters[name]},${value}` : value
  }
  return parameters
}

/** `12/Mar/2025:19:03:58 +0000` */
function clfTime(epochMs: number): string {
  const [, day, month, year, time] = new Date(epochMs).toUTCString().split(' ')
  return `${day}/${month}/${year}:${time} +0000`
}
