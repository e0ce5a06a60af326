// How this user calls `fn`, so that a command in a message can be copied as it stands: `fn` where that is on PATH, else the path
// that was typed.
import { accessSync, constants, realpathSync } from 'node:fs'
import { delimiter, isAbsolute, join, relative } from 'node:path'
import { PROJECT_ROOT } from './config.ts'
import { VERBS } from './verbs.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** `fn`, or e.g. `bin/fn`. bin/fn says in FN_CALLED_AS what was typed; without it the name is `fn`. */
export function programName(env: Environment, cwd: string, root: string = PROJECT_ROOT): string {
  const typed = env.FN_CALLED_AS
  if (typed === undefined || typed === '' || isOnPath(env.PATH ?? '', join(root, 'bin', 'fn'))) return 'fn'
  if (!isAbsolute(typed)) return typed
  const near = relative(cwd, typed)
  return near.startsWith('..') ? typed : near
}

/** The text with every command `fn VERB` in it as this user has to type it. */
export function withProgram(text: string, program: string): string {
  return program === 'fn' ? text : text.replace(COMMAND, () => `${program} `)
}

/** `fn` before one of its verbs; not a part of a longer word or path. */
const COMMAND = new RegExp(
  `(?<![\\w./-])fn (?=(?:${[...VERBS.map(({ name }) => name), 'help', 'VERB', '--help'].join('|')})(?![\\w-]))`,
  'g',
)

function isOnPath(path: string, program: string): boolean {
  for (const folder of path.split(delimiter)) {
    if (folder === '') continue
    const candidate = join(folder, 'fn')
    try {
      accessSync(candidate, constants.X_OK)
      // The first that can be run is what a shell takes.
      return realpathSync(candidate) === realpathSync(program)
    } catch {}
  }
  return false
}
