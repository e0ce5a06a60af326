// One sandbox's cgroup from attach to removal: puts the controllers, the freezer and the meter together.
// Policy (when to freeze, what limits a call gets) is not here.
import { join } from 'node:path'
import type { Clock, LimitOutcome, Metering, Reclaimed } from '../api.ts'
import type { Limits } from '../limits/limits.ts'
import type { SandboxCgroup } from './cgroup.ts'
import { type ControlFile, fieldKey } from './control-file.ts'
import { CpuController } from './cpu.ts'
import { type CpuUsageCounter, openCpuUsage } from './cpu-usage.ts'
import { CpusetController } from './cpuset.ts'
import { Freezer, openFreezer } from './freezer.ts'
import { IoController, type IoOptions } from './io.ts'
import { directoriesBelow, killPids, pidsIn, removeDirectories, waitUntil } from './kill.ts'
import { type MemoryController, openMemory } from './memory.ts'
import { Meter } from './metering.ts'
import { PidsController } from './pids.ts'
import type { SandboxDirectory } from './sandbox-directory.ts'
import type { SocketMemory } from './socket-memory.ts'

const POPULATED = fieldKey('populated')
const REMOVE_TIMEOUT_MS = 2000
/** Rounds of reading and killing in one turn, against tasks that fork meanwhile; `waitEmpty` goes on with it. */
const KILL_ROUNDS = 4

export interface AttachOptions extends IoOptions {
  readonly clock: Clock
  /** Whether the host has swap now. */
  readonly hasSwap: () => boolean
  readonly sockets: Pick<SocketMemory, 'usageBytes'>
}

export class AttachedCgroup implements SandboxCgroup {
  readonly #directory: SandboxDirectory
  readonly #clock: Clock
  readonly #sockets: AttachOptions['sockets']
  readonly #usage: CpuUsageCounter
  readonly #cpu: CpuController
  readonly #cpuset: CpusetController | null
  readonly #memory: MemoryController
  readonly #pids: PidsController
  readonly #io: IoController | null
  readonly #freezer: Freezer
  readonly #meter: Meter
  readonly #killFile: ControlFile | null
  readonly #events: ControlFile | null
  readonly #opened: { close(): void }[] = []
  #killing = false
  #reclaiming: Promise<void> | null = null
  /** What the counters said before the cgroup was removed. */
  #last: { readonly cpuUs: number; readonly oomKills: number } | null = null

