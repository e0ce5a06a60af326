// `fn config`: every setting with its value, where that came from, unit and default. Asks no platform.
import type { Command } from 'commander'
import { describeConfig } from '../config.ts'
import { formatTable } from '../output/table.ts'
import { type CommandContext, examples } from './command.ts'

export function define(command: Command, context: CommandContext): void {
  examples(command, ['fn config', 'FN_LISTEN=127.0.0.1:9090 fn config', 'fn config --json'])
  command.action(() => {
    const rows = describeConfig(context.env, context.globals)
    if (context.globals.json) {
      context.print(JSON.stringify(rows, null, 2))
      return
    }
    const columns = ['NAME', 'VALUE', 'SOURCE', 'DEFAULT', 'UNIT', 'WHAT'].map((title) => ({ title }))
    const cells = rows.map((row) => [row.name, row.value || '-', row.source, row.default || '-', row.unit, row.doc])
    context.print(formatTable(columns, cells, context.style))
  })
}
