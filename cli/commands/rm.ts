// `fn rm`: removes functions.
import type { Command } from 'commander'
import { type CommandContext, examples } from './command.ts'

export function define(command: Command, context: CommandContext): void {
  command.argument('<name...>', 'functions')
  examples(command, ['fn rm hello', 'fn rm hello echo'])
  command.action(async (names: readonly string[]) => {
    const client = context.client()
    for (const name of names) {
      const answer = await client.request('DELETE', `/v1/functions/${encodeURIComponent(name)}`)
      if (!context.globals.json) context.print(`removed ${name}`)
      else if (answer.text !== '') context.show(answer, () => '')
    }
  })
}