  /** Opens the control files and writes all limits but the quota. Throws, with everything closed, when that fails. */
  constructor(directory: SandboxDirectory, limits: Limits, options: AttachOptions) {
    this.#directory = directory
    this.#clock = options.clock
    this.#sockets = options.sockets
    try {
      this.#usage = this.#own(openCpuUsage(directory))
      this.#cpu = this.#own(new CpuController(directory))
      this.#memory = this.#own(openMemory(directory, options.hasSwap))
      this.#pids = this.#own(new PidsController(directory))
      const cpuset = directory.tree.place('cpuset')
      this.#cpuset = cpuset === null ? null : this.#own(new CpusetController(directory, cpuset))
      const io = directory.tree.place('io')
      this.#io = io === null ? null : this.#own(new IoController(directory, io, options))
      const dialect = openFreezer(directory)
      this.#freezer = this.#own(new Freezer({ dialect, clock: options.clock, io: this.#io, path: directory.path }))
      const unified = directory.unified()
      const kill = unified === null ? null : directory.fileAt(unified, 'cgroup.kill', 'write')
      this.#killFile = kill?.exists() ? this.#own(kill) : null
      this.#events = unified === null ? null : this.#own(directory.fileAt(unified, 'cgroup.events', 'read').open())
      this.#meter = new Meter({
        usage: this.#usage,
        cpu: this.#cpu,
        memory: this.#memory,
        pids: this.#pids,
        io: this.#io,
        freezer: this.#freezer,
      })
      this.#write(limits)
    } catch (error) {
      this.#close()
      throw error
    }
  }

  get frozen(): boolean {
    return this.#freezer.frozen
  }

  enforceQuota(): void {
    this.#cpu.enforceQuota()
    this.#meter.startIdle()
  }

  applyLimits(next: Limits): LimitOutcome {
    this.#meter.limitsChanged()
    return this.#write(next)
  }

  beginMetering(atOnce = false): void {
    this.#meter.begin(atOnce)
  }

  endMetering(exact: boolean): Metering {
    return this.#meter.end(exact)
  }

  leaveMetering(): void {
    this.#meter.leave()
  }

  freeze(): Promise<number | null> {
    return this.#freezer.freeze()
  }

  thaw(): number {
    return this.#freezer.thaw()
  }

  async reclaim(): Promise<Reclaimed | null> {
    const isOver = () => !this.frozen || this.#killing || this.#last !== null
    if (isOver()) return null
    const beforeBytes = this.memoryBytes()
    this.#reclaiming ??= this.#memory.reclaim(isOver).finally(() => {
      this.#reclaiming = null
    })
    await this.#reclaiming
    return this.#killing || this.#last !== null ? null : { beforeBytes, afterBytes: this.memoryBytes() }
  }

  cpuUs(): number {
    return this.#last?.cpuUs ?? this.#usage.read().totalUs
  }

  memoryBytes(): number {
    return this.#last === null ? this.#memory.usageBytes() + this.#sockets.usageBytes(this.#directory.path) : 0
  }

  memoryPeakBytes(): number {
    return this.#last === null ? this.#memory.peakBytes() : 0
  }

  oomKills(): number {
    return this.#last?.oomKills ?? this.#memory.oomKills()
  }

  get oomKillsMetered(): number {
    return this.#meter.oomKills
  }

  pids(): number[] {
    return pidsIn(this.#procsDirectory())
  }

  kill(): void {
    this.#killing = true
    // ORDER: killed first, so that nothing inside runs again; thawed all the same, or the OCI runtime calls it paused.
    if (this.#killFile?.tryWrite('1') === null) this.#freezer.thaw()
    else this.#killOneByOne()
    // ORDER: after the thaw, which puts the rates back. A task in throttled I/O takes the signal only when its turn comes.
    this.#io?.lift()
  }

  async waitEmpty(timeoutMs: number): Promise<boolean> {
    return waitUntil(
      () => {
        if (this.#isEmpty()) return true
        if (this.#killing && this.#killFile === null) this.#killOneByOne()
        return false
      },
      timeoutMs,
      this.#clock,
    )
  }

  async remove(): Promise<void> {
    // ORDER: the kernel removes no directory while a write to one of its files runs, and would block this process until then.
    await this.#reclaiming
    this.#last ??= this.#lastCounters()
    this.#close()
    const directories = this.#directory.all().flatMap(directoriesBelow)
    await removeDirectories(directories, REMOVE_TIMEOUT_MS, this.#clock)
  }

  /** ORDER: what can be refused comes first, so that a refusal leaves everything as it was. */
  #write(next: Limits): LimitOutcome {
    const tasks = this.#pids.check(next)
    if (!tasks.applied) return tasks
    const memory = this.#memory.apply(next)
    if (!memory.applied) return memory
    this.#cpu.apply(next)
    this.#cpuset?.apply(next)
    this.#io?.apply(next)
    this.#pids.apply(next)
    return memory
  }

  #lastCounters(): { cpuUs: number; oomKills: number } {
    try {
      return { cpuUs: this.cpuUs(), oomKills: this.oomKills() }
    } catch {
      // Removed by someone else already: the kernel answers ENODEV.
      return { cpuUs: 0, oomKills: 0 }
    }
  }

  /** v1: the signal waits for the thaw, so it is sent to the frozen tasks first and takes them as they wake. */
  #killOneByOne(): void {
    const directory = this.#procsDirectory()
    killPids(pidsIn(directory))
    this.#freezer.thaw()
    for (let round = 1; round < KILL_ROUNDS; round++) {
      const pids = pidsIn(directory)
      if (pids.length === 0) return
      killPids(pids)
    }
  }

  #procsDirectory(): string {
    const root = this.#directory.tree.freezer ?? this.#directory.require('pids').root
    return join(root, this.#directory.path)
  }

  #isEmpty(): boolean {
    if (this.#events === null) return pidsIn(this.#procsDirectory()).length === 0
    try {
      return this.#events.readField(POPULATED) === 0
    } catch {
      return true
    }
  }

  #own<T extends { close(): void }>(part: T): T {
    this.#opened.push(part)
    return part
  }

  #close(): void {
    for (const part of this.#opened.splice(0)) part.close()
  }
}
