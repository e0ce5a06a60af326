// `fn gateway`: hands its flags to the composition root and waits for the gateway's end.
import type { Command } from 'commander'
import { type CommandContext, examples } from './command.ts'

interface GatewayFlags {
  readonly listen?: string
  readonly log?: string
  readonly hosts?: string
  readonly behindProxy?: boolean
  readonly callbackAllow?: string
}

export function define(command: Command, context: CommandContext): void {
  command
    .description(
      [
        'Runs the HTTP face in the foreground, without sandboxes: calls run on the workers (fn worker) of the same Redis,',
        'named by REDIS_URL. Needs no root. Synchronous calls go by way of Redis, buffered, up to 100 MiB each way.',
        'Workers on other machines fetch code and large bodies from FN_FILES_LISTEN (default: any port of 127.0.0.1).',
      ].join(' '),
    )
    .option('--listen <host:port>', 'address of the HTTP listener (FN_LISTEN)')
    .option('--log <level>', 'debug | info | warn | error | silent (FN_LOG)')
    .option('--hosts <names>', 'further host names the control API answers to (FN_HOSTS)')
    .option('--behind-proxy', 'a TLS proxy stands in front: other listen addresses are allowed (FN_BEHIND_PROXY)')
    .option(
      '--callback-allow <hosts>',
      'hosts or networks callbacks may reach besides public addresses, comma-separated (FN_CALLBACK_ALLOW)',
    )
    .configureHelp({
      showGlobalOptions: true,
      visibleGlobalOptions: (self) => (self.parent?.options ?? []).filter((option) => option.name() === 'state-dir'),
    })
  examples(command, [
    'REDIS_URL=redis://127.0.0.1:6379 fn gateway --state-dir /var/lib/thaw-gateway',
    'REDIS_URL=redis://10.0.0.5:6379 FN_FILES_LISTEN=10.0.0.7:8090 fn gateway --listen 127.0.0.1:8080',
  ])
  command.action(async (flags: GatewayFlags) => {
    const { gateway } = await import('../up/commands.ts')
    context.exit(await gateway({ ...flags, stateDir: context.globals.stateDir }))
  })
}
