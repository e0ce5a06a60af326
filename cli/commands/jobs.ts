// `fn jobs`: records of invocations, newest first.
import type { Command } from 'commander'
import { InvalidArgumentError } from 'commander'
import { parseDurationMs } from '../../runtime/api.ts'
import { type InvocationRecord, listOf } from '../answers.ts'
import { CliError } from '../errors.ts'
import { formatState } from '../output/invocation.ts'
import { ageText, millisText } from '../output/quantity.ts'
import { formatTable } from '../output/table.ts'
import { durationText, wholeNumber } from './argument.ts'
import { type CommandContext, examples } from './command.ts'

const STATES = ['queued', 'running', 'succeeded', 'failed', 'timed-out', 'cancelled', 'expired']

interface JobsOptions {
  readonly state?: string
  readonly since?: string
  readonly limit: number
  readonly after?: string
}

export function define(command: Command, context: CommandContext): void {
  command
    .argument('[name]', 'only of this function; or the word cancel')
    .argument('[id]', 'id of the invocation to cancel')
    .usage('[options] [NAME] | cancel ID')
    .option('--state <state>', STATES.join(' | '), knownState)
    .option('--since <duration>', 'only those younger than this', durationText)
    .option('-n, --limit <n>', 'at most so many', wholeNumber(1), 20)
    .option('--after <id>', 'only those older than this one')
  examples(command, [
    'fn jobs',
    'fn jobs hello --state failed',
    'fn jobs --since 10m --json',
    'fn jobs cancel 0198c0de-…',
  ])
  command.action(async (name: string | undefined, id: string | undefined, options: JobsOptions) => {
    if (id !== undefined) return cancel(name, id, context)
    if (name === 'cancel')
      throw new CliError('USAGE', 'which invocation? fn jobs cancel ID', { hints: ['their ids: fn jobs'] })
    const since = options.since === undefined ? undefined : new Date(Date.now() - parseDurationMs(options.since))
    const answer = await context.client().request('GET', '/v1/invocations', {
      query: {
        function: name,
        state: options.state,
        since: since?.toISOString(),
        limit: options.limit,
        after: options.after,
      },
    })
    // Records outlive their function, so that only a name without any may be a mistaken one. Throws for an unknown function.
    if (name !== undefined && listOf(answer.json).length === 0) {
      await context.client().request('GET', `/v1/functions/${encodeURIComponent(name)}`)
    }
    context.show(answer, (json) => {
      const records = listOf<InvocationRecord>(json)
      if (records.length === 0) return 'no invocations'
      const columns = ['ID', 'FUNCTION', 'STATE', 'STATUS', 'START', 'RUN', 'AGE'].map((title) => ({ title }))
      return formatTable(
        columns,
        records.map((record) => row(record, context)),
        context.style,
      )
    })
  })
}

async function cancel(word: string | undefined, id: string, context: CommandContext): Promise<void> {
  if (word !== 'cancel') throw new CliError('USAGE', `expected one name, or: fn jobs cancel ID; got ${word} ${id}`)
  const answer = await context.client().request('DELETE', `/v1/invocations/${encodeURIComponent(id)}`)
  context.show(answer, (json) => `${id} is ${formatState((json as InvocationRecord).state, context.style)}`)
}

function row(record: InvocationRecord, context: CommandContext): string[] {
  return [
    record.id,
    `${record.function}@${record.version}`,
    formatState(record.state, context.style),
    record.status === null ? '' : String(record.status),
    record.start ?? '',
    record.endedAt === null ? '' : millisText(record.runMs),
    ageText(record.createdAt, Date.now()),
  ]
}

function knownState(text: string): string {
  if (!STATES.includes(text)) throw new InvalidArgumentError(`expected one of ${STATES.join(', ')}`)
  return text
}
