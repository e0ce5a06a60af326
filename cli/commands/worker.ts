// `fn worker`: hands its flags to the composition root and waits for the worker's end.
import type { Command } from 'commander'
import { type CommandContext, examples } from './command.ts'

interface WorkerFlags {
  readonly listen?: string
  readonly ociRuntime?: string
  readonly log?: string
  readonly zram?: string
  readonly stems?: string
}

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
    .option('--oci-runtime <path>', 'OCI runtime that creates sandboxes (FN_OCI_RUNTIME)')
    .option('--log <level>', 'debug | info | warn | error | silent (FN_LOG)')
    .option('--stems <number>', 'booted sandboxes without a function kept ready, of each kind; 0: none (FN_STEMS)')
    .option('--zram <size>', 'compressed swap in memory for idle sandboxes, undone at stop (FN_ZRAM)')
    .configureHelp({
      showGlobalOptions: true,
      visibleGlobalOptions: (self) => (self.parent?.options ?? []).filter((option) => option.name() === 'state-dir'),
    })
  examples(command, [
    'REDIS_URL=redis://127.0.0.1:6379 fn worker --state-dir /var/lib/thaw-worker-1',
    'REDIS_URL=redis://10.0.0.5:6379 FN_SECRET_KEY_FILE=/etc/thaw/key fn worker --listen 127.0.0.1:9100',
  ])
  command.action(async (flags: WorkerFlags) => {
    const { worker } = await import('../up/commands.ts')
    context.exit(await worker({ ...flags, stateDir: context.globals.stateDir }))
  })
}
