// Colour, where a terminal reads it. Decides once per stream; never writes.
import pc from 'picocolors'

export type Style = ReturnType<typeof pc.createColors>

interface Terminal {
  readonly isTTY?: boolean
}
type Environment = Readonly<Record<string, string | undefined>>

/** Colours for one stream: on for a terminal that is not `dumb`, off with NO_COLOR, forced by FORCE_COLOR (no-color.org). */
export function createStyle(stream: Terminal, env: Environment): Style {
  if (env.NO_COLOR) return pc.createColors(false)
  if (env.FORCE_COLOR && env.FORCE_COLOR !== '0') return pc.createColors(true)
  return pc.createColors(stream.isTTY === true && env.TERM !== 'dumb')
}
