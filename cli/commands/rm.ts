// `fn rm`: removes functions, or single versions of them.
import type { Command } from 'commander'
import { type CommandContext, examples } from './command.ts'

export function define(command: Command, context: CommandContext): void {
  command.argument('<name[@version]...>', 'functions, or versions that no alias names')
  examples(command, ['fn rm hello', 'fn rm hello echo', 'fn rm hello@1 hello@2'])
  command.action(async (specs: readonly string[]) => {
    const client = context.client()
    for (const spec of specs) {
      const at = spec.indexOf('@')
      const name = encodeURIComponent(at < 0 ? spec : spec.slice(0, at))
      const version = at < 0 ? '' : `/versions/${encodeURIComponent(spec.slice(at + 1))}`
      const answer = await client.request('DELETE', `/v1/functions/${name}${version}`)
      if (!context.globals.json) context.print(`removed ${spec}`)
      else if (answer.text !== '') context.show(answer, () => '')
    }
  })
}
