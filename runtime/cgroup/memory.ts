// What the rest of runtime/cgroup/ needs of a memory controller, whichever version speaks. One implementation a file.
import type { LimitOutcome } from '../api.ts'
import type { Limits } from '../limits/limits.ts'
import { MemoryV1 } from './memory-v1.ts'
import { MemoryV2 } from './memory-v2.ts'
import type { SandboxDirectory } from './sandbox-directory.ts'

export interface MemoryController {
  /** Writes what differs, in the order the kernel wants. Lowering never kills: a limit below what is in use is refused and
   *  all memory limits stay as they were. Throws RuntimeError LIMIT_WRITE. */
  apply(limits: Limits): LimitOutcome
  usageBytes(): number
  /** False on kernels that keep one peak since the sandbox began and cannot start another. */
  readonly peaksPerCall: boolean
  /** Starts a new peak; on kernels that cannot, the peak stays one since the sandbox began. */
  resetPeaks(): void
  peakBytes(): number
  /** null when this host does not account for swap; 0 for a call that began while the host had none. */
  swapPeakBytes(): number | null
  /** Frees page cache and, with swap, the rest, off the event loop; ends early when `stop` says so. Never throws. */
  reclaim(stop: () => boolean): Promise<void>
  oomKills(): number
  pageFaults(): number
  close(): void
}

/** Opens the memory control files of a sandbox. `hasSwap`: whether the host has swap now, by default always.
 *  Throws the system error when they are missing. */
export function openMemory(directory: SandboxDirectory, hasSwap: () => boolean = () => true): MemoryController {
  const place = directory.require('memory')
  return place.version === 1 ? new MemoryV1(directory, place, hasSwap) : new MemoryV2(directory, place, hasSwap)
}
