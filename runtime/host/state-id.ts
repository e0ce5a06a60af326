// The lasting id of a state directory: 8 hex digits in the file `id`, by which other processes know it. Kernel objects are named by
// kernel-id.ts; of a directory that is no copy of another it is the same.
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeFolder, writeDurable } from './durable-file.ts'

/** What an id looks like. */
export const ID = /^[0-9a-f]{8}$/

/** Reads the id, or makes one on first use. Throws RuntimeError `DISK_FULL`. */
export async function stateId(stateDir: string): Promise<string> {
  const path = join(stateDir, 'id')
  const known = await readId(path)
  if (known !== null) return known
  await makeFolder(stateDir, 0o700)
  const fresh = randomBytes(4).toString('hex')
  await writeDurable(path, `${fresh}\n`)
  return fresh
}

async function readId(path: string): Promise<string | null> {
  try {
    const text = (await readFile(path, 'utf8')).trim()
    return ID.test(text) ? text : null
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** Where the kernel-facing files of a platform lie: short (socket paths end at 108 bytes) and walkable for sandboxes. */
export const RUN_ROOT = '/run/thaw'

/** `/run/thaw/<id>`. */
export function runDirOf(platformId: string): string {
  return `${RUN_ROOT}/${platformId}`
}
