// What time does to the pool: freezes after the grace, scale to zero after the keep-alive, calls that waited too long,
// kills that fall due. Runs when the one shared timer says so; decides by the pure policies.
import { messageOf } from '../failures.ts'
import { expiredCount, expiresAtMs } from './keep-alive.ts'
import { CACHE_REST_MS, type Pool, SCALING_INTERVAL_MS } from './pool.ts'
import type { Slot } from './slot.ts'
import type { VersionPool } from './version-pool.ts'

/** A freeze that failed is tried again after this, doubling. */
const FREEZE_RETRY_MS = 1000
const LONGEST_FREEZE_RETRY_MS = 60_000
/** A sandbox that does not hand over its code cache in this time is frozen without. */
const CACHE_TIMEOUT_MS = 5000
/** While another sandbox's memory is being reclaimed, the next waits so long. */
const RECLAIM_TURN_MS = 100

/** A version that nobody calls is forgotten after so long, whatever is known of its calls. */
const LONGEST_MEMORY_MS = 24 * 3_600_000
/** Versions without a sandbox are looked through so often. */
const DORMANT_LOOK_MS = 60_000
/** A sandbox of a version that no alias names is kept so long after a call that named its number. */
const SUPERSEDED_KEEP_MS = 10_000

/** Does what is due and returns the next instant (monotonic ms) to look again; Infinity: nothing is pending. */
export function runUpkeep(pool: Pool, nowMs: number): number {
  let nextMs = pool.retention.look(pool, nowMs)
  for (const version of [...pool.supply.active]) {
    for (const slot of version.slots) nextMs = Math.min(nextMs, lookAtSlot(pool, slot, nowMs))
    nextMs = Math.min(nextMs, expire(pool, version, nowMs))
    if (version.waitingCalls > 0 || version.probes.size > 0) {
      refuseTheOld(pool, version, nowMs)
      pool.supply.want(version)
      nextMs = Math.min(nextMs, nowMs + SCALING_INTERVAL_MS)
    }
    if (isForgettable(pool, version, nowMs)) pool.detach(version)
    else if (!version.isActive) pool.supply.active.delete(version)
  }
  pool.supply.schedule()
  return Math.min(nextMs, lookAtDormant(pool, nowMs))
}

/** Forgets the versions without a sandbox that were not called for long: all are looked at only now and then. */
function lookAtDormant(pool: Pool, nowMs: number): number {
  if (pool.versions.size === pool.active.size) return Number.POSITIVE_INFINITY
  if (nowMs < pool.dormantLookMs) return pool.dormantLookMs
  pool.dormantLookMs = nowMs + DORMANT_LOOK_MS
  for (const version of pool.versions.values()) {
    if (!pool.active.has(version) && isForgettable(pool, version, nowMs)) pool.detach(version)
  }
  return pool.versions.size === pool.active.size ? Number.POSITIVE_INFINITY : pool.dormantLookMs
}

/** Freezes an idle slot. Resolves to true when it is frozen; false when a call came first or the kernel did not confirm
 *  (it is then tried again later: a sandbox is never lost to a freeze). */
export async function freezeSlot(pool: Pool, slot: Slot): Promise<boolean> {
  const sandbox = slot.sandbox!
  slot.freezeAtMs = Number.POSITIVE_INFINITY
  if (slot.calls > 0 && slot.pool.cacheBytes > 0) {
    await takeCodeCache(pool, slot)
    // A call may have come meanwhile.
    if (slot.state !== 'idle' || slot.freezing || sandbox.state !== 'running') return false
  }
  slot.freezing = true
  slot.freezeAtMs = Number.POSITIVE_INFINITY
  try {
    const us = await sandbox.freeze()
    slot.freezing = false
    if (us === null || slot.state !== 'idle' || sandbox.state !== 'frozen') return false
    slot.freezeFailures = 0
    slot.move('frozen')
    slot.reclaimAtMs = pool.options.clock.monotonicMs() + pool.options.reclaimAfterMs
    pool.options.wakeAt(slot.reclaimAtMs)
    pool.supply.chargeFrozen(slot)
    pool.options.moved(slot)
    return true
  } catch (error) {
    slot.freezing = false
    if (slot.state !== 'idle' || sandbox.state === 'stopped') return false
    const delayMs = Math.min(FREEZE_RETRY_MS * 2 ** slot.freezeFailures++, LONGEST_FREEZE_RETRY_MS)
    slot.freezeAtMs = pool.options.clock.monotonicMs() + delayMs
    pool.options.wakeAt(slot.freezeAtMs)
    pool.options.logger.warn({ sandbox: sandbox.id, error: messageOf(error) }, 'a sandbox did not freeze')
    return false
  }
}

/** Keeps V8's code cache for later sandboxes of the version, once one has run a call and rests: more is compiled then than
 *  after the load, and nobody waits. */
async function takeCodeCache(pool: Pool, slot: Slot): Promise<void> {
  const { version, cacheBytes } = slot.pool
  slot.pool.cacheBytes = 0
  try {
    const cache = await slot.sandbox!.codeCache(cacheBytes, CACHE_TIMEOUT_MS)
    if (cache !== null && !slot.pool.retired) pool.options.caches.put(version, cache)
  } catch (error) {
    pool.options.logger.debug({ sandbox: slot.sandbox!.id, error: messageOf(error) }, 'no code cache')
  }
}

