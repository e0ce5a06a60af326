// `fn rollback`: moves `latest` to an earlier version; the next call runs it.
import type { Command } from 'commander'
import { type FunctionAnswer, mainVersion } from '../answers.ts'
import { CliError } from '../errors.ts'
import { versionNumber } from './argument.ts'
import { type CommandContext, examples } from './command.ts'

export function define(command: Command, context: CommandContext): void {
  command
    .argument('<name>', 'a function')
    .argument('[version]', 'default: the version before the current one', versionNumber)
  examples(command, ['fn rollback hello', 'fn rollback hello 2'])
  command.action(async (name: string, version: number | undefined) => {
    const client = context.client()
    const path = `/v1/functions/${encodeURIComponent(name)}`
    const entry = (await client.request('GET', path)).json as FunctionAnswer
    const current = mainVersion(entry.aliases.latest)
    const target = version ?? versionBefore(entry, current)
    const answer = await client.request('PUT', `${path}/aliases/latest`, { json: { weights: { [target]: 100 } } })
    const from = current === null ? '' : ` (was ${current})`
    context.show(answer, () => `latest of ${name} is version ${target}${from}`)
  })
}

/** The highest version below `current`. Throws CliError when there is none. */
export function versionBefore(entry: FunctionAnswer, current: number | null): number {
  const earlier = entry.versions.map(({ version }) => version).filter((version) => version < (current ?? 0))
  if (earlier.length === 0) {
    throw new CliError('PROBLEM', `${entry.name} has no version before ${current ?? 'the current one'}`, {
      hints: [`its versions: fn versions ${entry.name}`],
    })
  }
  return Math.max(...earlier)
}
