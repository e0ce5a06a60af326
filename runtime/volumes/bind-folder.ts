// Folders of the host as volumes: only below the roots the administrator listed, reached over no symbolic link.
// Opens and checks; mounting is sandbox-volumes.ts's.
import { closeSync, constants, mkdtempSync, openSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RuntimeError } from '../errors.ts'
import { mountVolume, unmount } from '../host/mounts.ts'
import { openFolderBeneath, SystemError } from '../host/syscalls.ts'
import { openSingleIdNamespace } from '../host/user-namespace.ts'
import { INNER_UID } from '../oci/config.ts'

const O_PATH = 0o10000000

/** A handle on the folder `source`; the caller closes it. What the name leads to later does not matter to whoever has it.
 *  Throws RuntimeError `VOLUME_INVALID` with the way out. */
export function openBindFolder(roots: readonly string[], source: string): number {
  if (roots.length === 0)
    throw invalid(source, 'no folder of this host may be bound; its administrator lists roots in FN_VOLUME_ROOTS')
  const root = roots.find((candidate) => source === candidate || source.startsWith(`${candidate}/`))
  if (root === undefined) throw invalid(source, `it is not below a root that may be bound (${roots.join(', ')})`)
  let rootFd: number
  try {
    rootFd = openSync(root, O_PATH | constants.O_DIRECTORY)
  } catch (error) {
    throw invalid(source, `its root ${root} cannot be opened (${(error as NodeJS.ErrnoException).code})`)
  }
  try {
    return openFolderBeneath(rootFd, source === root ? '.' : source.slice(root.length + 1))
  } catch (error) {
    throw invalid(source, reasonOf(error))
  } finally {
    closeSync(rootFd)
  }
}

function reasonOf(error: unknown): string {
  const code = error instanceof SystemError ? error.code : ''
  if (code === 'ELOOP') return 'a symbolic link is on the way; name the folder it leads to'
  if (code === 'EXDEV') return 'it leads out of its root'
  if (code === 'ENOENT') return 'no such folder'
  if (code === 'ENOTDIR') return 'it is not a folder'
  throw error
}

/** Throws RuntimeError `VOLUME_INVALID` unless `source` could be mounted now. */
export async function checkBind(roots: readonly string[], source: string, readOnly: boolean): Promise<void> {
  const fd = openBindFolder(roots, source)
  try {
    if (readOnly) return
    const usernsFd = await openSingleIdNamespace(INNER_UID, INNER_UID + 1)
    const target = mkdtempSync(join(tmpdir(), 'thaw-bind-'))
    try {
      mountBindFolder(fd, source, usernsFd, readOnly, target)
    } finally {
      unmount(target)
      rmdirSync(target)
      closeSync(usernsFd)
    }
  } finally {
    closeSync(fd)
  }
}

/** Mounts the open folder at `target`. Where the file system cannot translate owners a read-only one keeps the host's (what all
 *  may read can be read), a writable one is refused: what it wrote would belong to ids that other sandboxes get later.
 *  Throws RuntimeError `VOLUME_INVALID`. */
export function mountBindFolder(fd: number, source: string, usernsFd: number, readOnly: boolean, target: string): void {
  try {
    mountVolume(fd, usernsFd, readOnly, target)
  } catch (error) {
    if (!(error instanceof SystemError) || error.syscall !== 'mount_setattr') throw error
    if (!readOnly)
      throw invalid(
        source,
        'its file system cannot translate owners (idmapped mounts), so it can be bound read-only alone',
      )
    mountVolume(fd, null, true, target)
  }
}

function invalid(source: string, reason: string): RuntimeError {
  return new RuntimeError('VOLUME_INVALID', `bind volume ${source}: ${reason}`)
}
