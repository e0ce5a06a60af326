// Gives up idle sandboxes for room: of a namespace that is at its quotas, or of the host. Which: eviction.ts and fair-eviction.ts.
import { chooseVictims, type EvictionCandidate } from './eviction.ts'
import { chooseFairVictims } from './fair-eviction.ts'
import type { HostRoom } from './host-room.ts'
import type { NamespaceRoom } from './namespace-room.ts'
import type { NamespaceRooms } from './namespace-rooms.ts'
import type { Slot } from './slot.ts'
import type { Stems } from './stems.ts'
import type { VersionPool } from './version-pool.ts'

export interface EvictorParts {
  readonly room: HostRoom
  readonly spaces: NamespaceRooms
  readonly stems: Pick<Stems, 'evict'>
  /** Those whose sandboxes may go. */
  readonly versions: () => Iterable<VersionPool>
  readonly discard: (slot: Slot) => void
}

/** What is needed. */
export interface RoomNeed {
  readonly pool: VersionPool
  readonly bytes: number
  readonly newSandbox: boolean
  /** The sandbox that needs more; null: a new one does. */
  readonly slot: Slot | null
}

interface Candidate extends EvictionCandidate {
  readonly slot: Slot
  readonly space: NamespaceRoom
}

export class Evictor {
  readonly #parts: EvictorParts
  #clock = 0

  constructor(parts: EvictorParts) {
    this.#parts = parts
  }

  /** Later uses of a sandbox age from here. */
  get clock(): number {
    return this.#clock
  }

  /** Evicts sandboxes of the namespace until it has, or soon will have, room within its quotas; false when that is not possible. */
  forNamespace({ pool, bytes, newSandbox, slot }: RoomNeed): boolean {
    const { space } = pool.fn
    const missing = space.missing(bytes, newSandbox)
    if (missing.bytes === 0 && missing.count === 0) return true
    const own = this.#candidates(slot)
      .filter((candidate) => candidate.space === space)
      .map((candidate) => ({ ...candidate, sizeBytes: candidate.slot.reservedBytes }))
    return this.#discard(chooseVictims(own, missing))
  }

  /** Evicts sandboxes of the namespace until their scratch disks give `bytes` back; none when all together would not do. */
  forDisk({ fn }: VersionPool, bytes: number): void {
    const own = this.#candidates(null).filter(({ space, slot }) => space === fn.space && scratchOf(slot) > 0)
    const sized = own.map((candidate) => ({ ...candidate, sizeBytes: scratchOf(candidate.slot) }))
    this.#discard(chooseVictims(sized, { bytes: bytes - fn.space.leavingScratchBytes, count: 0 }))
  }

  /** Evicts stems and sandboxes until there is, or soon will be, room on the host; false when that is not possible. What `minWarm`
   *  asks for takes nothing from other namespaces. */
  forHost({ pool, bytes, newSandbox, slot }: RoomNeed): boolean {
    const { room, spaces, stems } = this.#parts
    const missing = room.missing(bytes, newSandbox)
    if (missing.bytes === 0 && missing.count === 0) return true
    const need = stems.evict(missing)
    if (need.bytes === 0 && need.count === 0) return true
    const { space } = pool.fn
    const isWanted = slot !== null || !pool.spareOnly
    const candidates = this.#candidates(slot).filter((candidate) => isWanted || candidate.space === space)
    const shareAfter = space.shareOf(room, bytes, newSandbox ? 1 : 0)
    return this.#discard(
      chooseFairVictims(candidates, need, { space, shareAfter, fairShare: spaces.fairShare, host: room }),
    )
  }

  #discard(choice: { readonly victims: readonly Candidate[]; readonly clock: number } | null): boolean {
    if (choice === null) return false
    this.#clock = Math.max(this.#clock, choice.clock)
    for (const { slot } of choice.victims) this.#parts.discard(slot)
    return true
  }

  /** Idle sandboxes, except those that `minWarm` keeps. */
  #candidates(except: Slot | null): Candidate[] {
    const candidates: Candidate[] = []
    for (const pool of this.#parts.versions()) {
      const { space } = pool.fn
      let spare = pool.slots.size - pool.minWarm
      for (const slot of pool.available) {
        if (!slot.resting || slot === except || slot.freezing || spare-- <= 0) continue
        const { agedFrom, idleSinceMs, chargedBytes: sizeBytes } = slot
        candidates.push({ slot, space, agedFrom, idleSinceMs, sizeBytes, frequency: pool.calls, startMs: pool.startMs })
      }
    }
    return candidates
  }
}

function scratchOf({ pool }: Slot): number {
  return pool.config.limits.scratch ?? 0
}
