// One place in a warm pool, holding one sandbox: its state and figures. Decides nothing; pool.ts does.
import type { Limits, Metering, Sandbox, Usage } from '../../runtime/api.ts'
import type { SandboxInfo, SlotState } from '../api.ts'
import type { CallTime } from './cpu-share.ts'
import { move } from './slot-state.ts'
import type { VersionPool } from './version-pool.ts'

/** A look at the wait for a core no more often than this. */
const LOOK_MS = 50

const NOTHING_MORE: Usage = Object.freeze({
  ...{ cpuUserUs: 0, cpuSystemUs: 0, throttledUs: 0, oomKills: 0, pageFaults: 0 },
  ...{ ioReadBytes: 0, ioWriteBytes: 0, ioReadOps: 0, ioWriteOps: 0 },
})

/** Instants are monotonic ms unless their name says wall. */
export class Slot {
  readonly pool: VersionPool
  /** Null while it is being created. */
  sandbox: Sandbox | null = null
  state: SlotState = 'starting'
  /** What its sandbox was made from: created for it, or a stem. */
  origin: 'cold' | 'stem' = 'cold'
  /** Calls in it now, and ever. */
  inFlight = 0
  calls = 0
  /** Id of the invocation that was put in last. */
  lastInvocation: string | null = null
  /** What the kernel enforces now; null after a change that failed half-way. */
  limits: Limits | null
  /** What the host is charged for it. */
  chargedBytes: number
  /** Of that, what its namespace is: the memory limit, or what it holds while frozen. */
  reservedBytes: number
  readonly launchedAtMs: number
  createdAtMs = 0
  loadedAtMs = 0
  idleSinceMs = 0
  idleSinceWallMs = 0
  /** When to freeze it; Infinity while it is busy or frozen. */
  freezeAtMs = Number.POSITIVE_INFINITY
  /** When to reclaim the memory of a frozen one; Infinity: not, or done. */
  reclaimAtMs = Number.POSITIVE_INFINITY
  freezing = false
  freezeFailures = 0
  /** Takes no new call and goes when its calls have ended. */
  condemned = false
  /** When to kill it whatever runs in it; Infinity: not at all. */
  killAtMs = Number.POSITIVE_INFINITY
  /** The eviction clock when it last ran a call. */
  agedFrom = 0

  /** In this turn of the event loop, nothing since: its counters were read at the end of a call. */
  justMetered = false
  /** The last reading of calls that overlap, and its instant. */
  sharedMetering: Metering | null = null
  meteredAtMs = Number.NEGATIVE_INFINITY

  /** Since the last look at how long it waited for a core: what its calls took and used, and a quota held back, ms. */
  #tookMs = 0
  #cpuMs = 0
  #throttledMs = 0
  #coreWaitUs: number | null = null
  #computes = false
  #loadCpuUs = 0
  #lookedAtMs = Number.NEGATIVE_INFINITY

  constructor(pool: VersionPool, chargedBytes: number, nowMs: number) {
    this.pool = pool
    this.limits = pool.config.limits
    this.chargedBytes = chargedBytes
    this.reservedBytes = pool.config.limits.memory
    this.launchedAtMs = nowMs
  }

  /** Keeps a reading for the calls that end next. What it has told of once (kills, freezes, idle time, what nobody else has
   *  in its record) is not told again. */
  share(metering: Metering, nowMs: number): void {
    this.sharedMetering = { ...metering, oomKills: 0, freezeUs: 0, thawUs: 0, idleCpuUs: 0, unshared: NOTHING_MORE }
    this.meteredAtMs = nowMs
  }

