// Where a platform's own files lie: what the kernel sees under /run/thaw/<id>, what lasts in the state directory.
// Names and modes only; what is in them belongs to those who write it.
import { chmodSync, mkdirSync, rmdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { makeFolder } from './host/durable-file.ts'
import { runDirOf } from './host/state-id.ts'

/** File in `scratch` behind the disk that scratch disks with an I/O weight share. */
export const WEIGHTED_IMAGE = 'weighted.img'

export interface PlatformFolders {
  /** `/run/thaw/<id>` */
  readonly run: string
  /** State of the OCI runtime. */
  readonly oci: string
  /** One folder per sandbox, with its merged root. */
  readonly sandboxes: string
  /** Mount points of volumes in sandboxes, one folder per sandbox. */
  readonly mounts: string
  /** Mount points of named volumes on the host. */
  readonly volumes: string
  /** What the sandboxes' network is made of. */
  readonly network: string
  /** Images of named volumes: never emptied. */
  readonly volumeImages: string
  /** Images of scratch disks; emptied at start and end. */
  readonly scratch: string
  /** Unpacked layers. */
  readonly layers: string
}

export function platformFolders(stateDir: string, platformId: string): PlatformFolders {
  const run = runDirOf(platformId)
  return {
    run,
    oci: join(run, 'oci'),
    sandboxes: join(run, 'sandboxes'),
    mounts: join(run, 'mounts'),
    volumes: join(run, 'volumes'),
    network: join(run, 'network'),
    volumeImages: join(stateDir, 'volumes'),
    scratch: join(stateDir, 'scratch'),
    layers: join(stateDir, 'layers'),
  }
}

/** Makes the way to the sandboxes' roots, walkable for their own users: a 0700 parent would fail every container. */
export function makeRunFolder(folders: PlatformFolders): void {
  for (const path of [dirname(folders.run), folders.run]) makeWalkable(path)
}

/** Makes the rest. Throws RuntimeError `DISK_FULL`. */
export async function makeInnerFolders(folders: PlatformFolders): Promise<void> {
  for (const path of [folders.sandboxes, folders.mounts]) makeWalkable(path)
  for (const path of [folders.oci, folders.scratch, folders.layers, folders.volumeImages]) await makeFolder(path, 0o700)
}

function makeWalkable(path: string): void {
  mkdirSync(path, { recursive: true })
  chmodSync(path, 0o711) // whatever the umask
}

/** Removes all but layers and volumes; no sandbox is left. */
export function removeInnerFolders(folders: PlatformFolders): void {
  for (const path of [folders.oci, folders.sandboxes, folders.network, folders.scratch])
    rmSync(path, { recursive: true, force: true })
}

/** Removes the platform's run folder and those above where nobody else has anything in them. */
export function removeRunFolder(folders: PlatformFolders): void {
  const root = dirname(folders.run)
  for (const path of [folders.mounts, folders.run, join(root, 'uids'), root]) {
    try {
      rmdirSync(path)
    } catch {
      // not empty, or gone
    }
  }
}
