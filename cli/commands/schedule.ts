// `fn schedule`: calls of a function at the times of a cron expression: list, show, set, remove.
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { listOf } from '../answers.ts'
import { readBoundedFile } from '../bounded-file.ts'
import { type ClientAnswer, ClientError } from '../client.ts'
import { CliError } from '../errors.ts'
import { readText } from '../http-exchange.ts'
import { ageText } from '../output/quantity.ts'
import { formatPairs, formatTable } from '../output/table.ts'
import { oneOf } from './argument.ts'
import { type CommandContext, examples } from './command.ts'

interface ScheduleAnswer {
  readonly function: string
  readonly name: string
  readonly cron: string
  readonly timeZone: string
  readonly method: string
  readonly path: string
  readonly missed: string
  readonly paused: boolean
  readonly next: readonly string[]
  readonly last: {
    readonly scheduledAt: string
    readonly invocation: string | null
    readonly skipped: string | null
  } | null
}
interface SetOptions {
  readonly timeZone?: string
  readonly data?: string
  readonly contentType?: string
  readonly method?: string
  readonly path?: string
  readonly missed?: string
  readonly paused?: boolean
}

/** Words for an action, which people write where the function belongs: `fn schedule ls`. */
const ACTION_WORD = /^(?:ls|list|set|create|add|show|get|rm|remove|delete)$/
const ORDER = 'the function comes first: fn schedule FUNCTION ls, or fn schedule FUNCTION set NAME CRON'

export function define(command: Command, context: CommandContext): void {
  command
    .argument('<function>', 'a function')
    .argument('[action]', 'ls | set | show | rm', 'ls')
    .argument('[name]', 'name of the schedule; a DNS label')
    .argument('[cron]', 'of set: five fields, six with seconds first, or @daily and its like')
    .usage('[options] FUNCTION [ls] | set NAME CRON | show NAME | rm NAME')
    .option('--time-zone <zone>', 'IANA time zone (default UTC)')
    .option('-d, --data <json|@file|->', 'body of its calls')
    .option('--content-type <type>', 'of the body; it is sent as it is unless that is JSON')
    .option('-X, --method <method>', 'default POST')
    .option('--path <path>', 'path and query the function sees (default /)')
    .option(
      '--missed <what>',
      'run-once | skip: of runs whose time passed while no platform ran (default run-once)',
      oneOf('run-once', 'skip'),
    )
    .option('--paused', 'set it without letting it fire')
  examples(command, [
    'fn schedule hello set nightly "0 3 * * *" --time-zone Europe/Zurich --data @x.json',
    'fn schedule hello set often "*/10 * * * * *" --missed skip',
    'fn schedule hello ls',
    'fn schedule hello show nightly',
    'fn schedule hello rm nightly',
  ])
  command.action(
    async (fn: string, action: string, name: string | undefined, cron: string | undefined, options: SetOptions) => {
      if (action === 'ls') return list(fn, context)
      if (action !== 'set' && action !== 'show' && action !== 'rm')
        throw new CliError('USAGE', `expected ls, set, show or rm, got ${JSON.stringify(action)}`, { hints: [ORDER] })
      if (name === undefined) throw new CliError('USAGE', `which schedule? fn schedule ${fn} ${action} NAME`)
      const path = `/v1/functions/${encodeURIComponent(fn)}/schedules/${encodeURIComponent(name)}`
      if (action === 'rm') {
        await context.client().request('DELETE', path)
        if (!context.globals.json) context.print(`removed schedule ${name} of ${fn}`)
        return
      }
      if (action === 'show') return showOne(await context.client().request('GET', path), context)
      if (cron === undefined) throw new CliError('USAGE', `when? fn schedule ${fn} set ${name} "0 3 * * *" (in quotes)`)
      const json = { ...(await bodyOf(options, context)), cron }
      showOne(await context.client().request('PUT', path, { json }), context)
    },
  )
}

async function bodyOf(options: SetOptions, context: CommandContext): Promise<Record<string, unknown>> {
  const { data, ...rest } = options
  if (data === undefined) return { ...rest }
  const text = await readData(data, context)
  if (options.contentType !== undefined && !/[/+]json\b/i.test(options.contentType)) return { ...rest, payload: text }
  try {
    return { ...rest, payload: JSON.parse(text) }
  } catch (error) {
    throw new CliError('USAGE', `--data is not JSON: ${(error as Error).message}`, {
      hints: ['send other text with --content-type text/plain'],
    })
  }
}

/** As the platform takes a schedule. */
const MOST_DATA_BYTES = 64 * 1024

async function readData(data: string, { io }: CommandContext): Promise<string> {
  if (data === '-') return await readText(io.stdin)
  if (!data.startsWith('@')) return data
  const path = resolve(io.cwd, data.slice(1))
  try {
    return readBoundedFile(path, MOST_DATA_BYTES).toString('utf8')
  } catch (error) {
    throw new CliError('FILE_NOT_FOUND', `--data: cannot read ${path}: ${(error as Error).message}`, { cause: error })
  }
}

async function list(fn: string, context: CommandContext): Promise<void> {
  const path = `/v1/functions/${encodeURIComponent(fn)}/schedules`
  const answer = await context
    .client()
    .request('GET', path)
    .catch((error: unknown) => {
      const isSwapped =
        ACTION_WORD.test(fn) && error instanceof ClientError && error.problem.code === 'FUNCTION_NOT_FOUND'
      throw isSwapped ? new CliError('USAGE', `there is no function ${fn}`, { hints: [ORDER] }) : error
    })
  context.show(answer, (json) => {
    const schedules = listOf<ScheduleAnswer>(json)
    if (schedules.length === 0) return `no schedules of ${fn}`
    const columns = ['NAME', 'CRON', 'TIME ZONE', 'NEXT', 'LAST', 'MISSED'].map((title) => ({ title }))
    const rows = schedules.map((schedule) => [
      schedule.name,
      schedule.cron,
      schedule.timeZone,
      schedule.paused ? 'paused' : (schedule.next[0] ?? 'never'),
      lastText(schedule.last),
      schedule.missed,
    ])
    return formatTable(columns, rows, context.style)
  })
}

function showOne(answer: ClientAnswer, context: CommandContext): void {
  context.show(answer, (json) => {
    const schedule = json as ScheduleAnswer
    return formatPairs(
      [
        ['schedule', `${schedule.name} of ${schedule.function}`],
        ['cron', `${schedule.cron}  (${schedule.timeZone})`],
        ['calls', `${schedule.method} ${schedule.path}`],
        ['missed', schedule.missed],
        ['next', schedule.paused ? 'paused' : schedule.next.join('  ')],
        ['last', lastText(schedule.last) || null],
      ],
      context.style,
    )
  })
}

function lastText(last: ScheduleAnswer['last']): string {
  if (last === null) return ''
  const when = `${ageText(last.scheduledAt, Date.now())} ago`
  return last.skipped === null ? `${when}  ${last.invocation ?? ''}`.trimEnd() : `${when}, no call: ${last.skipped}`
}
