// `fn alias`: shows, sets and removes aliases; an alias may split its calls over versions.
import type { Command } from 'commander'
import { aliasText, type FunctionAnswer } from '../answers.ts'
import { CliError } from '../errors.ts'
import { formatTable } from '../output/table.ts'
import { type CommandContext, examples } from './command.ts'

export function define(command: Command, context: CommandContext): void {
  command
    .argument('<name>', 'a function')
    .argument('[alias]', 'an alias of it')
    .argument('[target...]', 'a version, or VERSION=PERCENT several times')
    .option('--rm', 'remove the alias')
  examples(command, [
    'fn alias hello',
    'fn alias hello prod 3',
    'fn alias hello prod 3=90 4=10',
    'fn alias hello prod --rm',
    'fn invoke hello@prod',
  ])
  command.action(
    async (name: string, alias: string | undefined, targets: readonly string[], options: { rm?: boolean }) => {
      const path = `/v1/functions/${encodeURIComponent(name)}`
      const client = context.client()
      if (alias === undefined) {
        if (options.rm) throw new CliError('USAGE', 'which alias? fn alias NAME ALIAS --rm')
        const answer = await client.request('GET', path)
        return context.show(answer, (json) => {
          const rows = Object.entries((json as FunctionAnswer).aliases).map(([key, target]) => [key, aliasText(target)])
          return formatTable([{ title: 'ALIAS' }, { title: 'VERSION' }], rows, context.style)
        })
      }
      const aliasPath = `${path}/aliases/${encodeURIComponent(alias)}`
      if (options.rm) {
        if (targets.length > 0) throw new CliError('USAGE', '--rm takes no versions')
        const answer = await client.request('DELETE', aliasPath)
        if (context.globals.json && answer.text !== '') context.show(answer, () => '')
        else if (!context.globals.json) context.print(`removed ${name}@${alias}`)
        return
      }
      const weights = parseWeights(targets)
      const answer = await client.request('PUT', aliasPath, { json: { weights } })
      context.show(answer, () => `${name}@${alias} is ${aliasText({ weights })}`)
    },
  )
}

/** `['3=90', '4=10']` → `{3: 90, 4: 10}`; `['3']` → `{3: 100}`. Throws CliError USAGE unless they add up to 100. */
export function parseWeights(targets: readonly string[]): Record<string, number> {
  const usage = (message: string): CliError =>
    new CliError('USAGE', message, { hints: ['e.g. fn alias NAME prod 3, or fn alias NAME prod 3=90 4=10'] })
  if (targets.length === 0) throw usage('which version should the alias point at?')
  if (targets.length === 1 && /^v?[1-9]\d*$/.test(targets[0]!)) return { [targets[0]!.replace('v', '')]: 100 }
  const weights: Record<string, number> = {}
  for (const target of targets) {
    const match = /^v?([1-9]\d*)=(\d{1,3})%?$/.exec(target)
    if (!match) throw usage(`expected VERSION=PERCENT, got ${JSON.stringify(target)}`)
    if (weights[match[1]!] !== undefined) throw usage(`version ${match[1]} is named twice`)
    weights[match[1]!] = Number(match[2])
  }
  const sum = Object.values(weights).reduce((total, weight) => total + weight, 0)
  if (sum !== 100) throw usage(`the percents must add up to 100, not ${sum}`)
  return weights
}
