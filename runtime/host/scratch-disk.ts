// Scratch disks: a bounded ext4 for one sandbox, mounted `sync` so that block limits and counters see buffered writes too,
// also on cgroup v1. A disk of its own (a sparse image, the default), or, with an I/O weight, a part of the weighted disk.
import { chown, rm } from 'node:fs/promises'
import { attachLoop } from './loop.ts'
import { mountScratch, unmountApart } from './mounts.ts'
import { makeScratchImage } from './scratch-image.ts'
import type { WeightedDisk } from './weighted-disk.ts'

export interface ScratchDisk {
  /** What limits and counters are about: the disk, or the whole of the one it is a part of. */
  readonly majorMinor: string
  /** Frees it after it was unmounted. Idempotent. */
  release(): Promise<void>
}

export interface ScratchRequest {
  readonly sizeBytes: number
  readonly target: string
  /** Owner of its root. */
  readonly uid: number
}

/** Mounts a disk of its own, image `image`, made from a template in `folder`. */
export async function mountOwnDisk(folder: string, image: string, request: ScratchRequest): Promise<ScratchDisk> {
  const release = () => rm(image, { force: true })
  try {
    await makeScratchImage(folder, image, request.sizeBytes)
    const loop = attachLoop(image)
    try {
      await mountFor(loop.path, request)
    } finally {
      // The mount keeps the device; unmounting frees it.
      loop.release()
    }
    return { majorMinor: loop.majorMinor, release }
  } catch (error) {
    await release()
    throw error
  }
}

/** Mounts a part of the weighted disk. */
export async function mountWeightedDisk(disk: WeightedDisk, request: ScratchRequest): Promise<ScratchDisk> {
  const partition = await disk.take(request.sizeBytes)
  try {
    await mountFor(partition.path, request)
    return { majorMinor: disk.majorMinor, release: () => partition.release() }
  } catch (error) {
    await partition.release()
    throw error
  }
}

async function mountFor(device: string, { target, uid }: ScratchRequest): Promise<void> {
  await mountScratch(device, target)
  try {
    await chown(target, uid, uid)
  } catch (error) {
    await unmountApart(target)
    throw error
  }
}
