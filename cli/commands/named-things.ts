// `ls` and `rm` of what a namespace has by name (networks, secrets, tokens, volumes). How one is made differs: each verb's own.
import type { Command } from 'commander'
import { listOf } from '../answers.ts'
import { formatTable } from '../output/table.ts'
import type { CommandContext } from './command.ts'

export interface NamedThings<T> {
  /** As in the path: `/v1/<kind>/<name>`. */
  readonly kind: 'networks' | 'secrets' | 'tokens' | 'volumes'
  readonly help: { readonly ls: string; readonly rm: string }
  /** Printed by `ls` while there are none: how to make the first. */
  readonly none: string
  readonly columns: readonly string[]
  /** A cell for each column. */
  readonly row: (thing: T) => string[]
}

export function addListAndRemove<T>(command: Command, context: CommandContext, things: NamedThings<T>): void {
  const { kind, help, none, columns, row } = things
  command
    .command('ls')
    .summary(help.ls)
    .action(async () => {
      const answer = await context.client().request('GET', `/v1/${kind}`)
      context.show(answer, (json) => {
        const all = listOf<T>(json)
        if (all.length === 0) return context.typed(none)
        const titles = columns.map((title) => ({ title }))
        return formatTable(titles, all.map(row), context.style)
      })
    })
  command
    .command('rm <name...>')
    .summary(help.rm)
    .action(async (names: readonly string[]) => {
      for (const name of names) {
        await context.client().request('DELETE', pathOf(kind, name))
        if (!context.globals.json) context.print(`removed ${name}`)
      }
    })
}

export function pathOf(kind: NamedThings<unknown>['kind'], name: string): string {
  return `/v1/${kind}/${encodeURIComponent(name)}`
}
