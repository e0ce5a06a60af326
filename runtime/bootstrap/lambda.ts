// AWS Lambda's handler form: one call becomes an event of payload format 2.0, its result becomes an answer.
// Source: AWS, "Working with AWS Lambda proxy integrations for HTTP APIs", payload format version 2.0.
import type { LambdaContext, LambdaEvent, LambdaHandler } from '../handler.ts'
import type { InitConfig } from '../protocol/messages.ts'
import { isUtf8, now } from './builtins.ts'
import type { Call } from './call.ts'
import type { Handler } from './load.ts'
import { HeaderText, ReadyAnswer } from './response.ts'

const TEXT_TYPE =
  /^(?:text\/|application\/(?:[\w.-]+\+)?(?:json|xml)|application\/(?:javascript|x-www-form-urlencoded|graphql|yaml)|multipart\/form-data$)/i

/** Makes a handler of the web kind from a Lambda function. */
export function lambdaForm(handler: LambdaHandler, config: InitConfig): Handler {
  return async (call) => {
    const body = call.inflow === null ? null : await call.inflow.collect()
    const result = await callHandler(handler, createEvent(call, body), createLambdaContext(call, config))
    return toLambdaAnswer(result)
  }
}

/** The variables the Lambda runtime sets and handlers read. */
export function lambdaVariables(config: InitConfig): Record<string, string> {
  return {
    AWS_LAMBDA_FUNCTION_NAME: config.functionName,
    AWS_LAMBDA_FUNCTION_VERSION: config.version,
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: memoryMb(config),
    AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
    AWS_REGION: 'local',
    AWS_DEFAULT_REGION: 'local',
    LAMBDA_TASK_ROOT: '/code',
    _HANDLER: `${config.fileName.replace(/\.\w+$/, '')}.handler`,
  }
}

function callHandler(handler: LambdaHandler, event: LambdaEvent, context: LambdaContext): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const callback = (error?: unknown, value?: unknown): void => {
      if (error === undefined || error === null) resolve(value)
      else reject(error)
    }
    const returned = handler(event, context, callback)
    if (returned instanceof Promise || handler.length < 3) resolve(returned)
    else if (returned !== undefined) resolve(returned)
  })
}

function createEvent(call: Call, body: Buffer | null): LambdaEvent {
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
    rawPath: decodePath(path),
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
        path: decodePath(path),
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

function createLambdaContext(call: Call, config: InitConfig): LambdaContext {
  return {
    awsRequestId: call.head.id,
    functionName: config.functionName,
    functionVersion: config.version,
    invokedFunctionArn: `arn:aws:lambda:local:000000000000:function:${config.functionName}`,
    memoryLimitInMB: memoryMb(config),
    logGroupName: `/aws/lambda/${config.functionName}`,
    logStreamName: call.head.id,
    callbackWaitsForEmptyEventLoop: false,
    getRemainingTimeInMillis: () => Math.max(0, call.deadline - now()),
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

function decodePath(path: string): string {
  try {
    return decodeURI(path)
  } catch {
    return path
  }
}

/** `12/Mar/2025:19:03:58 +0000` */
function clfTime(epochMs: number): string {
  const [, day, month, year, time] = new Date(epochMs).toUTCString().split(' ')
  return `${day}/${month}/${year}:${time} +0000`
}

/** An object with a statusCode is the response; everything else is sent as JSON. */
function toLambdaAnswer(result: unknown): ReadyAnswer {
  const lines = new HeaderText()
  if (typeof result !== 'object' || result === null || !('statusCode' in result)) {
    lines.add('content-type', 'application/json')
    return new ReadyAnswer({ status: 200, headers: lines.text, length: null, body: JSON.stringify(result ?? null) })
  }
  const { statusCode, headers, multiValueHeaders, cookies, body, isBase64Encoded } = result as Record<string, unknown>
  const status = Number(statusCode)
  if (!Number.isInteger(status) || status < 200 || status > 599)
    return new ReadyAnswer(`a statusCode of ${String(statusCode)}`)
  const many = Object.entries((multiValueHeaders ?? {}) as Record<string, unknown[]>)
  const several = new Set(many.map(([name]) => name.toLowerCase()))
  for (const [name, value] of Object.entries((headers ?? {}) as Record<string, unknown>)) {
    if (!several.has(name.toLowerCase())) lines.add(name, String(value))
  }
  for (const [name, values] of many) for (const value of values) lines.add(name, String(value))
  for (const cookie of (cookies ?? []) as unknown[]) lines.add('set-cookie', String(cookie))
  if (lines.invalid !== null) return new ReadyAnswer(`a response with an invalid header ${lines.invalid}`)
  if (!lines.hasType && body !== undefined && body !== null) lines.add('content-type', 'application/json')
  const text = body === undefined || body === null ? null : typeof body === 'string' ? body : JSON.stringify(body)
  const bytes = isBase64Encoded === true && text !== null ? Buffer.from(text, 'base64') : text
  return new ReadyAnswer({ status, headers: lines.text, length: lines.length, body: bytes })
}

function memoryMb(config: InitConfig): string {
  return String(Math.round(config.memoryBytes / 1024 ** 2))
}
