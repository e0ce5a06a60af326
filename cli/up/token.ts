// The platform's token: made once per state directory, readable by its owner alone.
import { randomBytes } from 'node:crypto'
import { chmodSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeOwnerFile } from './owner-file.ts'

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
  writeOwnerFile(path, `${token}\n`)
  return token
}
