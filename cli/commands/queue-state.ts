// `fn pause` and `fn resume`: whether queued calls of a function begin.
import type { Command } from 'commander'
import { type QueueAnswer, queueText } from '../answers.ts'
import { type CommandContext, examples } from './command.ts'

export function define(command: Command, context: CommandContext): void {
  const paused = command.name() === 'pause'
  command.argument('<name>', 'a function')
  if (paused)
    command.description(
      'Holds queued calls of a function back. Calls go on being accepted; synchronous calls are not held up.',
    )
  examples(command, paused ? ['fn pause hello', 'fn resume hello'] : ['fn resume hello'])
  command.action(async (name: string) => {
    const path = `/v1/functions/${encodeURIComponent(name)}/state`
    const answer = await context.client().request('PUT', path, { json: { paused } })
    context.show(answer, (json) => `queue of ${name}: ${queueText(json as QueueAnswer)}`)
  })
}
