// Where the token of a command comes from, and why there is none: the reason becomes the hint of a 401.
import { join } from 'node:path'
import { readBoundedFile } from './bounded-file.ts'
import type { Config } from './config.ts'

/** A token is a line. */
const MOST_BYTES = 4096

export interface TokenSource {
  /** null: no token is sent. */
  readonly token: string | null
  /** What to do when the platform refuses it, or wants one and there is none. */
  readonly whenRefused: string
}

/** FN_TOKEN, else the file `token` of the state directory. Never throws. */
export function findToken(
  { token, stateDir }: Pick<Config, 'token' | 'stateDir'>,
  read: (path: string) => string = (path) => readBoundedFile(path, MOST_BYTES).toString('utf8'),
): TokenSource {
  if (token !== null)
    return { token, whenRefused: 'the token in FN_TOKEN is not one of this platform, or it has expired' }
  const path = join(stateDir, 'token')
  try {
    const text = read(path).trim()
    if (text === '') return { token: null, whenRefused: `the token file ${path} is empty; set FN_TOKEN` }
    const whenRefused = `the token in ${path} is not one of this platform; set FN_STATE_DIR to its state directory, or FN_TOKEN`
    return { token: text, whenRefused }
  } catch (error) {
    return { token: null, whenRefused: whyUnread(path, error as NodeJS.ErrnoException) }
  }
}

function whyUnread(path: string, { code, message }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return `there is no token file ${path}; set FN_TOKEN, or FN_STATE_DIR to the state directory of that platform`
  if (code === 'EACCES' || code === 'EPERM')
    return `this user may not read the token file ${path}; run the command as the user who runs the platform, or set FN_TOKEN`
  return `the token file ${path} cannot be read (${message}); set FN_TOKEN`
}
