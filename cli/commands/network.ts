// `fn network`: networks of the namespace, whose functions call each other by name: create, ls, rm.
import type { Command } from 'commander'
import { ageText } from '../output/quantity.ts'
import { type CommandContext, examples } from './command.ts'
import { addListAndRemove, pathOf } from './named-things.ts'

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
      const answer = await context.client().request('PUT', pathOf('networks', name))
      context.show(answer, () => `${answer.status === 201 ? 'made' : 'there was'} ${name}`)
    })
  addListAndRemove<NetworkAnswer>(command, context, {
    kind: 'networks',
    help: { ls: 'list networks', rm: 'remove networks' },
    none: 'no networks yet; make one: fn network create NAME',
    columns: ['NAME', 'FUNCTIONS', 'AGE'],
    row,
  })
}

function row({ name, functions, createdAt }: NetworkAnswer): string[] {
  return [name, functions.join(', '), ageText(createdAt, Date.now())]
}