  /** A call in it ended: its function learns. While calls wait, now and then also how long it waited for a core; that is a
   *  read of some 10 µs, and only scaling wants to know. */
  ended(nowMs: number, runMs: number, metering: Metering | null): void {
    const { fn, config } = this.pool
    fn.ended(nowMs, runMs)
    if (metering === null || !(runMs > 0)) return
    const cpuMs = (metering.cpuUserUs + metering.cpuSystemUs) / 1000
    fn.used(cpuMs)
    this.compute(fn.computes)
    this.#tookMs += runMs
    this.#cpuMs += cpuMs
    this.#throttledMs += metering.throttledUs / 1000
    const isDue = fn.waiting > 0 && nowMs - this.#lookedAtMs >= LOOK_MS
    if (!isDue && fn.cpu.fraction !== null) return
    const before = this.#coreWaitUs
    this.#look(nowMs)
    const alone = config.sandboxConcurrency === 1
    const waitedMs = alone && before !== null && this.#coreWaitUs !== null ? (this.#coreWaitUs - before) / 1000 : 0
    // What a quota held back is no wait for a core: another sandbox has a quota of its own.
    fn.cpu.learn({ tookMs: this.#tookMs, cpuMs: this.#cpuMs, waitedMs: waitedMs - this.#throttledMs })
    this.#tookMs = 0
    this.#cpuMs = 0
    this.#throttledMs = 0
  }

  /** To be told when the sandbox is loaded. */
  loaded(): void {
    this.#loadCpuUs = this.sandbox!.cpuUs()
    this.#look(this.loadedAtMs)
  }

  /** Whether what runs in it computes for long: so does every start until its first call has ended. Others go first then. */
  compute(computes: boolean): void {
    if (computes === this.#computes) return
    this.#computes = computes
    this.sandbox!.setComputing(computes)
  }

  /** Its wait for a core counts from now on. */
  #look(nowMs: number): void {
    this.#lookedAtMs = nowMs
    this.#coreWaitUs = this.sandbox!.coreWaitUs()
  }

  /** What has gone on in it since it was loaded, for a function none of whose calls has ended yet. */
  sinceLoad(nowMs: number): CallTime {
    const waitedUs = (this.sandbox!.coreWaitUs() ?? 0) - (this.#coreWaitUs ?? 0)
    const cpuMs = (this.sandbox!.cpuUs() - this.#loadCpuUs) / 1000
    return { tookMs: nowMs - this.loadedAtMs, cpuMs, waitedMs: waitedUs / 1000 }
  }

  /** Throws SlotStateError on an illegal move. */
  move(to: SlotState): void {
    this.state = move(this.state, to)
  }

  /** True when a call may be put in. */
  get open(): boolean {
    return (
      !this.condemned &&
      (this.state === 'idle' || this.state === 'frozen' || this.state === 'busy') &&
      this.inFlight < this.pool.config.sandboxConcurrency
    )
  }

  /** Not loaded yet. */
  get isStarting(): boolean {
    return this.state === 'starting' || this.state === 'stem' || this.state === 'loading'
  }

  /** The function has `leftovers: "kill"`, and something runs on after a call. */
  get hasLeftovers(): boolean {
    return this.pool.config.leftovers === 'kill' && this.sandbox!.otherProcesses() > 0
  }

  /** Idle or frozen: no call in it. */
  get resting(): boolean {
    return this.state === 'idle' || this.state === 'frozen'
  }
}

/** The slot as the outside sees it. Reads two kernel counters. The slot must have a sandbox. */
export function slotInfo(slot: Slot): SandboxInfo {
  const sandbox = slot.sandbox!
  const { version } = slot.pool
  const stopped = slot.state === 'gone'
  return {
    id: sandbox.id,
    namespace: version.namespace,
    function: version.name,
    version: version.version,
    state: slot.state,
    pid: sandbox.pid,
    memoryBytes: stopped ? 0 : sandbox.memoryBytes(),
    cpuUs: stopped ? 0 : sandbox.cpuUs(),
    calls: slot.calls,
    inFlight: slot.inFlight,
    createdAt: new Date(sandbox.createdAtMs).toISOString(),
    idleSince: slot.resting ? new Date(slot.idleSinceWallMs).toISOString() : null,
  }
}
