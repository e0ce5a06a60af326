// How an error looks on stderr: a sentence, the frame or stack below it, what to do next. Pure.
import { CliError } from '../errors.ts'
import type { Style } from './style.ts'

/** Text for an error of ours; for anything else, which is a bug, its stack. Ends with a newline. */
export function formatFailure(error: unknown, style: Style): string {
  const mark = style.red('fn:')
  if (!(error instanceof CliError)) {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
    return `${mark} internal error: ${stack}\n`
  }
  const lines = [`${mark} ${error.message}`]
  if (error.details !== null) lines.push(error.details)
  for (const hint of error.hints) lines.push(`${style.cyan('→')} ${hint}`)
  return `${lines.join('\n')}\n`
}
