// Flags of the verbs that run a process of the platform in the foreground (up, gateway, worker). Each is said once; a verb takes
// those that mean something to it.
import type { Command } from 'commander'

const OPTIONS = {
  listen: ['--listen <host:port>', 'address of the HTTP listener (FN_LISTEN)'],
  ociRuntime: ['--oci-runtime <path>', 'OCI runtime that creates sandboxes (FN_OCI_RUNTIME)'],
  log: ['--log <level>', 'debug | info | warn | error | silent (FN_LOG)'],
  hosts: ['--hosts <names>', 'further host names the control API answers to (FN_HOSTS)'],
  behindProxy: ['--behind-proxy', 'a TLS proxy stands in front: other listen addresses are allowed (FN_BEHIND_PROXY)'],
  errors: [
    '--errors <full|brief>',
    'what callers without a token learn of a fault in a function; brief: code and invocation id (FN_ERRORS)',
  ],
  stems: ['--stems <number>', 'booted sandboxes without a function kept ready, of each kind; 0: none (FN_STEMS)'],
  zram: ['--zram <size>', 'compressed swap in memory for idle sandboxes, undone at stop (FN_ZRAM)'],
  callbackAllow: [
    '--callback-allow <hosts>',
    'hosts or networks callbacks may reach besides public addresses, comma-separated (FN_CALLBACK_ALLOW)',
  ],
  egressAllow: [
    '--egress-allow <hosts>',
    'hosts or networks functions may reach besides public addresses, comma-separated (FN_EGRESS_ALLOW)',
  ],
  hostNetwork: ['--host-network', 'functions may ask for the network of the host itself (FN_HOST_NETWORK)'],
} as const satisfies Record<string, readonly [flag: string, help: string]>

/** Adds them in this order; of the options that all verbs have, help shows the state directory alone. */
export function addProcessOptions(command: Command, names: readonly (keyof typeof OPTIONS)[]): void {
  for (const name of names) {
    const [flag, help] = OPTIONS[name]
    command.option(flag, help)
  }
  command.configureHelp({
    showGlobalOptions: true,
    visibleGlobalOptions: (self) => (self.parent?.options ?? []).filter((option) => option.name() === 'state-dir'),
  })
}
