// `fn worker`: hands its flags to the composition root and waits for the worker's end.
import type { Command } from 'commander'
import type { UpOptions } from '../up/commands.ts'
import { type CommandContext, examples } from './command.ts'
import { addProcessOptions } from './process-options.ts'

export function define(command: Command, context: CommandContext): void {
  command
    .description(
      [
        'Runs functions in the foreground for the gateways (fn gateway, fn up) of the same Redis, named by REDIS_URL.',
        'As many as there are machines, or several on one, each with a state directory of its own. SIGTERM finishes what',
        'runs for up to 10 s and hands the rest back. Serves no HTTP, but for health and metrics when --listen is given.',
      ].join(' '),
    )
    .option('--listen <host:port>', 'where /healthz, /readyz and /metrics are answered (FN_LISTEN); default: nowhere')
  addProcessOptions(command, ['ociRuntime', 'log', 'stems', 'zram'])
  examples(command, [
    'REDIS_URL=redis://127.0.0.1:6379 fn worker --state-dir /var/lib/thaw-worker-1',
    'REDIS_URL=redis://10.0.0.5:6379 FN_SECRET_KEY_FILE=/etc/thaw/key fn worker --listen 127.0.0.1:9100',
  ])
  command.action(async (flags: UpOptions) => {
    const { worker } = await import('../up/commands.ts')
    context.exit(await worker({ ...flags, stateDir: context.globals.stateDir }))
  })
}
