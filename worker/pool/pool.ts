// The warm pool of one host: who gets which slot, and who waits. Starting and evicting is supply.ts, upkeep over time
// pool-upkeep.ts. Knows calls only as PoolCall; the path of a call that finds an idle slot is synchronous.
import type { LimitOutcome } from '../../runtime/api.ts'
import type { FunctionVersion, InvocationFailure, StartKind } from '../api.ts'
import { failure, messageOf } from '../failures.ts'
import type { NamespaceRoom } from './namespace-room.ts'
import { atQuotaText, whyNeverFits } from './quota-refusals.ts'
import { Retention } from './retention.ts'
import type { Slot } from './slot.ts'
import { Supply, type SupplyOptions } from './supply.ts'
import { FunctionPool, type LoadProbe, type PoolCall, VersionPool, versionKey } from './version-pool.ts'

export interface QueueBounds {
  readonly perFunction: number
  readonly perHost: number
  readonly maxWaitMs: number
}

export interface PoolOptions extends SupplyOptions {
  readonly queue: QueueBounds
  /** A sandbox frozen for so long has its memory reclaimed, in the background. */
  readonly reclaimAfterMs: number
  /** Whether an alias names the version; default: one does. */
  readonly isPointedAt?: (version: FunctionVersion) => boolean
}

/** How often waiting calls have the scaling looked at again. */
export const SCALING_INTERVAL_MS = 50
/** A sandbox whose freeze is further off hands over its code cache when it has rested so long. */
export const CACHE_REST_MS = 500
/** A call with limits of its own tries so many used slots before it asks for a fresh one. */
const LIMIT_TRIES = 4

export class Pool {
  readonly options: PoolOptions
  readonly supply: Supply
  readonly retention: Retention
  readonly versions = new Map<string, VersionPool>()
  readonly functions = new Map<string, FunctionPool>()
  readonly #known = new WeakMap<FunctionVersion, VersionPool>()
  /** The memory of some frozen sandbox is being reclaimed. */
  reclaiming = false
  /** When the versions without a sandbox are looked through again. */
  dormantLookMs = Number.NEGATIVE_INFINITY
  readonly #waitingFunctions = new Set<FunctionPool>()
  #waiting = 0
  /** Namespaces with calls that wait. */
  #waitingSpaces = 0

  constructor(options: PoolOptions) {
    this.options = options
    this.retention = new Retention(options.clock)
    this.supply = new Supply(options, {
      loaded: (slot) => this.#loaded(slot),
      failed: (pool, why) => this.#launchFailed(pool, why),
      roomFreed: (pool) => this.serve(pool.fn),
    })
  }

  get waiting(): number {
    return this.#waiting
  }

  /** The versions with sandboxes, or with calls that wait for one. */
  get active(): ReadonlySet<VersionPool> {
    return this.supply.active
  }

  /** The version's pool, made when there is none. */
  of(version: FunctionVersion): VersionPool {
    const known = this.#known.get(version)
    if (known !== undefined && !known.detached) return known
    const key = versionKey(version)
    let pool = this.versions.get(key)
    if (pool === undefined) {
      const fnKey = `${version.namespace}/${version.name}`
      const fn = this.functions.get(fnKey) ?? this.#addFunction(fnKey, version.namespace)
      pool = new VersionPool(key, version, fn)
      pool.superseded = this.options.isPointedAt?.(version) === false
      fn.versions.add(pool)
      if (!pool.superseded) fn.newest = pool
      this.versions.set(key, pool)
    }
    this.#known.set(version, pool)
    return pool
  }

