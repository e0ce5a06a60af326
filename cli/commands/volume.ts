// `fn volume`: named volumes of the namespace: create, ls, rm.
import type { Command } from 'commander'
import { ageText, sizeText } from '../output/quantity.ts'
import { type CommandContext, examples } from './command.ts'
import { addListAndRemove, pathOf } from './named-things.ts'

interface VolumeAnswer {
  readonly name: string
  readonly sizeBytes: number
  readonly usedBytes: number
  readonly createdAt: string
  readonly functions: readonly string[]
}

export function define(command: Command, context: CommandContext): void {
  command.description(
    [
      'Named volumes: bounded file systems that outlive sandboxes and platforms, shared between functions of one namespace.',
      '',
      'A function takes one with fn deploy --volume NAME:/path, or "volumes" in fn.json.',
    ].join('\n'),
  )
  examples(command, [
    'fn volume create uploads --size 2g',
    'fn deploy ./site.ts --volume uploads:/data',
    'fn volume ls',
    'fn volume rm uploads',
  ])
  command
    .command('create <name>')
    .summary('make a volume')
    .option('--size <size>', 'its size (default 1g)')
    .action(async (name: string, options: { size?: string }) => {
      const answer = await context.client().request('PUT', pathOf('volumes', name), { json: { ...options } })
      context.show(answer, (json) => {
        const { sizeBytes } = json as VolumeAnswer
        return `${answer.status === 201 ? 'made' : 'there was'} ${name}, ${sizeText(sizeBytes)}`
      })
    })
  addListAndRemove<VolumeAnswer>(command, context, {
    kind: 'volumes',
    help: { ls: 'list volumes', rm: 'remove volumes with all that is in them' },
    none: 'no volumes yet; make one: fn volume create NAME --size 1g',
    columns: ['NAME', 'SIZE', 'USED', 'FUNCTIONS', 'AGE'],
    row,
  })
}

function row({ name, sizeBytes, usedBytes, functions, createdAt }: VolumeAnswer): string[] {
  return [name, sizeText(sizeBytes), sizeText(usedBytes), functions.join(', '), ageText(createdAt, Date.now())]
}
