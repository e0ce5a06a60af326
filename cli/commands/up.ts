// `fn up`: hands its flags to the composition root and waits for the platform's end.
import type { Command } from 'commander'
import type { UpOptions } from '../up/commands.ts'
import { type CommandContext, examples } from './command.ts'
import { addProcessOptions } from './process-options.ts'

export function define(command: Command, context: CommandContext): void {
  command.description(
    'Runs gateway, worker and queue in the foreground. SIGTERM or Ctrl-C drains and leaves nothing behind.',
  )
  addProcessOptions(command, [
    'listen',
    'ociRuntime',
    'log',
    'hosts',
    'behindProxy',
    'errors',
    'stems',
    'zram',
    'callbackAllow',
    'egressAllow',
    'hostNetwork',
  ])
  command
    .option('--example', 'deploy functions/hello.ts and call it once')
    .option('--once', 'end when the example is done, or right after the start')
  examples(command, ['fn up', 'fn up --listen 127.0.0.1:9090 --state-dir /var/lib/thaw', 'fn up --example --once'])
  command.action(async (flags: UpOptions) => {
    const { up } = await import('../up/commands.ts')
    context.exit(await up({ ...flags, stateDir: context.globals.stateDir }))
  })
}
