// Named volumes: each an ext4 image of its size under the state directory, mounted on the host while a sandbox may want it.
// What lasts is the image alone; a platform that is killed leaves nothing to repair (the journal is replayed at the next mount).
import { mkdirSync } from 'node:fs'
import { mkdir, open, readdir, rename, rm, rmdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { RuntimeError } from '../errors.ts'
import type { DiskPromises } from '../host/disk-promises.ts'
import { diskFull, draftName, syncFolder } from '../host/durable-file.ts'
import { attachLoop, detachLoop, loopsUnder } from '../host/loop.ts'
import { mountExt4, mountsUnder, unmount, unmountApart } from '../host/mounts.ts'
import { removeEmpty } from '../host/paths.ts'
import { expectSuccess, removeLostAndFound } from '../host/scratch-image.ts'
import { run } from '../host/spawn.ts'
import { Turns } from '../host/turns.ts'
import { formatBytes } from '../limits/units.ts'
import { INNER_UID } from '../oci/config.ts'
import type { Volume, VolumeStore } from './api.ts'
import { checkBind } from './bind-folder.ts'

/** Smallest image that has room for a journal. */
export const MIN_VOLUME_BYTES = 16 * 1024 ** 2
/** What an ext4 with 4 KiB blocks takes as one file below. */
export const MAX_VOLUME_BYTES = 8 * 1024 ** 4
const ID = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\/[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
const SUFFIX = '.img'

export interface VolumeStoreOptions {
  /** Images lie here, a folder for each scope. */
  readonly imagesDir: string
  /** Mount points, under the platform's run folder. */
  readonly mountsDir: string
  /** Folders of the host below which bind volumes may lie. */
  readonly bindRoots: readonly string[]
  /** What is promised of the disk they lie on. */
  readonly promises: DiskPromises
}

/** A volume somebody uses: mounted at `path` until every holder has released it and the store is closed. */
export interface HeldVolume {
  readonly path: string
  /** Idempotent. */
  release(): void
}

/** The store with what only sandboxes need of it. */
export interface HostVolumes extends VolumeStore {
  readonly bindRoots: readonly string[]
  /** Mounts it where that is not done yet. Throws RuntimeError `VOLUME_NOT_FOUND`. */
  hold(id: string): Promise<HeldVolume>
  /** Unmounts all. No sandbox is left. */
  close(): Promise<void>
}

/** Opens the store and takes away what a killed platform left mounted or half made. The caller holds the state lock. */
export async function openVolumeStore(options: VolumeStoreOptions): Promise<HostVolumes> {
  for (const target of mountsUnder(options.mountsDir)) unmount(target)
  for (const device of loopsUnder(options.imagesDir)) detachLoop(device)
  for (const scope of await entriesOf(options.imagesDir)) {
    for (const name of await entriesOf(join(options.imagesDir, scope))) {
      if (name.endsWith('.tmp')) await rm(join(options.imagesDir, scope, name), { force: true })
      if (name.endsWith('.mnt')) await rmdir(join(options.imagesDir, scope, name)).catch(() => undefined)
    }
  }
  const volumes = new ImageVolumes(options)
  await volumes.holdPromised()
  return volumes
}

class ImageVolumes implements HostVolumes {
  readonly bindRoots: readonly string[]
  readonly #options: VolumeStoreOptions
  /** How many sandboxes have it. */
  readonly #holders = new Map<string, number>()
  readonly #mounted = new Set<string>()
  /** Sizes by id. */
  readonly #sizes = new Map<string, number>()
  /** Changes of one volume come one after the other. */
  readonly #turns = new Turns()

  constructor(options: VolumeStoreOptions) {
    this.#options = options
    this.bindRoots = options.bindRoots
  }

  /** What is there keeps its size, whatever else is on the disk. */
  async holdPromised(): Promise<void> {
    for (const { id, sizeBytes } of await this.list()) {
      this.#sizes.set(id, sizeBytes)
      this.#options.promises.hold(this.#imageOf(id), sizeBytes)
    }
  }

  create(id: string, sizeBytes: number): Promise<{ volume: Volume; created: boolean }> {
    return this.#turns.take(id, async () => {
      const known = await this.get(id)
      if (known !== null && known.sizeBytes !== sizeBytes) {
        throw new RuntimeError(
          'VOLUME_EXISTS',
          `the volume has ${formatBytes(known.sizeBytes)} already, not ${formatBytes(sizeBytes)}; a size cannot be changed`,
        )
      }
      if (known !== null) return { volume: known, created: false }
      await this.#make(id, sizeBytes)
      this.#sizes.set(id, sizeBytes)
      return { volume: (await this.get(id))!, created: true }
    })
  }

  sizeIn(scope: string): number {
    let sum = 0
    for (const [id, bytes] of this.#sizes) if (id.startsWith(`${scope}/`)) sum += bytes
    return sum
  }

  async list(only?: string): Promise<Volume[]> {
    const volumes: Volume[] = []
    for (const scope of only === undefined ? await entriesOf(this.#options.imagesDir) : [only]) {
      for (const name of await entriesOf(join(this.#options.imagesDir, scope))) {
        if (!name.endsWith(SUFFIX)) continue
        const volume = await this.get(`${scope}/${name.slice(0, -SUFFIX.length)}`)
        if (volume !== null) volumes.push(volume)
      }
    }
    return volumes.sort((one, other) => (one.id < other.id ? -1 : 1))
  }

  async get(id: string): Promise<Volume | null> {
    if (!ID.test(id)) return null
    try {
      const { size, blocks, birthtimeMs, ctimeMs } = await stat(this.#imageOf(id))
      return { id, sizeBytes: size, usedBytes: blocks * 512, createdAtMs: Math.floor(birthtimeMs || ctimeMs) }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw error
    }
  }

  remove(id: string): Promise<void> {
    return this.#turns.take(id, async () => {
      const volume = await this.get(id)
      if (volume === null) throw unknown(id)
      const holders = this.#holders.get(id) ?? 0
      if (holders > 0)
        throw new RuntimeError(
          'VOLUME_IN_USE',
          `${holders} ${holders === 1 ? 'sandbox has' : 'sandboxes have'} the volume ${nameOf(id)}`,
        )
      await this.#unmount(id)
      const image = this.#imageOf(id)
      await rm(image)
      this.#sizes.delete(id)
      this.#options.promises.release(image, volume.sizeBytes)
      await syncFolder(dirname(image))
    })
  }

  checkBind(source: string, readOnly: boolean): Promise<void> {
    return checkBind(this.bindRoots, source, readOnly)
  }

  hold(id: string): Promise<HeldVolume> {
    return this.#turns.take(id, async () => {
      if ((await this.get(id)) === null) throw unknown(id)
      const path = await this.#mount(id)
      this.#holders.set(id, (this.#holders.get(id) ?? 0) + 1)
      let held = true
      const release = (): void => {
        if (held) this.#holders.set(id, (this.#holders.get(id) ?? 1) - 1)
        held = false
      }
      return { path, release }
    })
  }

  async close(): Promise<void> {
    await this.#turns.idle()
    for (const id of [...this.#mounted]) await this.#unmount(id)
    // Folders without content only: whatever is still mounted in one stays what it is.
    for (const scope of await entriesOf(this.#options.mountsDir)) removeEmpty(join(this.#options.mountsDir, scope))
    removeEmpty(this.#options.mountsDir)
  }

  async #make(id: string, sizeBytes: number): Promise<void> {
    checkNew(id, sizeBytes)
    const image = this.#imageOf(id)
    const draft = draftName(image)
    const promise = this.#options.promises.reserve(image, sizeBytes, 'a volume')
    try {
      await mkdir(dirname(image), { recursive: true, mode: 0o700 })
      const file = await open(draft, 'wx', 0o600)
      try {
        await file.truncate(sizeBytes)
        const options = `root_owner=${INNER_UID}:${INNER_UID},lazy_itable_init=1,nodiscard`
        expectSuccess('mkfs.ext4', await run('mkfs.ext4', ['-q', '-F', '-m0', '-E', options, draft]))
        await removeLostAndFound(draft)
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(draft, image)
      await syncFolder(dirname(image))
    } catch (error) {
      promise.release()
      await rm(draft, { force: true })
      throw diskFull(error, image)
    }
  }

  async #mount(id: string): Promise<string> {
    const target = join(this.#options.mountsDir, id)
    if (this.#mounted.has(id)) return target
    mkdirSync(target, { recursive: true, mode: 0o711 })
    const loop = attachLoop(this.#imageOf(id))
    try {
      await mountExt4(loop.path, target)
    } finally {
      // The mount keeps the device; unmounting frees it.
      loop.release()
    }
    this.#mounted.add(id)
    return target
  }

  async #unmount(id: string): Promise<void> {
    if (!this.#mounted.delete(id)) return
    const target = join(this.#options.mountsDir, id)
    await unmountApart(target)
    removeEmpty(target)
  }

  #imageOf(id: string): string {
    return `${join(this.#options.imagesDir, id)}${SUFFIX}`
  }
}

function checkNew(id: string, sizeBytes: number): void {
  if (!ID.test(id))
    throw new RuntimeError('VOLUME_INVALID', `${JSON.stringify(id)} is no volume id: expected scope/name`)
  if (sizeBytes >= MIN_VOLUME_BYTES && sizeBytes <= MAX_VOLUME_BYTES && Number.isSafeInteger(sizeBytes)) return
  throw new RuntimeError(
    'VOLUME_INVALID',
    `size: expected ${formatBytes(MIN_VOLUME_BYTES)} to ${formatBytes(MAX_VOLUME_BYTES)}, got ${formatBytes(sizeBytes)}`,
  )
}

function unknown(id: string): RuntimeError {
  return new RuntimeError('VOLUME_NOT_FOUND', `there is no volume ${nameOf(id)}`)
}

function nameOf(id: string): string {
  return id.slice(id.indexOf('/') + 1, 200)
}

/** Names in a folder; none when it is not there. */
async function entriesOf(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}
