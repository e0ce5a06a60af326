// Stems: booted, frozen sandboxes without a function, kept so that a call need not wait for a creation. Makes, hands out and
// destroys them; which and how many is stem-policy.ts. A stem that was handed out is forgotten here: it belongs to its
// function until it is destroyed, and never comes back.
import { type Clock, DEFAULT_LIMITS, type Logger, type Runtime, type Sandbox } from '../../runtime/api.ts'
import type { SandboxInfo } from '../api.ts'
import { messageOf } from '../failures.ts'
import type { HostRoom } from './host-room.ts'
import { BURST_MS, DEFAULT_KIND, nextKind, type StemKind, stemFits, stemTarget } from './stem-policy.ts'

export interface StemsOptions {
  readonly runtime: Runtime
  readonly clock: Clock
  readonly logger: Logger
  /** Stems of a kind kept ready; 0: none at all. */
  readonly stems: number
  /** Asks for another look no later than this instant. */
  readonly wakeAt: (atMs: number) => void
  /** Room was freed: somebody may wait for it. */
  readonly freed: () => void
}

interface Stem {
  readonly kind: StemKind
  readonly sandbox: Sandbox
  chargedBytes: number
}

/** What is known of one kind. */
class Demand {
  readonly kind: StemKind
  readonly isDefault: boolean
  /** Instants of the last starts, oldest first. */
  readonly starts: number[] = []
  askedAtMs = Number.NEGATIVE_INFINITY

  constructor(kind: StemKind) {
    this.kind = kind
    this.isDefault = kind.key === DEFAULT_KIND.key
  }
}

/** A stem is made only when no sandbox was started or loaded for so long: the call that came with it has the cores first. */
const QUIET_MS = 100
/** And then only while a core is free of calls, or when none was for so long: calls that wait for something else must not keep
 *  stems away, nor must starts that go on meanwhile. */
const BUSY_MS = 2000
/** CPU weight of a stem that boots: an eighth of a function's. */
const BOOT_CPU_SHARES = DEFAULT_LIMITS.cpuShares / 8
/** What a boot is charged with until it is known what it holds; it takes some 40 MB at most. */
const BOOT_BYTES = 64 * 1024 ** 2
const PREPARE_TIMEOUT_MS = 20_000
const FIRST_BACKOFF_MS = 1000
const LONGEST_BACKOFF_MS = 60_000
const STARTS_KEPT = 100

export class Stems {
  readonly #options: StemsOptions
  readonly #room: HostRoom
  readonly #demands = new Map<string, Demand>()
  readonly #ready = new Set<Stem>()
  readonly #pending = new Set<Promise<void>>()
  #making = false
  #failures = 0
  #notBeforeMs = Number.NEGATIVE_INFINITY
  /** Since when a stem that is missing is not made because calls take all cores; null: none is held back. */
  #heldSinceMs: number | null = null
  #closed = false

  constructor(options: StemsOptions, room: HostRoom) {
    this.#options = options
    this.#room = room
    this.#demands.set(DEFAULT_KIND.key, new Demand(DEFAULT_KIND))
  }

  /** Stems kept ready of a kind; 0: they are off. */
  get setting(): number {
    return this.#options.stems
  }

  get size(): number {
    return this.#ready.size
  }

