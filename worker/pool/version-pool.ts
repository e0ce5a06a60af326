// What the pool knows of a version and of its function: slots, waiting calls, learned figures. Decides nothing; pool.ts does.
import type { Limits } from '../../runtime/api.ts'
import type { FunctionConfig, FunctionVersion, InvocationFailure, StartKind } from '../api.ts'
import type { SourcePositions } from '../source-maps/source-positions.ts'
import { CpuShare } from './cpu-share.ts'
import { DrainRate } from './drain-rate.ts'
import { ArrivalLearner } from './freeze-policy.ts'
import type { NamespaceRoom } from './namespace-room.ts'
import type { Slot } from './slot.ts'
import { type StemKind, stemKindOf } from './stem-policy.ts'

/** What the pool needs of a call that wants a slot.  */
export interface PoolCall {
  readonly pool: VersionPool
  readonly limits: Limits
  /** Monotonic ms. */
  readonly arrivedAtMs: number
  /** True when only a slot that has run nothing will do. */
  needsFresh: boolean
  waiting: boolean
  /** The slot is its own (one of its places) until `Pool.release`. Must not throw. */
  run(slot: Slot, start: StartKind): void
  /** It gets no slot. Must not throw. */
  refuse(failure: InvocationFailure): void
}

/** Somebody who wants to know that the version loads, whoever its first call is. */
export interface LoadProbe {
  readonly sinceMs: number
  loaded(): void
  failed(why: InvocationFailure): void
}

/** CPU time of a typical call above which a function computes: the first calls of most others stay below it. */
const COMPUTES_MS = 5

/** A function in a namespace: bounds and learned figures that its versions share. */
export class FunctionPool {
  readonly key: string
  /** Of its namespace. */
  readonly space: NamespaceRoom
  readonly versions = new Set<VersionPool>()
  readonly arrivals = new ArrivalLearner()
  readonly drain = new DrainRate()
  /** Calls that hold a place in a slot. */
  running = 0
  /** Calls that wait for one. */
  waiting = 0
  /** Monotonic ms of the last end or grant of a call. */
  progressAtMs = 0
  runMs: number | null = null
  readonly cpu = new CpuShare()
  /** Its calls compute for longer than others should wait for a core. */
  computes = false
  #callCpuMs: number | null = null
  /** The version verified or first used last: the one `minWarm` counts for. */
  newest: VersionPool | null = null

  constructor(key: string, space: NamespaceRoom) {
    this.key = key
    this.space = space
  }

  /** Learns from a call that ended. */
  ended(nowMs: number, runMs: number): void {
    this.progressAtMs = nowMs
    this.drain.ended(nowMs)
    if (runMs >= 0) this.runMs = this.runMs === null ? runMs : this.runMs + (runMs - this.runMs) / 8
  }

  /** Learns from the CPU time of one call. */
  used(cpuMs: number): void {
    this.#callCpuMs = this.#callCpuMs === null ? cpuMs : this.#callCpuMs + (cpuMs - this.#callCpuMs) / 8
    this.computes = this.#callCpuMs > (this.computes ? COMPUTES_MS / 2 : COMPUTES_MS)
  }

  get slots(): number {
    let slots = 0
    for (const version of this.versions) slots += version.slots.size
    return slots
  }
}

/** One immutable version on this host. */
export class VersionPool {
  readonly key: string
  readonly version: FunctionVersion
  readonly config: FunctionConfig
  readonly fn: FunctionPool
  readonly slots = new Set<Slot>()
  /** Slots with a free place, the last used on top. */
  readonly available: Slot[] = []
  readonly waiters = new Set<PoolCall>()
  /** Waiting calls that only a slot without a past can serve; they wait here only. */
  readonly freshWaiters = new Set<PoolCall>()
  readonly probes = new Set<LoadProbe>()
  /** For stacks and log lines; known once a sandbox was started. */
  positions: SourcePositions | null = null
  /** The stems its sandboxes can become of; null: none, as far as is known before its image was read. */
  stemKind: StemKind | null
  /** Most bytes its code cache may have; 0: it has one, or is to have none, or its source is not known yet. */
  cacheBytes = 0
  starting = 0
  /** No longer wanted: slots go when their calls end. */
  retired = false
  /** No alias names it: a call by its number starts it, and it is destroyed soon after. */
  superseded = false
  /** Not in the pool's table any more. */
  detached = false
  /** True while waiting calls find no room on the host. */
  starved = false
  /** True when no call or probe wants the next launch, only `minWarm`. */
  spareOnly = false
  /** True when what they lack is room within the namespace's quotas. */
  atQuota = false
  /** Calls since it has had sandboxes without a break. */
  calls = 0
  startMs = 100
  launchFailures = 0
  notBeforeMs = 0
  lastUsedMs = 0

  constructor(key: string, version: FunctionVersion, fn: FunctionPool) {
    this.key = key
    this.version = version
    this.config = version.config
    this.fn = fn
    const kind = stemKindOf(version.config)
    this.stemKind = typeof kind === 'string' ? null : kind
  }

  get waitingCalls(): number {
    return this.waiters.size + this.freshWaiters.size
  }

  /** The share of work for a core in the calls that run now; null when none does. Reads kernel counters. */
  runningShare(nowMs: number): number | null {
    const share = new CpuShare()
    for (const slot of this.slots) if (slot.state === 'busy') share.learn(slot.sinceLoad(nowMs))
    return share.fraction
  }

  /** `text` with the author's own positions, as far as they are known; a promise, which never rejects, only when the map has to be
   *  decoded first. */
  mapPositions(text: string): string | Promise<string> {
    return this.positions === null ? text : this.positions.apply(text)
  }

  get minWarm(): number {
    return this.fn.newest === this && !this.retired && !this.superseded ? this.config.minWarm : 0
  }

  /** The call that has waited longest. */
  get oldestWaiter(): PoolCall | null {
    const first = this.waiters.values().next().value ?? null
    const fresh = this.freshWaiters.values().next().value ?? null
    if (first === null || fresh === null) return first ?? fresh
    return first.arrivedAtMs <= fresh.arrivedAtMs ? first : fresh
  }

  /** It has sandboxes, or calls that wait for one, and so needs upkeep. */
  get isActive(): boolean {
    return this.slots.size + this.waiters.size + this.freshWaiters.size + this.probes.size > 0
  }

  dropAvailable(slot: Slot): void {
    const index = this.available.lastIndexOf(slot)
    if (index >= 0) this.available.splice(index, 1)
  }
}

/** Versions are told apart by their image too: a name deleted and deployed again starts at version 1 again. */
export function versionKey(version: FunctionVersion): string {
  return `${version.namespace}/${version.name}@${version.version}#${version.image}`
}
