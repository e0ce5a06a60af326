// `fn volume`: named volumes of the namespace: create, ls, rm.
import type { Command } from 'commander'
import { listOf } from '../answers.ts'
import { ageText, sizeText } from '../output/quantity.ts'
import { formatTable } from '../output/table.ts'
import { type CommandContext, examples } from './command.ts'

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
      const answer = await context.client().request('PUT', pathOf(name), { json: { ...options } })
      context.show(answer, (json) => {
        const { sizeBytes } = json as VolumeAnswer
        return `${answer.status === 201 ? 'made' : 'there was'} ${name}, ${sizeText(sizeBytes)}`
      })
    })
  command
    .command('ls')
    .summary('list volumes')
    .action(async () => {
      const answer = await context.client().request('GET', '/v1/volumes')
      context.show(answer, (json) => {
        const volumes = listOf<VolumeAnswer>(json)
        if (volumes.length === 0) return 'no volumes yet; make one: fn volume create NAME --size 1g'
        const columns = ['NAME', 'SIZE', 'USED', 'FUNCTIONS', 'AGE'].map((title) => ({ title }))
        return formatTable(columns, volumes.map(row), context.style)
      })
    })
  command
    .command('rm <name...>')
    .summary('remove volumes with all that is in them')
    .action(async (names: readonly string[]) => {
      for (const name of names) {
        await context.client().request('DELETE', pathOf(name))
        if (!context.globals.json) context.print(`removed ${name}`)
      }
    })
}

function row({ name, sizeBytes, usedBytes, functions, createdAt }: VolumeAnswer): string[] {
  return [name, sizeText(sizeBytes), sizeText(usedBytes), functions.join(', '), ageText(createdAt, Date.now())]
}

function pathOf(name: string): string {
  return `/v1/volumes/${encodeURIComponent(name)}`
}
