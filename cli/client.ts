// Client of the gateway: base URL, token, namespace; problem+json becomes CliError. Knows no verb and prints nothing.
import type { Readable } from 'node:stream'
import { anotherServer, pathHints } from './connection-failure.ts'
import { CliError } from './errors.ts'
import { exchange, type HttpResponse, readText } from './http-exchange.ts'

export interface ClientOptions {
  /** Without a slash at its end. */
  readonly url: string
  readonly token: string | null
  /** null: the token's own, else `default`; lists of the platform's token are then of all namespaces. */
  readonly namespace: string | null
  /** What to do when the token is not taken. */
  readonly whenRefused?: string
}

/** Header names and values, in order; a name may come several times. */
export type HeaderList = readonly (readonly [string, string])[]

export interface ClientRequest {
  /** Sent in this order; undefined ones are left out. */
  readonly query?: Readonly<Record<string, string | number | undefined>>
  /** These replace the client's own of the same name. */
  readonly headers?: HeaderList
  /** Sent as JSON. */
  readonly json?: unknown
  /** Sent as it is; a stream is destroyed in the end. */
  readonly body?: string | Buffer | Readable
}

/** RFC 9457 as the gateway fills it. */
export interface Problem {
  readonly type: string
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
  constructor(problem: Problem, body: string, options: ClientOptions) {
    const details = detailsOf(problem)
    const sentence = `${problem.detail || problem.title} (${problem.code})`
    super(isFunctionFault(problem) ? 'FUNCTION_FAILED' : 'PROBLEM', sentence, {
      ...(details === '' ? {} : { details }),
      hints: hintsFor(problem, options),
    })
    this.name = 'ClientError'
    this.problem = problem
    this.body = body
  }

  /** False for a problem a function made up itself. */
  get isOurs(): boolean {
    return this.problem.type.startsWith('urn:thaw:problem:')
  }
}

export interface ClientAnswer {
  readonly status: number
  header(name: string): string | null
  /** The body as it came. */
  readonly text: string
  /** The body parsed; undefined when it is no JSON. */
  readonly json: unknown
}

export interface Client {
  readonly url: string
  /** Any answer at all, its body unread. Throws CliError PLATFORM_UNREACHABLE. */
  open(method: string, path: string, request?: ClientRequest): Promise<HttpResponse>
  /** A 2xx answer, JSON or nothing, read whole. Throws ClientError for others, CliError PLATFORM_UNREACHABLE, also where something
   *  else than a platform answers. */
  request(method: string, path: string, request?: ClientRequest): Promise<ClientAnswer>
  /** Reads a non-2xx answer whole, whatever it holds. */
  readProblem(response: HttpResponse): Promise<ClientError>
}

/** A client holds nothing open and needs no closing. */
export function createClient(options: ClientOptions): Client {
  const client: Client = {
    url: options.url,
    open(method, path, request = {}) {
      const body = request.json === undefined ? request.body : JSON.stringify(request.json)
      return exchange({
        method,
        base: options.url,
        path: `${path}${queryText(request.query)}`,
        headers: requestHeaders(options, request),
        body: body ?? null,
      })
    },
    async request(method, path, request) {
      const response = await client.open(method, path, request)
      if (response.status < 200 || response.status > 299) throw await client.readProblem(response)
      const text = await readText(response.body)
      const type = response.header('content-type')
      if (text !== '' && !type?.includes('json')) throw anotherServer(options.url, response.status, type)
      return { status: response.status, header: response.header, text, json: parseJson(text) }
    },
    readProblem: (response) => readProblem(response, options),
  }
  return client
}

async function readProblem(response: HttpResponse, options: ClientOptions): Promise<ClientError> {
  const text = await readText(response.body)
  const parsed = parseJson(text)
  const fields = typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {}
  const string = (key: string): string | null => (typeof fields[key] === 'string' ? fields[key] : null)
  const retryAfter = Number(response.header('retry-after') ?? Number.NaN)
  return new ClientError(
    {
      type: string('type') ?? 'about:blank',
      title: string('title') ?? (response.statusText || `HTTP ${response.status}`),
      status: response.status,
      detail: string('detail') ?? (string('code') === null ? text.slice(0, 500).trim() : ''),
      code: string('code') ?? `HTTP_${response.status}`,
      component: string('component') ?? 'gateway',
      invocationId: string('invocationId') ?? response.header('fn-invocation-id'),
      stack: string('stack'),
      problems: Array.isArray(fields.problems) ? fields.problems.map(String) : [],
      retryAfterS: Number.isFinite(retryAfter) ? retryAfter : null,
    },
    text,
    options,
  )
}

