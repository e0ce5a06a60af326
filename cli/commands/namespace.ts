// `fn namespace`: the namespaces there are and their quotas: ls, show, set.
import type { Command } from 'commander'
import { QUOTAS } from '../../worker/registry/quota-table.ts'
import { listOf } from '../answers.ts'
import { CliError } from '../errors.ts'
import { sizeText } from '../output/quantity.ts'
import { formatTable } from '../output/table.ts'
import { type CommandContext, examples } from './command.ts'

interface SummaryAnswer {
  readonly name: string
  readonly functions: number
  readonly secrets: number
  readonly tokens: number
  readonly sandboxes: number
}

interface QuotaAnswer {
  readonly unit: 'number' | 'bytes'
  readonly kind: 'held' | 'rate' | 'atOnce'
  readonly bound: number | null
  readonly inUse: number | null
  readonly source: 'namespace' | 'setting' | 'default'
}
type QuotasAnswer = Readonly<Record<string, QuotaAnswer>>

const KEY_WIDTH = Math.max(...QUOTAS.map(({ key }) => key.length))

export function define(command: Command, context: CommandContext): void {
  command.description(
    [
      'Namespaces and their quotas: what one may hold or use at once, so that no namespace takes the host from another.',
      '',
      'A quota lowered below what is in use takes nothing away and refuses only more. Setting needs the platform’s own token;',
      'showing any token of the namespace. Defaults for all namespaces: FN_QUOTA_* (fn config).',
      '',
      'Quotas:',
      ...QUOTAS.map(({ key, doc }) => `  ${key.padEnd(KEY_WIDTH)}  ${doc}`),
    ].join('\n'),
  )
  examples(command, [
    'fn namespace ls',
    'fn namespace show shop',
    'fn namespace set shop functions=50 memory=2g minWarm=4',
    'fn namespace set shop requestsPerSecond=none',
    'fn namespace set shop memory=default',
  ])
  command
    .command('ls')
    .summary('list namespaces')
    .action(async () => {
      const answer = await context.client().request('GET', '/v1/namespaces')
      context.show(answer, (json) => listText(listOf<SummaryAnswer>(json), context))
    })
  command
    .command('show <name>')
    .summary('show quotas: use against bound')
    .action(async (name: string) => {
      const answer = await context.client().request('GET', pathOf(name))
      context.show(answer, (json) => quotasText((json as { readonly quotas: QuotasAnswer }).quotas, context))
    })
  command
    .command('set <name> <key=value...>')
    .summary('change quotas: a number or size, none, or default')
    .action(async (name: string, pairs: readonly string[]) => {
      const answer = await context.client().request('PUT', `${pathOf(name)}/quotas`, { json: parsePairs(pairs) })
      context.show(answer, (json) => quotasText(json as QuotasAnswer, context))
    })
}

function parsePairs(pairs: readonly string[]): Record<string, string> {
  const values: Record<string, string> = {}
  for (const pair of pairs) {
    const at = pair.indexOf('=')
    if (at < 1 || at === pair.length - 1)
      throw new CliError('USAGE', `expected key=value such as functions=50 or memory=2g, got ${JSON.stringify(pair)}`)
    const key = pair.slice(0, at)
    if (Object.hasOwn(values, key)) throw new CliError('USAGE', `${key} is given twice`)
    values[key] = pair.slice(at + 1)
  }
  return values
}

function pathOf(name: string): string {
  return `/v1/namespaces/${encodeURIComponent(name)}`
}

function listText(all: readonly SummaryAnswer[], { style }: CommandContext): string {
  if (all.length === 0) return 'no namespaces yet; the first deploy makes one: fn deploy ./handler.ts'
  const columns = ['NAME', 'FUNCTIONS', 'SANDBOXES', 'SECRETS', 'TOKENS'].map((title) => ({ title }))
  const rows = all.map((one) => [one.name, ...[one.functions, one.sandboxes, one.secrets, one.tokens].map(String)])
  return formatTable(columns, rows, style)
}

function quotasText(quotas: QuotasAnswer, { style }: CommandContext): string {
  const columns = [
    { title: 'QUOTA' },
    { title: 'IN USE', align: 'right' as const },
    { title: 'BOUND', align: 'right' as const },
    { title: 'FROM' },
  ]
  const rows = Object.entries(quotas).map(([key, { unit, kind, bound, inUse, source }]) => {
    const text = (value: number | null, none: string): string =>
      value === null ? none : `${unit === 'bytes' ? sizeText(value) : value}${kind === 'rate' ? '/s' : ''}`
    return [key, text(inUse, '-'), text(bound, 'none'), source]
  })
  return formatTable(columns, rows, style)
}