  /** Gives the call a slot at once, or lets it wait, or refuses it. */
  acquire(call: PoolCall): void {
    const { pool } = call
    const { fn } = pool
    if (pool.waiters.size === 0 && fn.running < pool.config.concurrency && this.#serveFromStack(call)) return
    const { queue } = this.options
    if (fn.waiting >= queue.perFunction) call.refuse(this.busy(pool, `${fn.waiting} calls of ${fn.key} wait already`))
    else if (this.#waiting >= queue.perHost && fn.space.waiting >= this.#queueShare(fn.space))
      call.refuse(this.hostFull(`${this.#waiting} calls wait on this host already`))
    else this.enqueue(call)
  }

  /** Lets the call wait, whatever the bounds say. */
  enqueue(call: PoolCall): void {
    const { pool } = call
    const { fn } = pool
    const never = whyNeverFits(pool, this.supply.room, this.options.quotas)
    if (never !== null) {
      call.refuse(never)
      return
    }
    const nowMs = this.options.clock.monotonicMs()
    call.waiting = true
    ;(call.needsFresh ? pool.freshWaiters : pool.waiters).add(call)
    if (fn.waiting++ === 0) {
      this.#waitingFunctions.add(fn)
      if (fn.running === 0) fn.progressAtMs = nowMs
    }
    this.#waiting++
    if (fn.space.waiting++ === 0) this.#waitingSpaces++
    this.supply.want(pool)
    this.supply.schedule()
    this.options.wakeAt(nowMs + SCALING_INTERVAL_MS)
  }

  /** Tells the probe when a sandbox of the version has loaded, or why none could be had. */
  probe(pool: VersionPool, probe: LoadProbe): void {
    const never = whyNeverFits(pool, this.supply.room, this.options.quotas)
    if (never !== null) {
      probe.failed(never)
      return
    }
    pool.probes.add(probe)
    this.supply.want(pool)
    this.supply.schedule()
    this.options.wakeAt(this.options.clock.monotonicMs() + SCALING_INTERVAL_MS)
  }

  /** Takes a waiting call out of the queue; what is being started for it is kept for others. */
  leave(call: PoolCall): void {
    if (!call.waiting) return
    call.waiting = false
    if (!call.pool.waiters.delete(call)) call.pool.freshWaiters.delete(call)
    if (--call.pool.fn.waiting === 0) this.#waitingFunctions.delete(call.pool.fn)
    this.#waiting--
    if (--call.pool.fn.space.waiting === 0) this.#waitingSpaces--
  }

  /** The call's place in the slot is free again; `reusable` false: the sandbox is stopped, stopping or spoilt. */
  release(slot: Slot, reusable: boolean): void {
    const { pool } = slot
    const { fn } = pool
    const nowMs = this.options.clock.monotonicMs()
    fn.running--
    this.supply.running--
    slot.inFlight--
    pool.lastUsedMs = nowMs
    const spent = !reusable || pool.config.isolation === 'call'
    if (spent || slot.condemned || pool.retired || slot.sandbox!.state === 'stopped') {
      if (slot.inFlight === 0) void this.supply.discard(slot)
      else this.condemn(slot, slot.killAtMs)
      this.supply.want(pool)
    } else {
      pool.launchFailures = 0
      if (slot.inFlight === 0) {
        slot.move('idle')
        this.#rest(slot, nowMs)
      }
      if (slot.inFlight === pool.config.sandboxConcurrency - 1) pool.available.push(slot)
      if (this.supply.wanted && slot.resting && this.supply.yields(slot)) void this.supply.discard(slot)
    }
    if (fn.waiting > 0) this.serve(fn)
    if (this.supply.wanted) this.supply.schedule()
  }

  /** Takes no new call; gone when its calls have ended, killed at `killAtMs` if they have not by then. */
  condemn(slot: Slot, killAtMs: number): void {
    slot.condemned = true
    slot.pool.dropAvailable(slot)
    slot.killAtMs = Math.min(slot.killAtMs, killAtMs)
    this.options.wakeAt(slot.killAtMs)
    if (slot.resting) void this.supply.discard(slot)
  }

  /** A frozen slot runs again, with its grace; false: the host has no memory for it. */
  thaw(slot: Slot): boolean {
    if (!this.supply.charge(slot, slot.pool.config.limits.memory)) return false
    slot.sandbox!.thaw()
    slot.reclaimAtMs = Number.POSITIVE_INFINITY
    slot.move('idle')
    this.#rest(slot, this.options.clock.monotonicMs())
    this.options.moved(slot)
    return true
  }

  /** Starts a sandbox of the version although nobody waits for it, unless one is on its way. */
  replace(pool: VersionPool): void {
    this.probe(pool, { sinceMs: this.options.clock.monotonicMs(), loaded: ignore, failed: ignore })
  }

  /** Serves waiting calls of the function from free slots, the oldest of each version first. */
  serve(fn: FunctionPool): void {
    for (const pool of fn.versions) {
      for (const waiters of [pool.freshWaiters, pool.waiters]) {
        for (const call of waiters) {
          if (fn.running >= pool.config.concurrency || pool.available.length === 0) break
          // One whose limits no used slot can meet must not hold up those behind it.
          if (!this.#serveFromStack(call) && !call.needsFresh) break
        }
      }
    }
  }

  /** Refuses all waiting calls, of one version or of all. */
  refuseWaiting(why: InvocationFailure, only: VersionPool | null = null): void {
    for (const pool of only === null ? this.active : [only]) {
      for (const call of [...pool.freshWaiters, ...pool.waiters]) {
        this.leave(call)
        call.refuse(why)
      }
      for (const probe of takeAll(pool.probes)) probe.failed(why)
    }
  }

  /** Forgets a version without slots and calls. */
  detach(pool: VersionPool): void {
    pool.detached = true
    this.supply.active.delete(pool)
    this.versions.delete(pool.key)
    pool.fn.versions.delete(pool)
    if (pool.fn.newest === pool) pool.fn.newest = null
    if (pool.fn.versions.size > 0) return
    this.functions.delete(pool.fn.key)
    pool.fn.space.functions--
    this.supply.spaces.drop(pool.fn.space)
  }

  /** The function's own bound is reached. */
  busy(pool: VersionPool, message: string): InvocationFailure {
    const nowMs = this.options.clock.monotonicMs()
    return failure('FUNCTION_BUSY', message, { retryAfterS: pool.fn.drain.retryAfterS(pool.fn.waiting, nowMs) })
  }

  /** It waited as long as it may. `waited`: for what. */
  waitedInVain(pool: VersionPool, waited: string): InvocationFailure {
    if (!pool.starved) return this.busy(pool, `${waited}: all are busy`)
    if (!pool.atQuota) return this.hostFull(`${waited}: the host is full`)
    return this.busy(pool, `${waited}: ${atQuotaText(pool, this.options.quotas)}`)
  }

  /** The host's bound is reached; it drains as fast as its functions together. */
  hostFull(message: string): InvocationFailure {
    const nowMs = this.options.clock.monotonicMs()
    let retryAfterS = 1
    for (const fn of this.#waitingFunctions)
      retryAfterS = Math.max(retryAfterS, fn.drain.retryAfterS(fn.waiting, nowMs))
    return failure('HOST_FULL', message, { retryAfterS })
  }

  #addFunction(key: string, namespace: string): FunctionPool {
    const fn = new FunctionPool(key, this.supply.spaces.of(namespace))
    fn.space.functions++
    this.functions.set(key, fn)
    return fn
  }

  /** Calls of the namespace that may wait though the host's queue is full: one does not fill it for all. */
  #queueShare({ waiting }: NamespaceRoom): number {
    const spaces = this.#waitingSpaces + (waiting === 0 ? 1 : 0)
    return spaces === 1 ? 0 : Math.floor(this.options.queue.perHost / spaces)
  }

  /** True when the call was taken care of: it got a slot, or was refused for good. */
  #serveFromStack(call: PoolCall): boolean {
    const { pool } = call
    let tries = LIMIT_TRIES
    for (let index = pool.available.length - 1; index >= 0 && tries > 0; index--) {
      const slot = pool.available[index]!
      if (slot.sandbox!.state === 'stopped') {
        this.supply.died(slot)
        continue
      }
      if (call.needsFresh && slot.calls > 0) continue
      if (slot.limits !== call.limits) {
        const outcome = this.#applyLimits(slot, call)
        if (outcome !== null && !outcome.applied && slot.calls === 0) {
          this.leave(call)
          call.refuse(belowUse(outcome))
          return true
        }
        if (outcome === null || !outcome.applied) {
          tries--
          continue
        }
      }
      if (!this.supply.charge(slot, Math.max(call.limits.memory, pool.config.limits.memory))) {
        pool.starved = true
        return false
      }
      this.#grant(slot, call, index)
      return true
    }
    // Every slot it tried uses more than it asks for, so it waits for one without a past.
    if (tries < LIMIT_TRIES && !call.needsFresh) this.#markFresh(call)
    return false
  }

  /** null: the kernel refused the write; the slot is given up. */
  #applyLimits(slot: Slot, call: PoolCall): LimitOutcome | null {
    try {
      const outcome = slot.sandbox!.applyLimits(call.limits)
      slot.limits = outcome.applied ? call.limits : null
      return outcome
    } catch (error) {
      this.options.logger.warn({ sandbox: slot.sandbox!.id, error: messageOf(error) }, 'limits could not be written')
      this.condemn(slot, slot.killAtMs)
      return null
    }
  }

