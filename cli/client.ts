// HTTP client of the gateway: base URL, token, namespace; problem+json becomes CliError. Knows no verb and prints nothing.
import { Readable } from 'node:stream'
import { CliError } from './errors.ts'

export interface ClientOptions {
  /** Without a slash at its end. */
  readonly url: string
  readonly token: string | null
  readonly namespace: string
}

export interface ClientRequest {
  /** Sent in this order; undefined ones are left out. */
  readonly query?: Readonly<Record<string, string | number | undefined>>
  readonly headers?: Readonly<Record<string, string>> | readonly (readonly [string, string])[]
  /** Sent as JSON. */
  readonly json?: unknown
  /** Sent as it is; a stream is sent chunked and destroyed on failure. */
  readonly body?: string | Buffer | Blob | Readable
  readonly signal?: AbortSignal
}

/** RFC 9457 as the gateway fills it. */
export interface Problem {
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: string
  readonly component: string
  readonly invocationId: string | null
  /** Stack of the function's own error. */
  readonly stack: string | null
  /** Single findings, e.g. every bad key of `fn.json`. */
  readonly problems: readonly string[]
  /** Seconds, from `Retry-After`. */
  readonly retryAfterS: number | null
}

/** A problem of the gateway as an error; `body` is what came over HTTP. */
export class ClientError extends CliError {
  readonly problem: Problem
  readonly body: string
  constructor(problem: Problem, body: string) {
    const details = [...problem.problems.map((line) => `  ${line}`), ...(problem.stack === null ? [] : [problem.stack])]
    super(
      isFunctionFault(problem) ? 'FUNCTION_FAILED' : 'PROBLEM',
      `${problem.detail || problem.title} (${problem.code})`,
      {
        ...(details.length > 0 ? { details: details.join('\n') } : {}),
        hints: hintsFor(problem),
      },
    )
    this.name = 'ClientError'
    this.problem = problem
    this.body = body
  }
}

export interface ClientAnswer {
  readonly status: number
  readonly headers: Headers
  /** The body as it came. */
  readonly text: string
  /** The body parsed; undefined when it is no JSON. */
  readonly json: unknown
}

export interface Client {
  readonly url: string
  readonly namespace: string
  /** Any answer at all, unread. Throws CliError PLATFORM_UNREACHABLE. */
  fetch(method: string, path: string, request?: ClientRequest): Promise<Response>
  /** A 2xx answer, read whole. Throws ClientError for others, CliError PLATFORM_UNREACHABLE. */
  request(method: string, path: string, request?: ClientRequest): Promise<ClientAnswer>
}

/** A client holds no connection of its own and needs no closing. */
export function createClient(options: ClientOptions): Client {
  const { url, namespace } = options
  const client: Client = {
    url,
    namespace,
    async fetch(method, path, request = {}) {
      const headers = requestHeaders(options, request)
      const body = request.json !== undefined ? JSON.stringify(request.json) : request.body
      const stream = body instanceof Readable ? body : null
      try {
        return await fetch(`${url}${path}${queryText(request.query)}`, {
          method,
          headers,
          redirect: 'manual',
          ...(request.signal === undefined ? {} : { signal: request.signal }),
          ...(body === undefined ? {} : { body: stream === null ? (body as string) : Readable.toWeb(stream) }),
          ...(stream === null ? {} : { duplex: 'half' }),
        } as RequestInit)
      } catch (error) {
        stream?.destroy()
        throw connectionError(error, url)
      }
    },
    async request(method, path, request) {
      const response = await client.fetch(method, path, request)
      if (!response.ok) throw await readProblem(response)
      const text = await response.text()
      return { status: response.status, headers: response.headers, text, json: parseJson(text) }
    },
  }
  return client
}

/** Reads a non-2xx answer whole, whatever it holds. */
export async function readProblem(response: Response): Promise<ClientError> {
  const text = await response.text()
  const parsed = parseJson(text)
  const fields = typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {}
  const string = (key: string): string | null => (typeof fields[key] === 'string' ? fields[key] : null)
  const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN)
  return new ClientError(
    {
      title: string('title') ?? (response.statusText || `HTTP ${response.status}`),
      status: response.status,
      detail: string('detail') ?? (string('code') === null ? text.slice(0, 500).trim() : ''),
      code: string('code') ?? `HTTP_${response.status}`,
      component: string('component') ?? 'gateway',
      invocationId: string('invocationId') ?? response.headers.get('fn-invocation-id'),
      stack: string('stack'),
      problems: Array.isArray(fields.problems) ? fields.problems.map(String) : [],
      retryAfterS: Number.isFinite(retryAfter) ? retryAfter : null,
    },
    text,
  )
}

/** True when a response is the platform's own problem, not something the function answered. */
export function isProblem(response: Response): boolean {
  return (response.headers.get('content-type') ?? '').startsWith('application/problem+json')
}

/** True when the function is to blame, not the platform or the caller: exit status 3. */
function isFunctionFault(problem: Problem): boolean {
  return problem.status >= 500 && (problem.component === 'function' || problem.code.startsWith('FUNCTION_'))
}

function hintsFor(problem: Problem): string[] {
  if (problem.status === 401) return ['set FN_TOKEN, or FN_STATE_DIR to the state directory of that platform']
  if (problem.status === 403 && problem.code === 'FORBIDDEN_HOST') return ['name this host in FN_HOSTS of the platform']
  if (problem.retryAfterS !== null) return [`try again in ${problem.retryAfterS} s`]
  return []
}

function requestHeaders(options: ClientOptions, request: ClientRequest): Headers {
  const headers = new Headers()
  if (options.token !== null) headers.set('authorization', `Bearer ${options.token}`)
  if (options.namespace !== 'default') headers.set('fn-namespace', options.namespace)
  if (request.json !== undefined) headers.set('content-type', 'application/json')
  // What the caller names replaces ours; names given several times stay several.
  const given = Array.isArray(request.headers) ? request.headers : Object.entries(request.headers ?? {})
  const named = given as readonly (readonly [string, string])[]
  for (const [name] of named) headers.delete(name)
  for (const [name, value] of named) headers.append(name, value)
  return headers
}

function queryText(query: ClientRequest['query']): string {
  const search = new URLSearchParams()
  for (const [key, value] of Object.entries(query ?? {})) if (value !== undefined) search.set(key, String(value))
  const text = search.toString()
  return text === '' ? '' : `?${text}`
}

function connectionError(error: unknown, url: string): Error {
  if ((error as Error).name === 'AbortError') return error as Error
  const cause = (error as { cause?: { code?: string; message?: string; errors?: { code?: string }[] } }).cause
  const code = cause?.code ?? cause?.errors?.[0]?.code
  if (code === 'ECONNREFUSED' || code === 'ENOTFOUND' || code === 'EHOSTUNREACH' || code === 'EAI_AGAIN') {
    return new CliError('PLATFORM_UNREACHABLE', `no platform at ${url}`, {
      cause: error,
      hints: ['start one with: fn up', 'or say where it is: FN_URL=http://host:port, or --url'],
    })
  }
  const reason = cause?.message ?? (error as Error).message
  return new CliError('PLATFORM_UNREACHABLE', `the connection to ${url} failed: ${reason}`, { cause: error })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
