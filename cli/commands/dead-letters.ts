// `fn dead-letters`: calls that failed for good: list, show, queue again, forget.
import type { Command } from 'commander'
import { type InvocationRecord, listOf } from '../answers.ts'
import { CliError } from '../errors.ts'
import { ageText, millisText } from '../output/quantity.ts'
import { formatPairs, formatTable } from '../output/table.ts'
import { wholeNumber } from './argument.ts'
import { type CommandContext, examples } from './command.ts'

interface LetterAnswer {
  readonly id: string
  readonly function: string
  readonly version: number
  readonly state: string
  readonly method: string
  readonly target: string
  readonly diedAt: string
  readonly attempts: readonly {
    readonly attempt: number
    readonly status: number | null
    readonly error: InvocationRecord['error']
    readonly startedAt: string | null
    readonly runMs: number
  }[]
}
interface ListOptions {
  readonly limit: number
  readonly after?: string
}

export function define(command: Command, context: CommandContext): void {
  command.usage('[options] ls|show|redrive|purge NAME [ID]')
  examples(command, [
    'fn dead-letters ls hello',
    'fn dead-letters show hello 0198c0de-…',
    'fn dead-letters redrive hello 0198c0de-…',
    'fn dead-letters redrive hello --all',
    'fn dead-letters purge hello --all',
  ])
  command
    .command('ls')
    .description('List them, newest first.')
    .argument('<name>', 'a function')
    .option('-n, --limit <n>', 'at most so many', wholeNumber(1), 20)
    .option('--after <id>', 'only those older than this one')
    .action((name: string, options: ListOptions) => list(name, options, context))
  command
    .command('show')
    .description('Show one with all its attempts.')
    .argument('<name>', 'a function')
    .argument('<id>', 'id of the invocation')
    .action((name: string, id: string) => show(name, id, context))
  command
    .command('redrive')
    .description('Queue one, or all, again under the same id.')
    .argument('<name>', 'a function')
    .argument('[id]', 'id of the invocation')
    .option('--all', 'all of the function')
    .action((name: string, id: string | undefined, options: { all?: boolean }) =>
      act('redrive', name, id, options.all === true, context),
    )
  command
    .command('purge')
    .description('Forget one, or all.')
    .argument('<name>', 'a function')
    .argument('[id]', 'id of the invocation')
    .option('--all', 'all of the function')
    .action((name: string, id: string | undefined, options: { all?: boolean }) =>
      act('purge', name, id, options.all === true, context),
    )
}

async function list(name: string, options: ListOptions, context: CommandContext): Promise<void> {
  const answer = await context.client().request('GET', pathOf(name), { query: { ...options } })
  context.show(answer, (json) => {
    const letters = listOf<LetterAnswer>(json)
    if (letters.length === 0) return `no dead letters of ${name}`
    const columns = ['ID', 'FUNCTION', 'STATE', 'ATTEMPTS', 'LAST ERROR', 'DIED'].map((title) => ({ title }))
    const rows = letters.map((letter) => [
      letter.id,
      `${letter.function}@${letter.version}`,
      letter.state,
      String(letter.attempts.length),
      errorText(letter.attempts.at(-1)),
      ageText(letter.diedAt, Date.now()),
    ])
    return formatTable(columns, rows, context.style)
  })
}

async function show(name: string, id: string, context: CommandContext): Promise<void> {
  const answer = await context.client().request('GET', pathOf(name, id))
  context.show(answer, (json) => {
    const letter = json as LetterAnswer
    const head = formatPairs(
      [
        ['invocation', letter.id],
        ['function', `${letter.function} version ${letter.version}`],
        ['outcome', context.style.red(letter.state)],
        ['request', letter.method === null ? 'lost: send the call again' : `${letter.method} ${letter.target}`],
        ['died', letter.diedAt],
      ],
      context.style,
    )
    const columns = ['ATTEMPT', 'STARTED', 'RUN', 'ERROR'].map((title) => ({ title }))
    const rows = letter.attempts.map((attempt) => [
      String(attempt.attempt),
      attempt.startedAt ?? '',
      millisText(attempt.runMs),
      errorText(attempt),
    ])
    return `${head}\n\n${formatTable(columns, rows, context.style)}`
  })
}

async function act(
  verb: 'redrive' | 'purge',
  name: string,
  id: string | undefined,
  all: boolean,
  context: CommandContext,
): Promise<void> {
  if ((id === undefined) !== all)
    throw new CliError('USAGE', `which? fn dead-letters ${verb} ${name} ID, or --all for all of them`)
  const client = context.client()
  const path = pathOf(name, id)
  const answer =
    verb === 'redrive' ? await client.request('POST', `${path}/redrive`) : await client.request('DELETE', path)
  const done = verb === 'redrive' ? 'queued again' : 'forgotten'
  if (answer.text === '') {
    if (!context.globals.json) context.print(`${id} ${done}`)
    return
  }
  context.show(answer, (json) => {
    const { count } = json as { count?: number }
    return count === undefined ? `${id} ${done}` : `${count} ${done}`
  })
}

function errorText(attempt: LetterAnswer['attempts'][number] | undefined): string {
  if (attempt === undefined) return ''
  if (attempt.error !== null) return `${attempt.error.message} (${attempt.error.code})`
  return attempt.status === null ? '' : `answered ${attempt.status}`
}

function pathOf(name: string, id?: string): string {
  const path = `/v1/functions/${encodeURIComponent(name)}/dead-letters`
  return id === undefined ? path : `${path}/${encodeURIComponent(id)}`
}
