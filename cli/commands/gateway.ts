// `fn gateway`: hands its flags to the composition root and waits for the gateway's end.
import type { Command } from 'commander'
import type { UpOptions } from '../up/commands.ts'
import { type CommandContext, examples } from './command.ts'
import { addProcessOptions } from './process-options.ts'

export function define(command: Command, context: CommandContext): void {
  command.description(
    [
      'Runs the HTTP face in the foreground, without sandboxes: calls run on the workers (fn worker) of the same Redis,',
      'named by REDIS_URL. Needs no root. Synchronous calls go by way of Redis, buffered, up to 100 MiB each way.',
      'Workers on other machines fetch code and large bodies from FN_FILES_LISTEN (default: any port of 127.0.0.1).',
    ].join(' '),
  )
  addProcessOptions(command, ['listen', 'log', 'hosts', 'behindProxy', 'errors', 'callbackAllow'])
  examples(command, [
    'REDIS_URL=redis://127.0.0.1:6379 fn gateway --state-dir /var/lib/thaw-gateway',
    'REDIS_URL=redis://10.0.0.5:6379 FN_FILES_LISTEN=10.0.0.7:8090 fn gateway --listen 127.0.0.1:8080',
  ])
  command.action(async (flags: UpOptions) => {
    const { gateway } = await import('../up/commands.ts')
    context.exit(await gateway({ ...flags, stateDir: context.globals.stateDir }))
  })
}
