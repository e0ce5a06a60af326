// `fn get`: one function, or one invocation with its record or result.
import type { Command } from 'commander'
import { parseDurationMs } from '../../runtime/api.ts'
import { aliasText, type FunctionAnswer, type InvocationRecord, mainVersion, queueText } from '../answers.ts'
import { type Client, isProblem } from '../client.ts'
import { CliError, EXIT } from '../errors.ts'
import type { HttpResponse } from '../http-exchange.ts'
import { formatInvocation } from '../output/invocation.ts'
import { ageText } from '../output/quantity.ts'
import { formatSettings } from '../output/settings.ts'
import { formatPairs } from '../output/table.ts'
import { durationText } from './argument.ts'
import { copyBody } from './body.ts'
import { type CommandContext, examples } from './command.ts'

interface GetOptions {
  readonly result?: boolean
  readonly wait?: string
}

export function define(command: Command, context: CommandContext): void {
  command
    .argument('<name>', 'a function; or the word invocation')
    .argument('[id]', 'id of the invocation')
    .usage('[options] NAME | invocation ID')
    .option('--result', 'of an asynchronous invocation: the response of the function')
    .option('--wait <duration>', 'with --result: wait so long for the end (default 30s)', durationText)
  examples(command, [
    'fn get hello',
    'fn get invocation 0198c0de-…',
    'fn get invocation 0198c0de-… --result --wait 10s',
  ])
  command.action(async (name: string, id: string | undefined, options: GetOptions) => {
    if (id === undefined && name === 'invocation') {
      throw new CliError('USAGE', 'which invocation? fn get invocation ID', { hints: ['their ids: fn jobs'] })
    }
    if (id === undefined) return getFunction(name, context)
    if (name !== 'invocation') {
      throw new CliError('USAGE', `expected one name, or: fn get invocation ID; got ${name} ${id}`)
    }
    return options.result ? getResult(id, options.wait ?? '30s', context) : getRecord(id, context)
  })
}

async function getFunction(name: string, context: CommandContext): Promise<void> {
  const client = context.client()
  const answer = await client.request('GET', `/v1/functions/${encodeURIComponent(name)}`)
  context.show(answer, (json) => {
    const entry = json as FunctionAnswer
    const current = mainVersion(entry.aliases.latest)
    const version = entry.versions.find((candidate) => candidate.version === current)
    const head = formatPairs(
      [
        ['function', context.style.bold(entry.name)],
        ['url', entry.url?.startsWith('http') ? entry.url : `${client.url}/fn/${entry.name}`],
        ['versions', entry.versions.map((candidate) => candidate.version).join(' ')],
        ...Object.entries(entry.aliases).map(([alias, target]) => [alias, aliasText(target)] as const),
        ['queue', entry.queue ? queueText(entry.queue) : null],
        ['starts', startsText(entry.starts)],
        ['updated', `${entry.updatedAt} (${ageText(entry.updatedAt, Date.now())} ago)`],
      ],
      context.style,
    )
    return version === undefined ? head : `${head}\n\n${formatSettings(version, context.style)}`
  })
}

function startsText(starts: FunctionAnswer['starts']): string | null {
  if (starts === undefined || starts === null) return null
  return starts.from === 'stem' ? 'from a stem sandbox where one is ready' : `always cold: ${starts.reason}`
}

async function getRecord(id: string, context: CommandContext): Promise<void> {
  const answer = await context.client().request('GET', `/v1/invocations/${encodeURIComponent(id)}`)
  context.show(answer, (json) => formatInvocation(json as InvocationRecord, context.style))
}

/** The gateway waits a minute at most for each question. */
const ASK_MAX_MS = 60_000

async function getResult(id: string, wait: string, context: CommandContext): Promise<void> {
  const client = context.client()
  const deadlineMs = performance.now() + parseDurationMs(wait)
  for (;;) {
    const leftMs = Math.max(0, Math.round(deadlineMs - performance.now()))
    const query = { wait: `${Math.min(leftMs, ASK_MAX_MS)}ms` }
    const response = await client.open('GET', `/v1/invocations/${encodeURIComponent(id)}/result`, { query })
    // A function may answer 202 itself: only an answer of the platform names no version.
    const isPending = response.status === 202 && response.header('fn-version') === null
    if (!isPending) return printResult(response, client, context)
    response.body.destroy()
    if (leftMs <= ASK_MAX_MS) {
      throw new CliError('PROBLEM', `invocation ${id} has no result yet`, {
        hints: [`wait longer: fn get invocation ${id} --result --wait 5m`],
      })
    }
  }
}

async function printResult(response: HttpResponse, client: Client, context: CommandContext): Promise<void> {
  if (isProblem(response) && response.status >= 400) {
    const failure = await client.readProblem(response)
    if (failure.isOurs) throw failure
    context.io.stdout.write(failure.body)
  } else {
    await copyBody(response.body, context.io.stdout)
  }
  if (response.status >= 500) context.exit(EXIT.functionFailed)
}