/** True for problem+json: the platform's, or a function's own (`ClientError.isOurs` tells). */
export function isProblem(response: HttpResponse): boolean {
  return (response.header('content-type') ?? '').startsWith('application/problem+json')
}

/** What the sentence above does not say already: single findings, and where in the code. */
function detailsOf({ detail, problems, stack }: Problem): string {
  const findings = problems.filter((line) => !detail.includes(line)).map((line) => `  ${line}`)
  const trace = stack?.startsWith(detail) ? stack.slice(detail.length).replace(/^\n/, '') : (stack ?? '')
  return [...findings, trace].filter((line) => line !== '').join('\n')
}

/** True when the function is to blame, not the platform or the caller: exit status 3. */
function isFunctionFault(problem: Problem): boolean {
  return problem.status >= 500 && (problem.component === 'function' || problem.code.startsWith('FUNCTION_'))
}

function hintsFor(problem: Problem, { url, namespace, whenRefused = 'set FN_TOKEN' }: ClientOptions): string[] {
  if (problem.status === 401 && problem.type.startsWith('urn:thaw:problem:')) return [whenRefused]
  if (problem.code === 'NOT_FOUND') return pathHints(url)
  if (problem.code.startsWith('HTTP_')) return [`is it a Thaw platform that answers at ${url}? (FN_URL, --url)`]
  if (problem.status === 403 && problem.code === 'FORBIDDEN_HOST') return ['name this host in FN_HOSTS of the platform']
  if (problem.code === 'FUNCTION_NOT_FOUND' && !problem.detail.includes('did you mean'))
    return [`list those there are: fn ls${namespace === null ? '' : ` --namespace ${namespace}`}`]
  if (problem.code === 'FUNCTION_INIT_FAILED')
    return [...causesOf(problem), 'this happened while its code was loaded, before any call']
  if (/\berrno 524\b/.test(problem.detail))
    return ['the kernel of that host has no memory left for filters (net.core.bpf_jit_limit): raise it with sysctl']
  if (isFunctionFault(problem) && problem.invocationId !== null) {
    return [...causesOf(problem), `what it wrote: fn logs --invocation ${problem.invocationId}`]
  }
  if (problem.retryAfterS !== null) return [`try again in ${problem.retryAfterS} s`]
  return []
}

/** Some of what the kernel holds is bounded by number (runtime/sandbox/overuse-watch.ts): more memory would not help there. */
function outOfMemoryHint(detail: string): string {
  const counted = /\bit held \d+ (.+), and \d+ are the most for\b/.exec(detail)?.[1]
  if (counted === undefined) return 'give it more: fn deploy … --memory SIZE'
  return `have it hold fewer ${counted} at once: it is their number that is bounded, and more memory does not raise it`
}

/** What a newcomer could not know: what a sandbox does not have unless it is asked for. */
function causesOf({ code, detail, stack }: Problem): string[] {
  const text = `${detail}\n${stack ?? ''}`
  if (code === 'FUNCTION_OUT_OF_MEMORY') return [outOfMemoryHint(detail)]
  if (/\b(EAI_AGAIN|ENETUNREACH)\b/.test(text)) return ['a sandbox has no network unless it is deployed with --network']
  if (/NODE_MODULE_VERSION|compiled against a different Node/.test(text))
    return ['a package was built for another Node.js: install it again under Node 24 (npm rebuild), then deploy']
  if (/\bENOENT\b.*'?\/code\//.test(text))
    return ['a file that the code reads does not ship: name it in "files" of fn.json']
  if (/Cannot find (?:module|package) '[^'./]/.test(text))
    return [
      'install that package next to the handler, then deploy; one that is required by a computed name: "external" in fn.json',
    ]
  if (/Cannot find module '(?:\.|\/code)/.test(text))
    return ['a module that is required by a computed name: "files" in fn.json']
  if (/\bEROFS\b/.test(text)) return ['it may write to /tmp; for more see --volume and --scratch of fn deploy']
  return []
}

function requestHeaders(options: ClientOptions, request: ClientRequest): string[] {
  const own: [string, string][] = [['Accept', '*/*']]
  if (options.token !== null) own.push(['Authorization', `Bearer ${options.token}`])
  if (options.namespace !== null) own.push(['Fn-Namespace', options.namespace])
  if (request.json !== undefined) own.push(['Content-Type', 'application/json'])
  const given = request.headers ?? []
  const named = new Set(given.map(([name]) => name.toLowerCase()))
  return [...own.filter(([name]) => !named.has(name.toLowerCase())), ...given].flat()
}

function queryText(query: ClientRequest['query']): string {
  const search = new URLSearchParams()
  for (const [key, value] of Object.entries(query ?? {})) if (value !== undefined) search.set(key, String(value))
  const text = search.toString()
  return text === '' ? '' : `?${text}`
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
