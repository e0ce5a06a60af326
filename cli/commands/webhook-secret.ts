// `fn webhook-secret`: the secret that callbacks of the namespace are signed with.
import type { Command } from 'commander'
import { type CommandContext, examples } from './command.ts'

export function define(command: Command, context: CommandContext): void {
  command
    .description('Shows the secret that callbacks of the namespace are signed with (Standard Webhooks).')
    .option('--rotate', 'make a new one; the one before signs beside it for a day')
  examples(command, ['fn webhook-secret', 'fn webhook-secret --rotate'])
  command.action(async (options: { rotate?: boolean }) => {
    const client = context.client()
    const answer = options.rotate
      ? await client.request('POST', '/v1/webhook-secret/rotate')
      : await client.request('GET', '/v1/webhook-secret')
    context.show(answer, (json) => (json as { secret: string }).secret)
  })
}
