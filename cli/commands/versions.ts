// `fn versions`: the immutable versions of a function, newest first.
import type { Command } from 'commander'
import { formatBytes } from '../../runtime/api.ts'
import type { FunctionVersion } from '../../worker/api.ts'
import { type FunctionAnswer, listOf } from '../answers.ts'
import { ageText } from '../output/quantity.ts'
import { formatTable } from '../output/table.ts'
import { type CommandContext, examples } from './command.ts'

export function define(command: Command, context: CommandContext): void {
  command.argument('<name>', 'a function')
  examples(command, ['fn versions hello', 'fn versions hello --json'])
  command.action(async (name: string) => {
    const client = context.client()
    const path = `/v1/functions/${encodeURIComponent(name)}`
    const answer = await client.request('GET', `${path}/versions`)
    if (context.globals.json) return context.show(answer, () => '')
    const entry = (await client.request('GET', path)).json as FunctionAnswer
    const versions = [...listOf<FunctionVersion>(answer.json)].sort((a, b) => b.version - a.version)
    const rows = versions.map((version) => [
      String(version.version),
      aliasesOf(entry, version.version),
      ageText(version.createdAt, Date.now()),
      version.config?.entry ?? '',
      version.config?.limits === undefined ? '' : formatBytes(version.config.limits.memory),
      version.image.slice(0, 19),
    ])
    const columns = ['VERSION', 'ALIASES', 'AGE', 'ENTRY', 'MEMORY', 'IMAGE'].map((title) => ({ title }))
    context.print(formatTable(columns, rows, context.style))
  })
}

/** `latest, prod 10 %`. */
function aliasesOf(entry: FunctionAnswer, version: number): string {
  return Object.entries(entry.aliases)
    .filter(([, alias]) => (alias.weights[version] ?? 0) > 0)
    .map(([name, alias]) => (alias.weights[version] === 100 ? name : `${name} ${alias.weights[version]} %`))
    .join(', ')
}
