// The key that secrets are encrypted with: a file of the administrator's, or one made once in the state directory, 0600.
import { randomBytes } from 'node:crypto'
import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { RuntimeError } from '../../runtime/api.ts'
import { readBoundedFile } from '../bounded-file.ts'
import { writeOwnerFile } from './owner-file.ts'

const KEY_BYTES = 32
/** Of a file with the key in it, in any of its forms. */
const MOST_BYTES = 4096

/** `keyFile`: FN_SECRET_KEY_FILE, or null. Throws RuntimeError HOST_UNSUITABLE when the file holds no key. */
export function secretKey(stateDir: string, keyFile: string | null): Buffer {
  if (keyFile !== null) return readKey(keyFile, 'FN_SECRET_KEY_FILE')
  const path = join(stateDir, 'secret-key')
  try {
    const key = readKey(path, 'the secret key')
    chmodSync(path, 0o600)
    return key
  } catch (error) {
    if ((error as { cause?: NodeJS.ErrnoException }).cause?.code !== 'ENOENT') throw error
  }
  const key = randomBytes(KEY_BYTES)
  writeOwnerFile(path, `${key.toString('base64')}\n`)
  return key
}

function readKey(path: string, what: string): Buffer {
  let content: Buffer
  try {
    content = readBoundedFile(path, MOST_BYTES)
  } catch (error) {
    throw new RuntimeError(
      'HOST_UNSUITABLE',
      `${what}: ${path} cannot be read (${(error as NodeJS.ErrnoException).code})`,
      {
        cause: error,
      },
    )
  }
  if (content.length === KEY_BYTES) return content
  const text = content.toString('latin1').trim()
  const key = Buffer.from(text, /^[0-9a-f]{64}$/i.test(text) ? 'hex' : 'base64')
  if (key.length === KEY_BYTES) return key
  const remedy = `openssl rand -base64 32 > ${path}`
  throw new RuntimeError(
    'HOST_UNSUITABLE',
    `${what}: ${path} holds no key of 32 bytes (raw, hex or base64); make one: ${remedy}`,
  )
}
