// `fn up`: hands its flags to the composition root and waits for the platform's end.
import type { Command } from 'commander'
import { type CommandContext, examples } from './command.ts'

interface UpFlags {
  readonly listen?: string
  readonly ociRuntime?: string
  readonly log?: string
  readonly hosts?: string
  readonly behindProxy?: boolean
  readonly zram?: string
  readonly callbackAllow?: string
  readonly stems?: string
  readonly example?: boolean
  readonly once?: boolean
}

export function define(command: Command, context: CommandContext): void {
  command
    .description(
      'Runs gateway, worker and queue in the foreground. SIGTERM or Ctrl-C drains and leaves nothing behind.',
    )
    .option('--listen <host:port>', 'address of the HTTP listener (FN_LISTEN)')
    .option('--oci-runtime <path>', 'OCI runtime that creates sandboxes (FN_OCI_RUNTIME)')
    .option('--log <level>', 'debug | info | warn | error | silent (FN_LOG)')
    .option('--hosts <names>', 'further host names the control API answers to (FN_HOSTS)')
    .option('--behind-proxy', 'a TLS proxy stands in front: other listen addresses are allowed (FN_BEHIND_PROXY)')
    .option('--stems <number>', 'booted sandboxes without a function kept ready, of each kind; 0: none (FN_STEMS)')
    .option('--zram <size>', 'compressed swap in memory for idle sandboxes, undone at stop (FN_ZRAM)')
    .option(
      '--callback-allow <hosts>',
      'hosts or networks callbacks may reach besides public addresses, comma-separated (FN_CALLBACK_ALLOW)',
    )
    .option(
      '--egress-allow <hosts>',
      'hosts or networks functions may reach besides public addresses, comma-separated (FN_EGRESS_ALLOW)',
    )
    .option('--host-network', 'functions may ask for the network of the host itself (FN_HOST_NETWORK)')
    .option('--example', 'deploy functions/hello.ts and call it once')
    .option('--once', 'end when the example is done, or right after the start')
    .configureHelp({
      showGlobalOptions: true,
      visibleGlobalOptions: (self) => (self.parent?.options ?? []).filter((option) => option.name() === 'state-dir'),
    })
  examples(command, ['fn up', 'fn up --listen 127.0.0.1:9090 --state-dir /var/lib/thaw', 'fn up --example --once'])
  command.action(async (flags: UpFlags) => {
    const { up } = await import('../up/commands.ts')
    context.exit(await up({ ...flags, stateDir: context.globals.stateDir }))
  })
}