  /** True when a stem of the kind could be taken now. */
  has(kind: StemKind): boolean {
    for (const stem of this.#ready) if (isUsable(stem, kind)) return true
    return false
  }

  /** A frozen stem of the kind, the caller's from now on with all that is in it; null: there is none. Its room is free
   *  again: the caller has taken its own. Either way the kind is wanted. */
  take(kind: StemKind): Sandbox | null {
    if (this.#options.stems === 0) return null
    const nowMs = this.#options.clock.monotonicMs()
    this.#asked(kind, nowMs)
    for (const stem of this.#ready) {
      if (!isUsable(stem, kind)) continue
      this.#ready.delete(stem)
      this.#room.leaving(stem.chargedBytes)
      this.#room.left(stem.chargedBytes)
      return stem.sandbox
    }
    return null
  }

  /** Somebody starts or loads a sandbox: no stem is made for a while. */
  notQuiet(): void {
    if (this.#options.stems === 0) return
    this.#notBeforeMs = Math.max(this.#notBeforeMs, this.#options.clock.monotonicMs() + QUIET_MS)
  }

  /** Makes the next stem that is missing, or gives up one too many. To be called only while nobody waits for a sandbox.
   *  `coresTaken`: as many calls run as there are cores. */
  refill(coresTaken: boolean): void {
    if (this.#closed || this.#options.stems === 0) return
    const nowMs = this.#options.clock.monotonicMs()
    const demands = [...this.#demands.values()].map((demand) => this.#view(demand, nowMs))
    for (const demand of demands) {
      if (demand.ready <= stemTarget(demand, this.#options.stems)) continue
      for (const stem of this.#ready) {
        if (stem.kind.key !== demand.kind.key) continue
        this.#discard(stem)
        break
      }
    }
    if (this.#making) return
    const next = nextKind(demands, this.#options.stems)
    if (next === null || !coresTaken) this.#heldSinceMs = null
    else this.#heldSinceMs ??= nowMs
    if (next === null) return
    const atLastMs = this.#heldSinceMs === null ? nowMs : this.#heldSinceMs + BUSY_MS
    if (nowMs < this.#notBeforeMs) this.#options.wakeAt(this.#notBeforeMs)
    else if (nowMs < atLastMs) this.#options.wakeAt(Math.min(nowMs + QUIET_MS, atLastMs))
    else this.#make(next.kind)
  }

  /** Gives stems up until `bytes` and `count` places are, or soon will be, free; what is still missing afterwards. */
  evict(need: { readonly bytes: number; readonly count: number }): { readonly bytes: number; readonly count: number } {
    let { bytes, count } = need
    for (const stem of this.#ready) {
      if (bytes <= 0 && count <= 0) break
      bytes -= stem.chargedBytes
      count--
      this.#discard(stem)
    }
    return { bytes: Math.max(0, bytes), count: Math.max(0, count) }
  }

  /** Kills a stem; false: there is no such. */
  kill(sandboxId: string, message: string): boolean {
    const stem = this.#find(sandboxId)
    stem?.sandbox.kill({ code: 'KILLED', message })
    return stem !== null
  }

  /** One stem as the outside sees it; null: there is no such. */
  info(sandboxId: string): SandboxInfo | null {
    const stem = this.#find(sandboxId)
    return stem === null ? null : stemInfo(stem)
  }

  list(): SandboxInfo[] {
    return [...this.#ready].map(stemInfo)
  }

  /** Makes no more; those there are stay. */
  stop(): void {
    this.#closed = true
  }

  /** Destroys all, those being made included. */
  async close(): Promise<void> {
    this.#closed = true
    for (const stem of this.#ready) this.#discard(stem)
    while (this.#pending.size > 0) await Promise.all(this.#pending)
  }

  #find(sandboxId: string): Stem | null {
    for (const stem of this.#ready) if (stem.sandbox.id === sandboxId) return stem
    return null
  }

  #asked(kind: StemKind, nowMs: number): void {
    const demand = this.#demands.get(kind.key) ?? new Demand(kind)
    this.#demands.set(kind.key, demand)
    demand.askedAtMs = nowMs
    demand.starts.push(nowMs)
    if (demand.starts.length > STARTS_KEPT) demand.starts.shift()
  }

  #view(demand: Demand, nowMs: number) {
    let ready = 0
    for (const stem of this.#ready) if (stem.kind.key === demand.kind.key) ready++
    while (demand.starts.length > 0 && demand.starts[0]! < nowMs - BURST_MS) demand.starts.shift()
    const { kind, isDefault, starts } = demand
    return { kind, isDefault, ready, recentStarts: starts.length, sinceAskedMs: nowMs - demand.askedAtMs }
  }

  #make(kind: StemKind): void {
    const room = this.#room
    const { memoryBytes, freeBytes, freePlaces } = room
    let stemBytes = 0
    for (const stem of this.#ready) stemBytes += stem.chargedBytes
    const bootBytes = Math.min(kind.memoryBytes, BOOT_BYTES)
    if (!stemFits(kind.memoryBytes, bootBytes, { memoryBytes, freeBytes, freePlaces, stemBytes })) return
    if (!room.takeSandbox(bootBytes)) return
    this.#making = true
    this.#track(this.#create(kind, bootBytes))
  }

  async #create(kind: StemKind, chargedBytes: number): Promise<void> {
    const { runtime, logger, clock, wakeAt } = this.#options
    let sandbox: Sandbox | null = null
    try {
      sandbox = await runtime.create(specOf(kind))
      await sandbox.prepared(PREPARE_TIMEOUT_MS)
      if ((await sandbox.freeze()) === null) throw new Error('it did not stay frozen')
      this.#failures = 0
      this.#keep({ kind, sandbox, chargedBytes })
    } catch (error) {
      const delayMs = Math.min(FIRST_BACKOFF_MS * 2 ** this.#failures++, LONGEST_BACKOFF_MS)
      this.#notBeforeMs = clock.monotonicMs() + delayMs
      if (!this.#closed) logger.warn({ kind: kind.key, error: messageOf(error) }, 'a stem was not made')
      await sandbox?.destroy().catch(() => undefined)
      this.#room.leaving(chargedBytes)
      this.#room.left(chargedBytes)
    }
    this.#making = false
    wakeAt(Math.max(this.#notBeforeMs, clock.monotonicMs()))
  }

  #keep(stem: Stem): void {
    const bytes = Math.min(stem.chargedBytes, stem.sandbox.memoryBytes())
    this.#room.charge(bytes - stem.chargedBytes)
    stem.chargedBytes = bytes
    this.#ready.add(stem)
    // One that was handed out is its function's to mourn.
    void stem.sandbox.stopped.then(() => {
      if (this.#ready.has(stem)) this.#discard(stem)
    })
    if (this.#closed) this.#discard(stem)
  }

  #discard(stem: Stem): void {
    this.#ready.delete(stem)
    this.#room.leaving(stem.chargedBytes)
    this.#track(this.#destroy(stem))
  }

  async #destroy({ sandbox, chargedBytes }: Stem): Promise<void> {
    try {
      await sandbox.destroy()
    } catch (error) {
      this.#options.logger.error({ sandbox: sandbox.id, error: messageOf(error) }, 'a stem could not be destroyed')
    }
    this.#room.left(chargedBytes)
    this.#options.freed()
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#pending.delete(tracked))
    this.#pending.add(tracked)
  }
}

function isUsable(stem: Stem, kind: StemKind): boolean {
  return stem.kind.key === kind.key && stem.sandbox.state === 'frozen'
}

function specOf(kind: StemKind) {
  const { memoryBytes, network } = kind
  // Everything here but what the kind says is written again when a function takes it.
  const limits = { ...DEFAULT_LIMITS, memory: memoryBytes, memorySwap: 2 * memoryBytes, cpuShares: BOOT_CPU_SHARES }
  return { layers: [], limits, network, writableRootBytes: null }
}

function stemInfo({ sandbox }: Stem): SandboxInfo {
  const isStopped = sandbox.state === 'stopped'
  const createdAt = new Date(sandbox.createdAtMs).toISOString()
  return {
    id: sandbox.id,
    namespace: '',
    function: '',
    version: 0,
    state: 'stem',
    pid: sandbox.pid,
    memoryBytes: isStopped ? 0 : sandbox.memoryBytes(),
    cpuUs: isStopped ? 0 : sandbox.cpuUs(),
    calls: 0,
    inFlight: 0,
    createdAt,
    idleSince: createdAt,
  }
}
