// `fn logs`: what a function or one invocation wrote, and the platform's REPORT lines.
import type { Command } from 'commander'
import type { LogLine } from '../answers.ts'
import type { Client } from '../client.ts'
import { CliError } from '../errors.ts'
import { type HttpResponse, readText } from '../http-exchange.ts'
import type { Style } from '../output/style.ts'
import { wholeNumber } from './argument.ts'
import { copyBody } from './body.ts'
import { type CommandContext, examples } from './command.ts'

interface LogsOptions {
  readonly follow?: boolean
  readonly timestamps?: boolean
  readonly tail?: number
  readonly invocation?: string
}

export function define(command: Command, context: CommandContext): void {
  command
    .argument('[name]', 'a function')
    .option('-f, --follow', 'go on as new lines come')
    .option('-t, --timestamps', 'begin each line with its time')
    .option('-n, --tail <n>', 'only the last so many lines', wholeNumber(0))
    .option('--invocation <id>', 'only of this invocation')
  examples(command, ['fn logs hello', 'fn logs hello -f -t -n 20', 'fn logs --invocation 0198c0de-…'])
  command.action(async (name: string | undefined, options: LogsOptions) => {
    const client = context.client()
    const response = await requestLogs(name, options, client)
    if (response.status !== 200) throw await client.readProblem(response)
    if (context.globals.json) {
      await copyBody(response.body, context.io.stdout)
      return
    }
    for await (const line of logLines(response)) {
      if (name === undefined || line.function === undefined || line.function === name) {
        context.print(formatLine(line, options.timestamps === true, context.style))
      }
    }
  })
}

async function requestLogs(name: string | undefined, options: LogsOptions, client: Client): Promise<HttpResponse> {
  const { invocation, tail } = options
  if (invocation !== undefined) {
    if (options.follow) throw new CliError('USAGE', '--follow needs a function, not an invocation')
    const path = `/v1/invocations/${encodeURIComponent(invocation)}/logs`
    return client.open('GET', path, { query: { tail } })
  }
  if (name === undefined) throw new CliError('USAGE', 'logs of what? fn logs NAME, or fn logs --invocation ID')
  const path = `/v1/functions/${encodeURIComponent(name)}/logs`
  return client.open('GET', path, { query: { tail, follow: options.follow ? 'true' : undefined } })
}

/** Log lines of an answer, as they come: a JSON list, JSON lines, or server-sent events. */
export async function* logLines(response: HttpResponse): AsyncGenerator<LogLine> {
  if ((response.header('content-type') ?? '').startsWith('application/json')) {
    const list: unknown = JSON.parse(await readText(response.body))
    if (Array.isArray(list)) yield* list as LogLine[]
    return
  }
  for await (const text of textLines(response)) {
    const json = text.startsWith('data:') ? text.slice(5) : text
    if (json.trimStart().startsWith('{')) yield JSON.parse(json) as LogLine
  }
}

async function* textLines(response: HttpResponse): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
  if (rest !== '') yield rest
}

function formatLine(line: LogLine, timestamps: boolean, style: Style): string {
  const time = timestamps ? `${style.dim(line.time)} ` : ''
  if (line.stream === 'report') return time + style.dim(line.line)
  return time + (line.stream === 'stderr' ? style.yellow(line.line) : line.line)
}
