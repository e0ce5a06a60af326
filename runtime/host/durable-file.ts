// Writes of state that survive a power cut: temporary file, fsync, rename, fsync of the folder.
// A full disk becomes RuntimeError DISK_FULL and leaves no temporary file.
import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { RuntimeError } from '../errors.ts'

/** Replaces `path` by `content` as a whole or not at all. Throws RuntimeError `DISK_FULL`. */
export async function writeDurable(
  path: string,
  content: string | Buffer | AsyncIterable<string>,
  mode = 0o600,
): Promise<void> {
  const draft = draftName(path)
  try {
    const file = await open(draft, 'wx', mode)
    try {
      await file.writeFile(content)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(draft, path)
    await syncFolder(dirname(path))
  } catch (error) {
    await rm(draft, { force: true })
    throw diskFull(error, path)
  }
}

/** Name for a file that is not yet whole; a start sweeps names with this ending. */
export function draftName(path: string): string {
  return `${path}.${randomBytes(6).toString('hex')}.tmp`
}

/** Removes what a killed process left of its writes to files in `folder`. Only for who alone writes there. */
export async function sweepDrafts(folder: string): Promise<void> {
  for (const name of await readdir(folder))
    if (/\.[0-9a-f]{12}\.tmp$/.test(name)) await rm(join(folder, name), { force: true })
}

/** Makes renames and creations in `folder` durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Creates `path` and its parents; an existing one keeps its mode. Throws RuntimeError `DISK_FULL`. */
export async function makeFolder(path: string, mode: number): Promise<void> {
  try {
    await makeWithParents(resolve(path), mode)
  } catch (error) {
    throw diskFull(error, path)
  }
}

/** Step by step, because Node's own `recursive` never ends where the kernel answers ENOENT below a folder there is, as in /proc. */
async function makeWithParents(path: string, mode: number): Promise<void> {
  let code = await tryMake(path, mode)
  if (code === 'ENOENT' && dirname(path) !== path) {
    await makeWithParents(dirname(path), mode)
    code = await tryMake(path, mode)
  }
  // Once more for its error, which names the path.
  if (code === 'ENOENT' || (code === 'EEXIST' && !(await stat(path)).isDirectory())) await mkdir(path, { mode })
}

async function tryMake(path: string, mode: number): Promise<string | null> {
  try {
    await mkdir(path, { mode })
    return null
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'EEXIST') return code
    throw error
  }
}

/** ENOSPC and EDQUOT as RuntimeError `DISK_FULL`; anything else as it is. */
export function diskFull(error: unknown, path: string): unknown {
  const code = (error as NodeJS.ErrnoException | null)?.code
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error
  return new RuntimeError('DISK_FULL', `no space left for ${path}; free some space on its disk`, { cause: error })
}
