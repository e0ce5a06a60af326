// `fn network`: networks of the namespace, whose functions call each other by name: create, ls, rm.
import type { Command } from 'commander'
import { listOf } from '../answers.ts'
import { ageText } from '../output/quantity.ts'
import { formatTable } from '../output/table.ts'
import { type CommandContext, examples } from './command.ts'

interface NetworkAnswer {
  readonly name: string
  readonly createdAt: string
  readonly functions: readonly string[]
}

export function define(command: Command, context: CommandContext): void {
  command.description(
    [
      'Networks of functions: those on one call each other as http://NAME.fn.internal/, through the platform and without a token.',
      '',
      'A function is put on one with fn deploy --network NAME, or "network": "NAME" in fn.json. It then also reaches public',
      'addresses, or those of --allow-host alone.',
    ].join('\n'),
  )
  examples(command, [
    'fn network create shop',
    'fn deploy ./stock.ts --network shop',
    'fn deploy ./orders.ts --network shop --allow-host api.example.com',
    'fn network ls',
    'fn network rm shop',
  ])
  command
    .command('create <name>')
    .summary('make a network')
    .action(async (name: string) => {
      const answer = await context.client().request('PUT', pathOf(name))
      context.show(answer, () => `${answer.status === 201 ? 'made' : 'there was'} ${name}`)
    })
  command
    .command('ls')
    .summary('list networks')
    .action(async () => {
      const answer = await context.client().request('GET', '/v1/networks')
      context.show(answer, (json) => {
        const networks = listOf<NetworkAnswer>(json)
        if (networks.length === 0) return 'no networks yet; make one: fn network create NAME'
        const columns = ['NAME', 'FUNCTIONS', 'AGE'].map((title) => ({ title }))
        return formatTable(columns, networks.map(row), context.style)
      })
    })
  command
    .command('rm <name...>')
    .summary('remove networks')
    .action(async (names: readonly string[]) => {
      for (const name of names) {
        await context.client().request('DELETE', pathOf(name))
        if (!context.globals.json) context.print(`removed ${name}`)
      }
    })
}

function row({ name, functions, createdAt }: NetworkAnswer): string[] {
  return [name, functions.join(', '), ageText(createdAt, Date.now())]
}

function pathOf(name: string): string {
  return `/v1/networks/${encodeURIComponent(name)}`
}
