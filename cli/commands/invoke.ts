// `fn invoke`: calls a function over HTTP as any client would; the response's body goes to stdout, all else to stderr.
// Exit status 3 when the function failed: it threw, crashed, ran out of time or memory, or answered 5xx itself. Its own 4xx
// is an answer (0); what the platform refuses is 1.
import { createReadStream, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import { LIMITS } from '../../runtime/api.ts'
import type { InvocationRecord } from '../answers.ts'
import { type Client, type ClientRequest, type HeaderList, isProblem } from '../client.ts'
import { CliError, EXIT } from '../errors.ts'
import { type HttpResponse, readText } from '../http-exchange.ts'
import { formatInvocation } from '../output/invocation.ts'
import { durationText, header } from './argument.ts'
import { copyBody } from './body.ts'
import { type CommandContext, examples } from './command.ts'
import { addLimitOptions, limitTexts } from './limit-options.ts'

interface InvokeOptions extends Record<string, unknown> {
  readonly data?: string
  readonly method?: string
  readonly path: string
  readonly header?: HeaderList
  readonly async?: boolean
  readonly callback?: string
  readonly delay?: string
  readonly meter?: boolean
  readonly timeout?: string
}

export function define(command: Command, context: CommandContext): void {
  command
    .argument('<name>', 'a function; name@3 or name@prod for a version or alias')
    .description(
      'Calls a function and prints its response; exit status 3 when the function failed (also by answering 5xx).',
    )
    .option('-d, --data <body>', 'JSON or other text, @file, or - for standard input; makes it a POST')
    .option('-X, --method <method>', 'HTTP method (default GET, POST with --data)', methodName)
    .option('-p, --path <path>', 'path and query the function sees', '/')
    .option('-H, --header <name: value>', 'a request header (repeatable)', header)
    .option('--async', 'queue the call and print its id')
    .option('--callback <url>', 'with --async: POST the end of the call there, signed', callbackUrl)
    .option('--delay <duration>', 'with --async: run it no sooner', durationText)
    .option('--meter', 'report phases, CPU, memory and I/O of the call on stderr')
    .option('--timeout <duration>', "time of this call, below the function's", durationText)
  addLimitOptions(command, true)
  examples(command, [
    'fn invoke hello',
    'fn invoke hello --data \'{"name": "Ada"}\'',
    'fn invoke thumbnail --path "/?width=200" --data @photo.jpg > small.jpg',
    'fn invoke api@prod --method DELETE --path /items/3 --header "If-Match: *"',
    'fn invoke hello --memory 64m --cpus 0.2 --meter',
    'fn invoke webhook --async --data @event.json',
    'fn invoke report --async --delay 10m --callback https://example.com/done',
  ])
  command.action(async (name: string, options: InvokeOptions) => {
    const client = context.client()
    const request = buildRequest(options, context)
    const path = options.path.startsWith('/') ? options.path : `/${options.path}`
    const method = options.method ?? (options.data === undefined ? 'GET' : 'POST')
    const response = await client.open(method, `/fn/${functionPath(name)}${path}`, request)
    if (options.async && response.status === 202) return printAccepted(response, context)
    await printResponse(response, client, options.meter === true, context)
  })
}

/** `hello@prod`, each part encoded. */
function functionPath(name: string): string {
  return name.split('@').map(encodeURIComponent).join('@')
}

function buildRequest(options: InvokeOptions, context: CommandContext): ClientRequest {
  const headers: [string, string][] = []
  for (const name of ['callback', 'delay'] as const) {
    const text = options[name]
    if (text === undefined) continue
    if (!options.async) throw new CliError('USAGE', `--${name} is for queued calls`, { hints: ['add --async'] })
    headers.push([`Fn-${name}`, text])
  }
  if (options.async) headers.push(['Prefer', 'respond-async'])
  if (options.timeout !== undefined) headers.push(['Fn-Timeout', options.timeout])
  const limits = limitTexts(options)
  for (const limit of LIMITS) {
    const text = limits[limit.name]
    if (text !== undefined) headers.push([`Fn-Limit-${limit.kebab}`, typeof text === 'string' ? text : text.join(',')])
  }
  const own = options.header ?? []
  const named = (name: string): boolean => own.some(([key]) => key.toLowerCase() === name)
  const payload = options.data === undefined ? null : readPayload(options.data, named('content-type'), context)
  if (payload !== null && !named('content-type')) headers.push(['Content-Type', payload.type])
  if (payload?.bytes !== undefined && !named('content-length')) headers.push(['Content-Length', String(payload.bytes)])
  return { headers: [...headers, ...own], ...(payload === null ? {} : { body: payload.body }) }
}

interface Payload {
  readonly body: NonNullable<ClientRequest['body']>
  readonly type: string
  /** Known size of a stream. */
  readonly bytes?: number
}

function readPayload(text: string, hasType: boolean, { io }: CommandContext): Payload {
  if (text === '-') return { body: io.stdin, type: 'application/octet-stream' }
  if (text.startsWith('@')) return readFilePayload(text, resolve(io.cwd, text.slice(1)))
  try {
    JSON.parse(text)
    return { body: text, type: 'application/json' }
  } catch (error) {
    if (!hasType && /^\s*[{["]/.test(text)) {
      throw new CliError('USAGE', `--data is not valid JSON: ${(error as Error).message}`, {
        hints: ['other text needs a type: --header "Content-Type: text/plain"'],
        cause: error,
      })
    }
    return { body: text, type: 'text/plain;charset=utf-8' }
  }
}

function readFilePayload(shown: string, path: string): Payload {
  const stats = statSync(path, { throwIfNoEntry: false })
  if (!stats) throw new CliError('FILE_NOT_FOUND', `--data ${shown}: no file ${path}`)
  if (stats.isDirectory()) throw new CliError('FILE_NOT_FOUND', `--data ${shown}: ${path} is a folder`)
  const type = path.endsWith('.json') ? 'application/json' : 'application/octet-stream'
  // A pipe or device has no size of its own.
  return { body: createReadStream(path), type, ...(stats.isFile() ? { bytes: stats.size } : {}) }
}

async function printAccepted(response: HttpResponse, context: CommandContext): Promise<void> {
  const text = await readText(response.body)
  if (context.globals.json) {
    context.io.stdout.write(text === '' || text.endsWith('\n') ? text : `${text}\n`)
    return
  }
  const location = response.header('location') ?? ''
  const id = response.header('fn-invocation-id') ?? location.split('/').at(-1) ?? ''
  context.print(id)
  context.note(context.errorStyle.dim(`queued; its result: fn get invocation ${id} --result`))
}

async function printResponse(
  response: HttpResponse,
  client: Client,
  meter: boolean,
  context: CommandContext,
): Promise<void> {
  const report = async (id: string | null): Promise<void> => {
    if (!meter || id === null) return
    const answer = await client.request('GET', `/v1/invocations/${encodeURIComponent(id)}`)
    context.note(formatInvocation(answer.json as InvocationRecord, context.errorStyle))
  }
  if (isProblem(response) && response.status >= 400) {
    const failure = await client.readProblem(response)
    if (failure.isOurs) {
      // Why the call failed matters more than why its report cannot be had.
      await report(failure.problem.invocationId).catch(() => {})
      throw failure
    }
    // The function's own problem+json is an answer like any other.
    context.io.stdout.write(failure.body)
  } else {
    await copyResponse(response, context)
  }
  if (response.status >= 300) context.note(`${response.status} ${response.statusText}, answered by the function`)
  await report(response.header('fn-invocation-id'))
  if (response.status >= 500) context.exit(EXIT.functionFailed)
}

async function copyResponse(response: HttpResponse, { io }: CommandContext): Promise<void> {
  try {
    const last = await copyBody(response.body, io.stdout)
    if (io.stdout.isTTY && last !== null && last !== 10) io.stdout.write('\n')
  } catch (error) {
    if (io.stdout.isTTY) io.stdout.write('\n')
    throw new CliError('FUNCTION_FAILED', 'the response broke off: the function failed after it had begun to answer', {
      hints: [`why: fn get invocation ${response.header('fn-invocation-id') ?? 'ID'}`],
      cause: error,
    })
  }
}

function callbackUrl(text: string): string {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    throw new InvalidArgumentError(`expected a URL that begins with http:// or https://, got ${JSON.stringify(text)}`)
  }
  return text
}

function methodName(text: string): string {
  if (!/^[A-Za-z][A-Za-z-]*$/.test(text)) throw new InvalidArgumentError('expected an HTTP method such as PUT')
  return text.toUpperCase()
}
