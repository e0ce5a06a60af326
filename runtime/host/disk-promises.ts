// What was promised of the state directory's disk: volumes and scratch disks are sparse, so each may grow to its size. A new one is
// made only where all of them could be full at once and the platform itself still had room to write.
import { statfsSync, statSync } from 'node:fs'
import { RuntimeError } from '../errors.ts'
import { formatBytes } from '../limits/units.ts'

const MIB = 1024 ** 2
/** Of the disk, what is kept for Redis, bodies of calls, images and logs: a twentieth, within these. */
const KEPT_SHARE = 0.05
const LEAST_KEPT_BYTES = 32 * MIB
const MOST_KEPT_BYTES = 1024 * MIB

interface Promised {
  readonly path: string
  bytes: number
}

export class DiskPromises {
  readonly #folder: string
  /** Sparse files by path: what each may take in all. */
  readonly #files = new Map<string, Promised>()

  /** `folder` lies on the disk. */
  constructor(folder: string) {
    this.#folder = folder
  }

  /** Counts `bytes` of the file, which may not be there yet, until `release`. Throws RuntimeError DISK_FULL, with `what` in its
   *  sentence, where they do not fit with all that was promised before. */
  reserve(path: string, bytes: number, what: string): { release(): void } {
    this.#expectRoom(bytes, what)
    return this.hold(path, bytes)
  }

  /** What more can be promised, or written by what is no volume; 0 where the disk has no more files. */
  leftBytes(): number {
    return this.#look().leftBytes
  }

  #expectRoom(bytes: number, what: string): void {
    const { leftBytes, freeBytes, promisedBytes, keptBytes } = this.#look()
    if (bytes <= leftBytes) return
    const promised = `${formatBytes(promisedBytes)} of them promised to volumes and scratch disks that are not full`
    throw new RuntimeError(
      'DISK_FULL',
      `${what} of ${formatBytes(bytes)} does not fit: the state directory's disk has ${formatBytes(freeBytes)} free, ${promised}, and ${formatBytes(Math.floor(keptBytes))} kept for the platform; at most ${formatBytes(leftBytes)} can be had`,
    )
  }

  /** As `reserve`, for what is there already: it is never refused. */
  hold(path: string, bytes: number): { release(): void } {
    const known = this.#files.get(path)
    if (known === undefined) this.#files.set(path, { path, bytes })
    else known.bytes += bytes
    let held = true
    return {
      release: () => {
        if (held) this.release(path, bytes)
        held = false
      },
    }
  }

  /** So many bytes of the file are no longer promised. */
  release(path: string, bytes: number): void {
    const known = this.#files.get(path)
    if (known === undefined) return
    known.bytes -= bytes
    if (known.bytes <= 0) this.#files.delete(path)
  }

  /** What the files may still take besides what they have. */
  unwrittenBytes(): number {
    let sum = 0
    for (const { path, bytes } of this.#files.values()) sum += Math.max(0, bytes - takenBy(path))
    return sum
  }

  #look() {
    const { blocks, bavail, bsize, files, ffree } = statfsSync(this.#folder)
    const freeBytes = bavail * bsize
    const keptBytes = Math.min(MOST_KEPT_BYTES, Math.max(LEAST_KEPT_BYTES, blocks * bsize * KEPT_SHARE))
    const promisedBytes = this.unwrittenBytes()
    // Some file systems have no such number: they say 0.
    const hasFiles = files === 0 || ffree > files * KEPT_SHARE
    const leftBytes = hasFiles ? Math.max(0, Math.floor(freeBytes - promisedBytes - keptBytes)) : 0
    return { freeBytes, keptBytes, promisedBytes, leftBytes }
  }
}

/** Blocks on the disk; 0 while the file is not there. */
function takenBy(path: string): number {
  return (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * 512
}