/** Has what a long-idle sandbox holds taken back, and charges it with what is left; one at a time, for it is work for the host. */
async function reclaimSlot(pool: Pool, slot: Slot): Promise<void> {
  slot.reclaimAtMs = Number.POSITIVE_INFINITY
  pool.reclaiming = true
  try {
    const reclaimed = await slot.sandbox!.reclaim()
    if (reclaimed === null || slot.state !== 'frozen') return
    pool.supply.chargeFrozen(slot)
    pool.options.logger.debug({ sandbox: slot.sandbox!.id, ...reclaimed }, 'reclaimed the memory of a frozen sandbox')
  } catch (error) {
    pool.options.logger.warn({ sandbox: slot.sandbox!.id, error: messageOf(error) }, 'memory was not reclaimed')
  } finally {
    pool.reclaiming = false
  }
}

function lookAtSlot(pool: Pool, slot: Slot, nowMs: number): number {
  if (slot.killAtMs <= nowMs) {
    slot.killAtMs = Number.POSITIVE_INFINITY
    slot.sandbox?.kill({ code: 'KILLED', message: 'killed by the platform: its calls did not end in time' })
  }
  if (slot.state === 'idle' && slot.freezeAtMs <= nowMs && !slot.freezing) void freezeSlot(pool, slot)
  const cacheAtMs = cacheDueAtMs(slot)
  if (cacheAtMs <= nowMs) void takeCodeCache(pool, slot)
  if (slot.state === 'frozen' && slot.reclaimAtMs <= nowMs) {
    if (pool.reclaiming) slot.reclaimAtMs = nowMs + RECLAIM_TURN_MS
    else void reclaimSlot(pool, slot)
  }
  // A freeze that a call overtook has not reported back yet.
  const freezeAtMs = slot.freezing ? Math.max(slot.freezeAtMs, nowMs + 5) : slot.freezeAtMs
  return Math.min(slot.killAtMs, freezeAtMs, slot.reclaimAtMs, cacheAtMs <= nowMs ? Infinity : cacheAtMs)
}

/** When a sandbox that is not to be frozen soon hands over its code cache; before a freeze it does so anyway. */
function cacheDueAtMs(slot: Slot): number {
  if (slot.state !== 'idle' || slot.freezing || slot.calls === 0 || slot.pool.cacheBytes === 0) return Infinity
  return slot.freezeAtMs < slot.idleSinceMs + 2 * CACHE_REST_MS ? Infinity : slot.idleSinceMs + CACHE_REST_MS
}

/** Gives up sandboxes past the keep-alive, those at the bottom of the stack first. */
function expire(pool: Pool, version: VersionPool, nowMs: number): number {
  const resting = version.available.filter((slot) => slot.resting)
  if (resting.length === 0) return Number.POSITIVE_INFINITY
  // The last sandbox of a version whose calls are known goes when the policy says so.
  const minWarm = Math.max(version.minWarm, pool.retention.decidesOn(version) ? 1 : 0)
  const keepAliveMs = keptMs(version, version.config.keepAliveMs)
  const idleSinceMs = resting.map((slot) => slot.idleSinceMs)
  const count = expiredCount({ idleSinceMs, total: version.slots.size, minWarm, keepAliveMs, nowMs })
  resting.sort((a, b) => a.idleSinceMs - b.idleSinceMs)
  for (const slot of resting.slice(0, count)) void pool.supply.discard(slot)
  const oldest = resting[count]
  if (oldest === undefined || version.slots.size <= minWarm) return Number.POSITIVE_INFINITY
  return expiresAtMs(oldest.idleSinceMs, keepAliveMs)
}

/** `ownMs` for a version that callers get; the others go sooner. */
function keptMs(version: VersionPool, ownMs: number | null): number | null {
  if (version.retired) return 0
  return version.superseded ? Math.min(ownMs ?? SUPERSEDED_KEEP_MS, SUPERSEDED_KEEP_MS) : ownMs
}

function refuseTheOld(pool: Pool, version: VersionPool, nowMs: number): void {
  const { maxWaitMs } = pool.options.queue
  const launchedAtMs = oldestLaunchMs(version)
  for (let call = version.oldestWaiter; call !== null; call = version.oldestWaiter) {
    const dueMs = call.arrivedAtMs + maxWaitMs
    // A launch that was under way by then may be its own, and has bounds of its own; one that came later is no reason to go on.
    if (nowMs < dueMs || launchedAtMs < dueMs) return
    pool.leave(call)
    const waited = `waited ${Math.round(maxWaitMs / 1000)} s for a sandbox`
    call.refuse(pool.waitedInVain(version, waited))
  }
  for (const probe of version.probes) {
    if (nowMs < probe.sinceMs + maxWaitMs || launchedAtMs < probe.sinceMs + maxWaitMs) continue
    version.probes.delete(probe)
    probe.failed(pool.hostFull('no room for another sandbox'))
  }
}

/** When the oldest launch that is under way began; Infinity: there is none. */
function oldestLaunchMs(version: VersionPool): number {
  let oldestMs = Number.POSITIVE_INFINITY
  if (version.starting === 0) return oldestMs
  for (const slot of version.slots) if (slot.isStarting) oldestMs = Math.min(oldestMs, slot.launchedAtMs)
  return oldestMs
}

function isForgettable(pool: Pool, version: VersionPool, nowMs: number): boolean {
  const unused = version.slots.size === 0 && version.waitingCalls + version.probes.size + version.minWarm === 0
  // One whose calls are known may have a sandbox made ahead of the next.
  const keepAliveMs = pool.retention.decidesOn(version) ? LONGEST_MEMORY_MS : version.config.keepAliveMs
  return unused && expiresAtMs(version.lastUsedMs, keptMs(version, keepAliveMs)) <= nowMs
}
