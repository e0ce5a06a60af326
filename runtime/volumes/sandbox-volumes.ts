// The volumes of one sandbox: each a mount of its own with the owners translated to the sandbox's, and their way back.
// Never removes a folder with content: a mount point may, after a failure, still have somebody's data in it.
import { closeSync, constants, existsSync, mkdirSync, openSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { mountsUnder, mountVolume, unmountApart } from '../host/mounts.ts'
import { removeEmpty } from '../host/paths.ts'
import { openSingleIdNamespace } from '../host/user-namespace.ts'
import { INNER_UID, type VolumeSource } from '../oci/config.ts'
import type { VolumeMount } from './api.ts'
import { mountBindFolder, openBindFolder } from './bind-folder.ts'
import type { HeldVolume, HostVolumes } from './volume-store.ts'

const O_PATH = 0o10000000

export class SandboxVolumes {
  readonly #store: HostVolumes
  readonly #folder: string
  readonly #held: HeldVolume[] = []

  /** `folder`: the sandbox's own folder for mount points; its parent is walkable for sandboxes. */
  constructor(store: HostVolumes, folder: string) {
    this.#store = store
    this.#folder = folder
  }

  /** Mounts all; what the OCI runtime is to bind where. `release` also takes back what a failure left. Throws RuntimeError
   *  `VOLUME_NOT_FOUND` | `VOLUME_INVALID`. */
  async mount(volumes: readonly VolumeMount[], uidBase: number): Promise<VolumeSource[]> {
    mkdirSync(this.#folder, { mode: 0o711 })
    // One id is enough: the code runs as it and can become no other. Files of others appear as nobody's and cannot be written.
    const usernsFd = await openSingleIdNamespace(INNER_UID, uidBase + INNER_UID)
    try {
      const sources: VolumeSource[] = []
      for (const [index, volume] of volumes.entries()) {
        const target = join(this.#folder, String(index))
        if (volume.kind !== 'tmpfs') {
          mkdirSync(target)
          await this.#mountOne(volume, usernsFd, target)
        }
        sources.push({ volume, target })
      }
      return sources
    } finally {
      closeSync(usernsFd)
    }
  }

  async release(): Promise<void> {
    for (const target of mountsUnder(this.#folder)) await unmountApart(target)
    for (const held of this.#held) held.release()
    if (!existsSync(this.#folder)) return
    for (const name of readdirSync(this.#folder)) removeEmpty(join(this.#folder, name))
    removeEmpty(this.#folder)
  }

  async #mountOne(volume: Exclude<VolumeMount, { kind: 'tmpfs' }>, usernsFd: number, target: string): Promise<void> {
    if (volume.kind === 'bind') {
      const fd = openBindFolder(this.#store.bindRoots, volume.source)
      try {
        mountBindFolder(fd, volume.source, usernsFd, volume.readOnly, target)
      } finally {
        closeSync(fd)
      }
      return
    }
    const held = await this.#store.hold(volume.id)
    this.#held.push(held)
    const fd = openSync(held.path, O_PATH | constants.O_DIRECTORY)
    try {
      mountVolume(fd, usernsFd, volume.readOnly, target)
    } finally {
      closeSync(fd)
    }
  }
}
