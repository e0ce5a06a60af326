// The rooms of all namespaces on this host, and how they compare: which is served next, and which gives up a sandbox for another.
import type { Quotas } from '../registry/quotas.ts'
import type { HostRoom } from './host-room.ts'
import { NamespaceRoom } from './namespace-room.ts'
import type { Slot } from './slot.ts'
import type { VersionPool } from './version-pool.ts'

export class NamespaceRooms {
  readonly #host: HostRoom
  readonly #quotas: Quotas | null
  readonly #rooms = new Map<string, NamespaceRoom>()

  /** Reports what is in use of `sandboxes` and `memory`, and the scratch disks among `volumesBytes`. */
  constructor(host: HostRoom, quotas: Quotas | null) {
    this.#host = host
    this.#quotas = quotas
    quotas?.report('sandboxes', (namespace) => this.#rooms.get(namespace)?.sandboxes ?? 0)
    quotas?.reportPart('volumesBytes', (namespace) => this.#rooms.get(namespace)?.scratchBytes ?? 0)
    quotas?.report('memory', (namespace) => this.#rooms.get(namespace)?.usedBytes ?? 0)
  }

  /** Made when there is none. */
  of(namespace: string): NamespaceRoom {
    let room = this.#rooms.get(namespace)
    if (room === undefined) {
      room = new NamespaceRoom(namespace, this.#quotas)
      this.#rooms.set(namespace, room)
    }
    return room
  }

  /** Forgets it when it has nothing any more. */
  drop(room: NamespaceRoom): void {
    if (room.isEmpty && this.#rooms.get(room.namespace) === room) this.#rooms.delete(room.namespace)
  }

  /** The part of the host each namespace may have while all that have something or wait want it, 0–1. */
  get fairShare(): number {
    let some = 0
    for (const room of this.#rooms.values()) if (room.sandboxes > 0 || room.waiting > 0) some++
    return 1 / Math.max(1, some)
  }

  /** The one with less of the host first; within a namespace the function with fewer sandboxes. */
  readonly byNeed = (one: VersionPool, other: VersionPool): number => {
    const [mine, its] = [one.fn.space, other.fn.space]
    const difference = mine === its ? 0 : mine.shareOf(this.#host) - its.shareOf(this.#host)
    return difference || one.fn.slots - other.fn.slots
  }

  /** Whether the slot, free now, is better given up for a version that finds no room: one of the same namespace whose function has
   *  fewer sandboxes, or of one that will still have less of the host. */
  yieldsTo(slot: Slot, pool: VersionPool): boolean {
    const { fn } = slot.pool
    if (pool.fn === fn) return false
    const bytes = pool.config.limits.memory
    const { space } = pool.fn
    const lacks = space.missing(bytes, true)
    const hostLacks = this.#host.missing(this.#host.sizeOf(bytes), true)
    const isHostFull = hostLacks.bytes > 0 || hostLacks.count > 0
    const isAtQuota = lacks.bytes > 0 || lacks.count > 0
    if (space === fn.space) return pool.fn.slots + 1 < fn.slots && (isHostFull || isAtQuota)
    // What `minWarm` asks for takes nothing from others.
    if (!isHostFull || isAtQuota || pool.spareOnly) return false
    return space.shareOf(this.#host, bytes, 1) < fn.space.shareOf(this.#host)
  }
}
