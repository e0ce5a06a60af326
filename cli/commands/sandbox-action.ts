// `fn freeze`, `fn thaw`, `fn restart`, `fn kill`: act on one sandbox, named by its id or the start of it.
import type { Command } from 'commander'
import { listOf, type SandboxInfo } from '../answers.ts'
import { CliError } from '../errors.ts'
import { type CommandContext, examples } from './command.ts'

const PAST: Readonly<Record<string, string>> = {
  freeze: 'frozen',
  thaw: 'thawed',
  restart: 'restarted',
  kill: 'killed',
}

export function define(command: Command, context: CommandContext): void {
  const action = command.name()
  command.argument('<sandbox>', 'its id, or enough of its start to be unique (fn ps)')
  examples(command, [`fn ${action} 3f2a`, `fn ${action} 3f2a --json`])
  command.action(async (prefix: string) => {
    const client = context.client()
    const sandboxes = listOf<SandboxInfo>((await client.request('GET', '/v1/sandboxes')).json)
    const sandbox = findSandbox(sandboxes, prefix)
    const answer = await client.request('POST', `/v1/sandboxes/${encodeURIComponent(sandbox.id)}/${action}`)
    context.show(
      answer,
      () => `${PAST[action]} ${sandbox.id}${sandbox.function === '' ? '' : ` of ${sandbox.function}`}`,
    )
  })
}

/** The one sandbox whose id begins with `prefix`. Throws CliError PROBLEM when there is none, or more than one. */
export function findSandbox(sandboxes: readonly SandboxInfo[], prefix: string): SandboxInfo {
  const exact = sandboxes.find((sandbox) => sandbox.id === prefix)
  if (exact) return exact
  const matches = sandboxes.filter((sandbox) => sandbox.id.startsWith(prefix))
  if (matches.length === 1) return matches[0]!
  if (matches.length > 1) {
    throw new CliError('PROBLEM', `${prefix} could be any of ${matches.map((sandbox) => sandbox.id).join(', ')}`)
  }
  const named = sandboxes.find((sandbox) => sandbox.function === prefix)
  throw new CliError('PROBLEM', `no sandbox ${prefix}`, {
    hints: [named ? `a sandbox of ${prefix} is ${named.id}` : 'list them: fn ps'],
  })
}
