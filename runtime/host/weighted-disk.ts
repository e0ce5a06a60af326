// The one disk on which scratch disks with an I/O weight lie: a sparse file as a loop device under bfq, a partition for each
// sandbox. Weights share a request queue, so it must be one; a partition bounds each sandbox and keeps its file system its own.
// Made at first use, gone at `close`. Which sandbox gets one is decided by its limits, not here.
import { writeFileSync } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { RuntimeError } from '../errors.ts'
import { WEIGHTED_IMAGE } from '../platform-folders.ts'
import { type Extent, Extents } from './extents.ts'
import { attachLoop, type LoopDevice } from './loop.ts'
import { expectSuccess, scratchTemplate } from './scratch-image.ts'
import { run } from './spawn.ts'

const SECTOR = 512
/** The kernel knows 255 partitions of a disk. */
const MAX_PARTITIONS = 255
/** Of the sparse file: no more than an address space, blocks are taken when they are written. */
const DISK_BYTES = 4 * 1024 ** 4
/** The largest file an ext4 below takes with 4 KiB blocks is 16 TiB; with 1 KiB blocks 4 TiB is too much. */
const SMALL_DISK_BYTES = 512 * 1024 ** 3

export interface WeightedDisk {
  /** `maj:min` of the whole disk: what weights, rates and counters are about. */
  readonly majorMinor: string
  /** An empty file system of `sizeBytes` on a partition of its own; its device path. Throws RuntimeError CREATE_FAILED when the
   *  disk has no room for another partition | DISK_FULL. */
  take(sizeBytes: number): Promise<WeightedPartition>
}

export interface WeightedPartition {
  readonly path: string
  /** Forgets what was written and frees its blocks. It must be unmounted. Idempotent. */
  release(): Promise<void>
}

/** Makes the disk at the first `open` and keeps it until `close`. */
export function weightedDisks(folder: string): { open(): Promise<WeightedDisk>; close(): Promise<void> } {
  let opened: Promise<HostDisk> | null = null
  return {
    open() {
      opened ??= openDisk(folder).catch((error) => {
        opened = null
        throw error
      })
      return opened
    },
    async close() {
      const disk = await opened?.catch(() => null)
      opened = null
      await disk?.close()
    },
  }
}

async function openDisk(folder: string): Promise<HostDisk> {
  const image = join(folder, WEIGHTED_IMAGE)
  const bytes = await makeSparse(image)
  const loop = attachLoop(image, { partitions: true })
  try {
    return new HostDisk(folder, image, loop, bytes)
  } catch (error) {
    loop.release()
    await rm(image, { force: true })
    throw error
  }
}

async function makeSparse(image: string): Promise<number> {
  const handle = await open(image, 'w', 0o600)
  try {
    for (const bytes of [DISK_BYTES, SMALL_DISK_BYTES]) {
      try {
        await handle.truncate(bytes)
        return bytes
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EFBIG' || bytes === SMALL_DISK_BYTES) throw error
      }
    }
    return SMALL_DISK_BYTES
  } finally {
    await handle.close()
  }
}

class HostDisk implements WeightedDisk {
  readonly majorMinor: string
  readonly #folder: string
  readonly #image: string
  readonly #loop: LoopDevice
  readonly #extents: Extents
  readonly #queue: string

  constructor(folder: string, image: string, loop: LoopDevice, bytes: number) {
    this.#folder = folder
    this.#image = image
    this.#loop = loop
    this.majorMinor = loop.majorMinor
    this.#extents = new Extents(bytes / SECTOR, MAX_PARTITIONS)
    this.#queue = `/sys/block/${basename(loop.path)}/queue`
    this.#schedule()
  }

  async take(sizeBytes: number): Promise<WeightedPartition> {
    const template = await scratchTemplate(this.#folder, sizeBytes)
    const extent = this.#extents.take(Math.ceil(sizeBytes / SECTOR))
    if (extent === null) {
      throw new RuntimeError(
        'CREATE_FAILED',
        `no room for another scratch disk with an I/O weight: ${this.#extents.count} of at most ${MAX_PARTITIONS} are in use`,
      )
    }
    const path = `${this.#loop.path}p${extent.number}`
    const { number, startSectors, sectors } = extent
    let released = false
    const release = async (): Promise<void> => {
      if (released) return
      released = true
      await this.#forget(path, extent)
    }
    try {
      const added = await run('addpart', [this.#loop.path, `${number}`, `${startSectors}`, `${sectors}`])
      expectSuccess('addpart', added)
      // The holes of the template are holes here too: the range reads as zeros since it was made, or since it was let go.
      const copy = [`if=${template}`, `of=${path}`, 'bs=256k', 'conv=sparse,nocreat,fsync', 'status=none']
      expectSuccess('dd', await run('dd', copy))
      return { path, release }
    } catch (error) {
      await release()
      throw error
    }
  }

  /** The scheduler stays with the number of a loop device, not with its file: the next user gets the kernel's default again. */
  async close(): Promise<void> {
    try {
      writeFileSync(`${this.#queue}/scheduler`, 'none')
    } finally {
      this.#loop.release()
      await rm(this.#image, { force: true })
    }
  }

  /** SECURITY: a range that still holds what somebody wrote is never given to anybody else. */
  async #forget(path: string, extent: Extent): Promise<void> {
    const discarded = await run('blkdiscard', ['--force', path])
    await run('delpart', [this.#loop.path, `${extent.number}`])
    if (discarded.code === 0) this.#extents.release(extent)
  }

  /** Shares follow the weights only: no favour for what looks interactive, no request past its turn. */
  #schedule(): void {
    try {
      writeFileSync(`${this.#queue}/scheduler`, 'bfq')
      writeFileSync(`${this.#queue}/iosched/low_latency`, '0')
      writeFileSync(`${this.#queue}/iosched/strict_guarantees`, '1')
    } catch (error) {
      throw new RuntimeError(
        'LIMIT_UNSUPPORTED',
        'blkioWeight: this kernel has no bfq scheduler; modprobe bfq, or use a kernel with CONFIG_IOSCHED_BFQ',
        { cause: error },
      )
    }
  }
}
