// Starts, evicts and destroys sandboxes as far as cores and room allow. Hands slots to nobody: pool.ts does, when told of a
// loaded slot; policy is in scaling.ts and eviction.ts.
import type { Clock, Logger, Runtime, StopReason } from '../../runtime/api.ts'
import type { InvocationFailure } from '../api.ts'
import { failureOfLaunch, messageOf, withOwnPositions } from '../failures.ts'
import type { Quotas } from '../registry/quotas.ts'
import { Evictor } from './evictor.ts'
import { HostRoom } from './host-room.ts'
import { LastServed } from './last-served.ts'
import { type LaunchHost, launchSandbox, type SecretsOf } from './launcher.ts'
import { NamespaceRooms } from './namespace-rooms.ts'
import { launchesAtOnce, launchesWanted } from './scaling.ts'
import { Slot } from './slot.ts'
import { Stems } from './stems.ts'
import type { FunctionPool, VersionPool } from './version-pool.ts'

export interface SupplyOptions {
  readonly runtime: Runtime
  readonly clock: Clock
  readonly logger: Logger
  readonly cores: number
  /** What all sandboxes together may be charged with. */
  readonly memoryBytes: number
  readonly maxSandboxes: number
  /** Booted sandboxes without a function kept ready, of each kind; 0: none. */
  readonly stems: number
  readonly caches: LaunchHost['caches']
  readonly sourceMaps: LaunchHost['sourceMaps']
  /** Asks for a run of the upkeep no later than this instant. */
  readonly wakeAt: (atMs: number) => void
  /** A slot changed its state (not told of idle ⇄ busy). */
  readonly moved: (slot: Slot) => void
  /** A line that the code printed while it loaded. */
  readonly output: LaunchHost['output']
  /** A sandbox that had loaded has stopped, whatever ended it. */
  readonly ended?: (slot: Slot, reason: StopReason) => void
  readonly secretsOf?: SecretsOf
  /** What a namespace may have; default: as much as there is. */
  readonly quotas?: Quotas
}

/** What the supply tells the pool. */
export interface SupplyEvents {
  /** The slot is idle and in no list yet. */
  loaded(slot: Slot): void
  failed(pool: VersionPool, why: InvocationFailure): void
  /** Calls of the version found no room to thaw a slot; there may be some now. */
  roomFreed(pool: VersionPool): void
}

const FIRST_BACKOFF_MS = 100
const LONGEST_BACKOFF_MS = 5000
/** A sandbox that dies unused so soon counts as a failed launch. */
const SHORT_LIFE_MS = 1000
/** When no launch began or ended for so long, those under way are slow. */
const SLOW_LAUNCHES_MS = 500
const MOST_LAUNCHES_PER_CORE = 4

export class Supply {
  readonly room: HostRoom
  readonly spaces: NamespaceRooms
  readonly stems: Stems
  readonly #options: SupplyOptions
  /** Versions with sandboxes, or with calls that wait for one; upkeep takes out those that have neither. */
  readonly active = new Set<VersionPool>()
  readonly #events: SupplyEvents
  /** Versions that may want launches, the longest unserved first. */
  readonly #wanting = new Set<VersionPool>()
  readonly #pending = new Set<Promise<void>>()
  /** Calls that hold a place in a slot, of all functions. */
  running = 0
  readonly #served = new LastServed()
  /** Creations under way; a start from a stem counts until it has taken the stem. */
  #launching = 0
  /** When the last launch began or ended. */
  #launchProgressMs = 0
  readonly #evictor: Evictor
  #closed = false

  constructor(options: SupplyOptions, events: SupplyEvents) {
    this.#options = options
    this.#events = events
    this.room = new HostRoom(options.memoryBytes, options.maxSandboxes, (bytes) => options.runtime.hostBytes(bytes))
    this.spaces = new NamespaceRooms(this.room, options.quotas ?? null)
    this.stems = new Stems({ ...options, freed: () => this.schedule() }, this.room)
    const { room, spaces, stems } = this
    const discard = (slot: Slot) => void this.discard(slot)
    this.#evictor = new Evictor({ room, spaces, stems, versions: () => this.active, discard })
  }

