// `fn config`: every setting with its value, where that came from, unit and default; and what the platform that runs was started
// with, where one answers and its values are others.
import { once } from 'node:events'
import type { Command } from 'commander'
import { type ConfigRow, describeConfig } from '../config.ts'
import { formatTable } from '../output/table.ts'
import { type CommandContext, examples } from './command.ts'

/** A platform that does not answer in this time is not waited for: the table is useful without it. */
const ANSWER_WITHIN_MS = 2_000

/** Settings that only a command reads: a platform has no say in them. */
const OF_COMMANDS: ReadonlySet<string> = new Set(['FN_URL', 'FN_TOKEN', 'FN_NAMESPACE'])

export function define(command: Command, context: CommandContext): void {
  command.description(
    [
      'Settings with value, unit, default and source, as a command or a platform started from this shell has them.',
      '',
      'Where a platform runs that was started with other values, a column more shows those (--json: platform);',
      'with its token, not that of a namespace.',
    ].join('\n'),
  )
  examples(command, ['fn config', 'FN_LISTEN=127.0.0.1:9090 fn config', 'fn config --json'])
  command.action(async () => {
    const running = await askPlatform(context)
    const rows = describeConfig(context.env, context.globals).map((row) => ({
      ...row,
      platform: OF_COMMANDS.has(row.name) ? null : (running?.get(row.name) ?? null),
    }))
    if (context.globals.json) {
      context.print(JSON.stringify(rows, null, 2))
      return
    }
    const differs = rows.some(({ platform, value }) => platform !== null && platform !== value)
    const titles = ['NAME', 'VALUE', 'SOURCE', 'DEFAULT', 'UNIT', 'WHAT']
    const cells = rows.map((row) => [row.name, row.value || '-', row.source, row.default || '-', row.unit, row.doc])
    if (differs) {
      titles.splice(-1, 0, 'PLATFORM')
      for (const [index, { platform }] of rows.entries())
        cells[index]!.splice(-1, 0, platform === '' ? '-' : (platform ?? ''))
    }
    context.print(
      formatTable(
        titles.map((title) => ({ title })),
        cells,
        context.style,
      ),
    )
  })
}

/** Settings of the platform that runs, by name; null when none answers, or not to this token. */
async function askPlatform(context: CommandContext): Promise<ReadonlyMap<string, string> | null> {
  const patience = AbortSignal.timeout(ANSWER_WITHIN_MS)
  try {
    const tooLate = once(patience, 'abort').then(() => null)
    const answer = await Promise.race([context.client().request('GET', '/v1/config'), tooLate])
    const json = answer?.json
    return Array.isArray(json) ? new Map((json as ConfigRow[]).map(({ name, value }) => [name, value])) : null
  } catch {
    return null
  }
}
