// `fn ls`: functions of a namespace.
import type { Command } from 'commander'
import { aliasText, type FunctionAnswer, listOf, queueText } from '../answers.ts'
import { ageText } from '../output/quantity.ts'
import { formatTable } from '../output/table.ts'
import { wholeNumber } from './argument.ts'
import { type CommandContext, examples } from './command.ts'

export function define(command: Command, context: CommandContext): void {
  command
    .option('--limit <n>', 'at most so many', wholeNumber(1))
    .option('--after <name>', 'only those after this name')
  examples(command, ['fn ls', 'fn ls --json | jq -r ".[].name"'])
  command.action(async (options: { limit?: number; after?: string }) => {
    const client = context.client()
    const answer = await client.request('GET', '/v1/functions', { query: { ...options } })
    context.show(answer, (json) => {
      const functions = listOf<FunctionAnswer>(json)
      if (functions.length === 0) return context.typed('no functions yet; deploy one: fn deploy ./handler.ts')
      const rows = functions.map((entry) => row(entry, client.url))
      const columns = ['NAME', 'LATEST', 'VERSIONS', 'ALIASES', 'QUEUE', 'UPDATED', 'URL'].map((title) => ({ title }))
      return formatTable(columns, rows, context.style)
    })
  })
}

function row(entry: FunctionAnswer, base: string): string[] {
  const { latest, ...others } = entry.aliases ?? {}
  return [
    entry.name,
    latest === undefined ? '' : aliasText(latest),
    String(entry.versions?.length ?? ''),
    Object.entries(others)
      .map(([name, alias]) => `${name}→${aliasText(alias)}`)
      .join(', '),
    entry.queue ? queueText(entry.queue) : '',
    ageText(entry.updatedAt, Date.now()),
    entry.url?.startsWith('http') ? entry.url : `${base}/fn/${entry.name}`,
  ]
}
