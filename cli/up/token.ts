// The platform's token: made once per state directory, readable by its owner alone.
import { randomBytes } from 'node:crypto'
import { chmodSync, closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/** Reads `<stateDir>/token`, or makes it (0600; 256 random bits behind the prefix `fn_`). */
export function ensureToken(stateDir: string): string {
  const path = join(stateDir, 'token')
  try {
    const token = readFileSync(path, 'utf8').trim()
    if (token.startsWith('fn_')) {
      chmodSync(path, 0o600)
      return token
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const token = `fn_${randomBytes(32).toString('base64url')}`
  const temporary = `${path}.${process.pid}`
  const fd = openSync(temporary, 'w', 0o600)
  try {
    writeSync(fd, `${token}\n`)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(temporary, path)
  return token
}