  #markFresh(call: PoolCall): void {
    call.needsFresh = true
    if (call.waiting && call.pool.waiters.delete(call)) call.pool.freshWaiters.add(call)
  }

  #grant(slot: Slot, call: PoolCall, index: number): void {
    const { pool } = slot
    const started = call.waiting && slot.calls === 0 && slot.loadedAtMs >= call.arrivedAtMs
    const kind: StartKind = started ? slot.origin : slot.state === 'frozen' || slot.freezing ? 'thawed' : 'warm'
    if (call.waiting) this.leave(call)
    if (++slot.inFlight >= pool.config.sandboxConcurrency) pool.available.splice(index, 1)
    slot.freezeAtMs = Number.POSITIVE_INFINITY
    slot.reclaimAtMs = Number.POSITIVE_INFINITY
    slot.move('busy')
    pool.fn.running++
    this.supply.running++
    const nowMs = this.options.clock.monotonicMs()
    pool.fn.progressAtMs = nowMs
    if (slot.calls > 0) this.supply.served(pool.fn, nowMs)
    call.run(slot, kind)
  }

  /** Its grace runs from now. */
  #rest(slot: Slot, nowMs: number): void {
    const { pool } = slot
    slot.idleSinceMs = nowMs
    slot.idleSinceWallMs = this.options.clock.now()
    slot.agedFrom = this.supply.evictionClock
    slot.freezeAtMs = nowMs + pool.fn.arrivals.graceMs(pool.config.freezeGraceMs)
    this.options.wakeAt(pool.cacheBytes > 0 ? Math.min(slot.freezeAtMs, nowMs + CACHE_REST_MS) : slot.freezeAtMs)
  }

  #loaded(slot: Slot): void {
    slot.loaded()
    this.#rest(slot, slot.loadedAtMs)
    slot.pool.available.push(slot)
    for (const probe of takeAll(slot.pool.probes)) probe.loaded()
    this.serve(slot.pool.fn)
    if ((slot.pool.retired || slot.condemned) && slot.resting) void this.supply.discard(slot)
  }

  /** Fails those it was started for: all that wait, when no other sandbox of the version lives or is on its way. */
  #launchFailed(pool: VersionPool, why: InvocationFailure): void {
    for (const probe of takeAll(pool.probes)) probe.failed(why)
    const share = pool.slots.size === 0 ? Number.POSITIVE_INFINITY : pool.config.sandboxConcurrency
    for (const call of [...pool.freshWaiters, ...pool.waiters].slice(0, share)) {
      this.leave(call)
      call.refuse(why)
    }
  }
}

function ignore(): void {}

function takeAll<T>(set: Set<T>): T[] {
  const all = [...set]
  set.clear()
  return all
}

function belowUse(outcome: Extract<LimitOutcome, { applied: false }>): InvocationFailure {
  const { limit, asked, inUse } = outcome
  return failure('LIMIT_BELOW_USE', `${limit}: ${asked} is below what even a fresh sandbox uses (${inUse})`, {
    data: { limit, asked, inUse },
  })
}
