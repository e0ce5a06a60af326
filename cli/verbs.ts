// The table of verbs: what `fn --help` prints without loading any of them. Each verb's module is imported when it runs.
import type { CommandModule } from './commands/command.ts'

export interface Verb {
  readonly name: string
  readonly summary: string
  readonly group: 'Platform' | 'Functions' | 'Invocations' | 'Sandboxes'
  readonly load: () => Promise<CommandModule>
}

const sandboxAction = (): Promise<CommandModule> => import('./commands/sandbox-action.ts')

const queueState = (): Promise<CommandModule> => import('./commands/queue-state.ts')

/** In the order of the help. */
export const VERBS: readonly Verb[] = [
  verb('Platform', 'up', 'run the platform in the foreground', () => import('./commands/up.ts')),
  verb(
    'Platform',
    'gateway',
    'run the HTTP face alone, for workers on the same Redis',
    () => import('./commands/gateway.ts'),
  ),
  verb(
    'Platform',
    'worker',
    'run functions alone, for gateways on the same Redis',
    () => import('./commands/worker.ts'),
  ),
  verb('Platform', 'doctor', 'what this host can enforce, and what it cannot', () => import('./commands/doctor.ts')),
  verb('Platform', 'config', 'settings with unit, default and source', () => import('./commands/config.ts')),
  verb('Functions', 'deploy', 'turn a file or folder into an HTTP function', () => import('./commands/deploy.ts')),
  verb('Functions', 'ls', 'list functions', () => import('./commands/ls.ts')),
  verb('Functions', 'get', 'show a function or an invocation', () => import('./commands/get.ts')),
  verb('Functions', 'rm', 'remove functions, or single versions of them', () => import('./commands/rm.ts')),
  verb('Functions', 'versions', 'list the versions of a function', () => import('./commands/versions.ts')),
  verb('Functions', 'alias', 'show, set or remove aliases; split traffic', () => import('./commands/alias.ts')),
  verb('Functions', 'rollback', 'move latest to an earlier version', () => import('./commands/rollback.ts')),
  verb('Platform', 'secret', 'set, list and remove secrets of functions', () => import('./commands/secret.ts')),
  verb('Platform', 'volume', 'make, list and remove named volumes', () => import('./commands/volume.ts')),
  verb('Platform', 'network', 'make, list and remove networks of functions', () => import('./commands/network.ts')),
  verb('Platform', 'token', 'make, list and remove tokens of callers', () => import('./commands/token.ts')),
  verb('Platform', 'namespace', 'list namespaces, show and set their quotas', () => import('./commands/namespace.ts')),
  verb('Invocations', 'invoke', 'call a function', () => import('./commands/invoke.ts')),
  verb('Invocations', 'jobs', 'list invocations', () => import('./commands/jobs.ts')),
  verb(
    'Invocations',
    'dead-letters',
    'calls that failed for good: list, show, redrive, purge',
    () => import('./commands/dead-letters.ts'),
  ),
  verb(
    'Invocations',
    'schedule',
    'call a function at the times of a cron expression',
    () => import('./commands/schedule.ts'),
  ),
  verb('Invocations', 'pause', 'hold queued calls of a function back', queueState),
  verb('Invocations', 'resume', 'let queued calls of a function run again', queueState),
  verb(
    'Invocations',
    'webhook-secret',
    'show or change the secret that callbacks are signed with',
    () => import('./commands/webhook-secret.ts'),
  ),
  verb('Invocations', 'logs', 'show the output of a function or an invocation', () => import('./commands/logs.ts')),
  verb('Sandboxes', 'ps', 'list sandboxes', () => import('./commands/ps.ts')),
  verb('Sandboxes', 'freeze', 'freeze an idle sandbox', sandboxAction),
  verb('Sandboxes', 'thaw', 'thaw a frozen sandbox', sandboxAction),
  verb('Sandboxes', 'restart', 'replace a sandbox by a fresh one', sandboxAction),
  verb('Sandboxes', 'kill', 'kill a sandbox and what runs in it', sandboxAction),
]

function verb(group: Verb['group'], name: string, summary: string, load: Verb['load']): Verb {
  return { name, summary, group, load }
}
