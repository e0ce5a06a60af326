// Room kept for the day the disk is full: a file that holds nothing, given up so that Redis can start and what was accepted can
// be finished, and made again when there is room. It decides nothing about calls: those are refused while space is short.
import { randomFillSync } from 'node:crypto'
import { mkdir, open, rename, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'

const NAME = 'ballast'
const BALLAST_BYTES = 16 * 1024 ** 2
const CHUNK_BYTES = 1024 ** 2
/** Made only where so many times its size stay free. */
const ROOM = 4

/** Makes the file unless it is there or would take the last room. Resolves to whether it is there. Never rejects. */
export async function makeBallast(folder: string, bytes = BALLAST_BYTES): Promise<boolean> {
  const path = join(folder, NAME)
  const temporary = `${path}.tmp`
  try {
    if ((await stat(path).catch(() => null))?.size === bytes) return true
    await mkdir(folder, { recursive: true })
    const { bavail, bsize } = await statfs(folder)
    if (bavail * bsize < bytes * (ROOM + 1)) return false
    // Not zeros: some file systems keep those for nothing, and what costs nothing gives nothing back.
    const chunk = randomFillSync(Buffer.allocUnsafe(CHUNK_BYTES))
    const file = await open(temporary, 'w', 0o600)
    try {
      for (let written = 0; written < bytes; written += chunk.length)
        await file.write(chunk, 0, Math.min(chunk.length, bytes - written))
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    return true
  } catch {
    await rm(temporary, { force: true }).catch(() => {})
    return false
  }
}

/** Gives the room back. True: there was some. Never rejects. */
export async function dropBallast(folder: string): Promise<boolean> {
  const path = join(folder, NAME)
  if ((await stat(path).catch(() => null)) === null) return false
  return await rm(path, { force: true }).then(
    () => true,
    () => false,
  )
}