  /** True while some version waits for a launch or for room. */
  get wanted(): boolean {
    return this.#wanting.size > 0
  }

  /** Later uses of a sandbox age from here. */
  get evictionClock(): number {
    return this.#evictor.clock
  }

  /** The version may want launches: the next `schedule` looks at it. */
  want(pool: VersionPool): void {
    if (pool.waitingCalls === 0 && pool.probes.size === 0 && pool.slots.size >= pool.minWarm) return
    this.#wanting.add(pool)
    this.active.add(pool)
  }

  /** A call of the function went to a sandbox that had served before: while that goes on, launches leave it a core. */
  served(fn: FunctionPool, nowMs: number): void {
    this.#served.note(fn, nowMs)
  }

  /** Starts what is wanted, one version after the other, as far as cores and room allow. */
  schedule(): void {
    if (this.#closed) return
    if (this.#wanting.size > 0) this.#startWanted()
    if (this.#wanting.size === 0 && this.#launching === 0) this.stems.refill(this.running >= this.#options.cores)
  }

  #startWanted(): void {
    const nowMs = this.#options.clock.monotonicMs()
    let launched = true
    while (launched) {
      launched = false
      for (const pool of this.#byNeed()) {
        if (!this.#hasCoreFor(pool, nowMs)) continue
        if (pool.starved && pool.available.length > 0) this.#events.roomFreed(pool)
        const count = this.#launchesFor(pool, nowMs)
        if (count === null) this.#wanting.delete(pool)
        pool.starved = count !== null && count > 0 && !this.#makeRoom(pool)
        if (count === null || count <= 0 || pool.starved) continue
        this.#wanting.delete(pool)
        this.#wanting.add(pool)
        void this.#track(this.#launch(pool, nowMs))
        launched = true
      }
    }
  }

  /** Charges the slot for a memory limit of so many bytes, evicting others where that helps; false when there is no room. */
  charge(slot: Slot, limitBytes: number): boolean {
    const own = limitBytes - slot.reservedBytes
    if (own <= 0) return true
    const { pool } = slot
    const { space } = pool.fn
    const need = { pool, newSandbox: false, slot }
    const isWithin =
      space.fits(own, false) || (this.#evictor.forNamespace({ ...need, bytes: own }) && space.fits(own, false))
    pool.atQuota = !isWithin
    if (!isWithin) return false
    const growth = Math.max(0, this.room.sizeOf(limitBytes) - slot.chargedBytes)
    if (!this.room.charge(growth) && !(this.#evictor.forHost({ ...need, bytes: growth }) && this.room.charge(growth)))
      return false
    space.charge(own)
    slot.reservedBytes = limitBytes
    slot.chargedBytes += growth
    return true
  }

  /** A frozen slot is charged with what it really holds. */
  chargeFrozen(slot: Slot): void {
    const heldBytes = slot.sandbox!.memoryBytes()
    const bytes = Math.min(slot.chargedBytes, heldBytes)
    const own = Math.min(slot.reservedBytes, heldBytes)
    this.room.charge(bytes - slot.chargedBytes)
    slot.pool.fn.space.charge(own - slot.reservedBytes)
    slot.chargedBytes = bytes
    slot.reservedBytes = own
    this.schedule()
  }

  /** The loaded slot is gone and its sandbox destroyed in the background. Resolves when its room is free. */
  discard(slot: Slot): Promise<void> {
    const { pool, sandbox } = slot
    if (slot.state === 'gone' || sandbox === null) return Promise.resolve()
    slot.move('gone')
    pool.dropAvailable(slot)
    pool.slots.delete(slot)
    // Its frequency counts while there is a sandbox: who was evicted starts again, as in FaasCache.
    if (pool.slots.size === 0) pool.calls = 0
    this.room.leaving(slot.chargedBytes)
    pool.fn.space.leave(slot.reservedBytes)
    pool.fn.space.leavingScratchBytes += pool.config.limits.scratch ?? 0
    this.#options.moved(slot)
    return this.#track(this.#destroy(slot))
  }

  /** The sandbox ended by itself. Calls in it hear of it through their sinks. One that dies unused holds up the next launch. */
  died(slot: Slot): void {
    if (slot.state === 'gone') return
    slot.condemned = true
    slot.pool.dropAvailable(slot)
    if (slot.inFlight > 0) return
    if (slot.calls === 0 && this.#options.clock.monotonicMs() - slot.loadedAtMs < SHORT_LIFE_MS)
      this.#backOff(slot.pool)
    void this.discard(slot)
  }

  /** A namespace that holds more than its share gives up a slot for one that finds no room. */
  yields(slot: Slot): boolean {
    for (const pool of this.#wanting) if (pool.starved && this.spaces.yieldsTo(slot, pool)) return true
    return false
  }

  /** Starts nothing more, and destroys everything, busy or not. */
  async close(message: string): Promise<void> {
    this.#closed = true
    for (const pool of this.active) {
      for (const slot of [...pool.slots]) {
        slot.condemned = true
        if (slot.inFlight > 0 || slot.state === 'loading') slot.sandbox?.kill({ code: 'KILLED', message })
        if (slot.state !== 'starting' && slot.state !== 'loading') void this.discard(slot)
      }
    }
    await this.stems.close()
    while (this.#pending.size > 0) await Promise.all(this.#pending)
  }

  async #destroy(slot: Slot): Promise<void> {
    const sandbox = slot.sandbox!
    try {
      await sandbox.destroy()
    } catch (error) {
      this.#options.logger.error({ sandbox: sandbox.id, error: messageOf(error) }, 'a sandbox could not be destroyed')
    }
    this.#left(slot)
    this.want(slot.pool)
    this.schedule()
  }

  #track(work: Promise<void>): Promise<void> {
    const tracked = work.finally(() => this.#pending.delete(tracked))
    this.#pending.add(tracked)
    return tracked
  }

  #left(slot: Slot): void {
    const { space } = slot.pool.fn
    this.room.left(slot.chargedBytes)
    space.left(slot.reservedBytes)
    const scratchBytes = slot.pool.config.limits.scratch ?? 0
    space.scratchBytes -= scratchBytes
    space.leavingScratchBytes -= scratchBytes
    this.spaces.drop(space)
  }

  /** Those with least first; among equals the longest unserved. */
  #byNeed(): VersionPool[] {
    return [...this.#wanting].sort(this.spaces.byNeed)
  }

  /** Launches wanted now; null: nothing to look at again until somebody asks. */
  #launchesFor(pool: VersionPool, nowMs: number): number | null {
    const spare = pool.minWarm - pool.slots.size
    const probed = pool.probes.size > 0 && pool.starting === 0 ? 1 : 0
    const waiting = pool.waitingCalls
    if (waiting === 0 && probed === 0 && spare <= 0) return null
    if (nowMs < pool.notBeforeMs) {
      this.#options.wakeAt(pool.notBeforeMs)
      return 0
    }
    const { fn, config } = pool
    const sinceProgressMs = nowMs - fn.progressAtMs
    const wanted = launchesWanted({
      waiting,
      starting: pool.starting,
      live: pool.slots.size - pool.starting,
      sandboxConcurrency: config.sandboxConcurrency,
      concurrency: config.concurrency,
      cores: this.#options.cores,
      sinceProgressMs,
      longestWaitMs: nowMs - (pool.oldestWaiter?.arrivedAtMs ?? nowMs),
      othersRunning: this.running - fn.running,
      runMs: fn.runMs,
      // While no call has ended, those that run tell what they do, once they run longer than a launch would take.
      cpuFraction: fn.cpu.fraction ?? (sinceProgressMs > pool.startMs ? pool.runningShare(nowMs) : null),
      startMs: pool.startMs,
    })
    const called = Math.max(wanted, probed, pool.freshWaiters.size > pool.starting ? 1 : 0)
    pool.spareOnly = called <= 0
    return Math.max(called, spare)
  }

  #hasCoreFor(pool: VersionPool, nowMs: number): boolean {
    const { cores } = this.#options
    const othersServed = this.#served.others(pool.fn, nowMs)
    if (this.#launching < launchesAtOnce(cores, othersServed, false)) return true
    const hasStem = pool.stemKind !== null && this.stems.has(pool.stemKind)
    if (hasStem && this.#launching < launchesAtOnce(cores, othersServed, true)) return true
    // A namespace that starts nothing does not stand behind the slow starts of others.
    if (pool.fn.space.launching > 0 || this.#launching >= cores * MOST_LAUNCHES_PER_CORE) return false
    const slowAtMs = this.#launchProgressMs + SLOW_LAUNCHES_MS
    if (nowMs < slowAtMs) this.#options.wakeAt(slowAtMs)
    return nowMs >= slowAtMs
  }

  /** Room for one more sandbox of the version; false when there is none yet. */
  #makeRoom(pool: VersionPool): boolean {
    const bytes = pool.config.limits.memory
    const need = { pool, bytes, newSandbox: true, slot: null }
    const { space } = pool.fn
    const missingDisk = space.missingDisk(pool.config.limits.scratch)
    pool.atQuota = !space.fits(bytes, true) || missingDisk > 0
    const hostBytes = this.room.sizeOf(bytes)
    if (missingDisk > 0) this.#evictor.forDisk(pool, missingDisk)
    else if (pool.atQuota) this.#evictor.forNamespace(need)
    else if (this.room.takeSandbox(hostBytes)) {
      space.take(bytes)
      space.scratchBytes += pool.config.limits.scratch ?? 0
    } else {
      this.#evictor.forHost({ ...need, bytes: hostBytes })
      return false
    }
    return !pool.atQuota
  }

  async #launch(pool: VersionPool, nowMs: number): Promise<void> {
    const slot = new Slot(pool, this.room.sizeOf(pool.config.limits.memory), nowMs)
    this.active.add(pool)
    pool.slots.add(slot)
    pool.starting++
    pool.fn.space.launching++
    this.#launching++
    this.#launchProgressMs = nowMs
    this.stems.notQuiet()
    let error: unknown = null
    try {
      await launchSandbox(slot, { ...this.#options, stems: this.stems })
    } catch (caught) {
      error = caught ?? new Error('the launch failed')
    }
    pool.starting--
    pool.fn.space.launching--
    this.#launching--
    this.#launchProgressMs = this.#options.clock.monotonicMs()
    this.stems.notQuiet()
    if (error === null) this.#loaded(slot)
    else this.#launchFailed(slot, error)
    this.schedule()
  }

  #loaded(slot: Slot): void {
    const { pool } = slot
    // What a start costs where there is no stem: scaling must not count on there being one.
    if (slot.origin === 'cold') pool.startMs += (slot.loadedAtMs - slot.launchedAtMs - pool.startMs) / 2
    this.#options.moved(slot)
    void slot.sandbox!.stopped.then((reason) => {
      this.#options.ended?.(slot, reason)
      this.died(slot)
    })
    if (this.#closed) void this.discard(slot)
    else this.#events.loaded(slot)
  }

  #launchFailed(slot: Slot, error: unknown): void {
    const { pool } = slot
    slot.move('gone')
    pool.slots.delete(slot)
    this.room.leaving(slot.chargedBytes)
    pool.fn.space.leave(slot.reservedBytes)
    pool.fn.space.leavingScratchBytes += pool.config.limits.scratch ?? 0
    this.#left(slot)
    this.#backOff(pool)
    if (slot.sandbox !== null) this.#options.moved(slot)
    const why = withOwnPositions(failureOfLaunch(error), (text) => pool.mapPositions(text))
    if (why instanceof Promise) void why.then((mapped) => this.#tellFailed(pool, mapped))
    else this.#tellFailed(pool, why)
  }

  #tellFailed(pool: VersionPool, why: InvocationFailure): void {
    this.#options.logger.warn({ function: pool.fn.key, version: pool.version.version, why }, 'a sandbox did not start')
    this.#events.failed(pool, why)
    this.want(pool)
  }

  #backOff(pool: VersionPool): void {
    const delayMs = Math.min(FIRST_BACKOFF_MS * 2 ** pool.launchFailures++, LONGEST_BACKOFF_MS)
    pool.notBeforeMs = this.#options.clock.monotonicMs() + delayMs
  }
}
