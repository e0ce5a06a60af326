// The merged root of a sandbox under /run/thaw: read-only layers, or with a copy-on-write side on a bounded tmpfs.
// Mounts and unmounts only; which layers, and what is mounted inside, is not decided here.
import { chmodSync, chownSync, closeSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { mountIdmapped, mountOverlay, mountsUnder, mountTmpfs, unmountApart } from '../host/mounts.ts'
import { openRootOnlyNamespace } from '../host/user-namespace.ts'
import { INNER_UID, tmpfsInodes } from '../oci/config.ts'

export interface RootOptions {
  /** The sandbox's own folder; the root appears as `root` in it. */
  readonly folder: string
  /** Folders of the layers, lowest first; at least two. */
  readonly layers: readonly string[]
  /** First host uid of the sandbox. */
  readonly uidBase: number
  readonly writableBytes: number | null
}

/** Mounts the root; returns its path. `unmountRoot` takes back also what a failure left. */
export async function mountRoot(options: RootOptions): Promise<string> {
  const root = join(options.folder, 'root')
  makeFolder(root)
  if (options.writableBytes === null) mountOverlay(options.layers, null, root)
  else await mountWritable(options, options.writableBytes, root)
  return root
}

/** Everything below the root belongs to the code's own user: it has no capabilities, so what is root's it could not change. */
async function mountWritable(options: RootOptions, bytes: number, root: string): Promise<void> {
  const owner = options.uidBase + INNER_UID
  const usernsFd = await openRootOnlyNamespace(owner)
  const lowers: string[] = []
  try {
    for (const [index, layer] of options.layers.entries()) {
      const lower = join(options.folder, `lower${index}`)
      makeFolder(lower)
      // Without the translation files of the host's root would appear as nobody's, and could not be copied up.
      mountIdmapped(layer, usernsFd, lower)
      lowers.push(lower)
    }
  } finally {
    closeSync(usernsFd)
  }
  const upper = join(options.folder, 'upper')
  makeFolder(upper)
  mountTmpfs(upper, bytes, tmpfsInodes(bytes))
  const [upperDir, workDir] = [join(upper, 'files'), join(upper, 'work')]
  makeFolder(upperDir)
  makeFolder(workDir)
  chownSync(upperDir, owner, owner)
  mountOverlay(lowers, { upperDir, workDir }, root)
}

/** Unmounts all that is mounted in the sandbox's folder. */
export async function unmountAll(folder: string): Promise<void> {
  for (const target of mountsUnder(folder)) await unmountApart(target)
}

function makeFolder(path: string): void {
  mkdirSync(path)
  chmodSync(path, 0o755) // whatever the umask
}
