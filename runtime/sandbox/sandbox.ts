// One container sandbox from its start to its end: joins channel, cgroup and native output, and keeps the state.
// Made by create.ts, which also knows how to free everything; policy (when to freeze, whom to kill) is above.
import type {
  CallSink,
  Clock,
  Code,
  Fault,
  LimitOutcome,
  Metering,
  Reclaimed,
  Sandbox,
  SandboxCall,
  SandboxExchange,
  SandboxLog,
  SandboxState,
  SandboxWatch,
  StopReason,
} from '../api.ts'
import type { SandboxCgroup } from '../cgroup/cgroup.ts'
import { RuntimeError } from '../errors.ts'
import { coreWaitUs } from '../host/core-wait.ts'
import { keepAlive } from '../host/keep-alive.ts'
import { setTimeSlice } from '../host/time-slice.ts'
import type { Limits } from '../limits/limits.ts'
import type { NetworkCounters, SandboxLink } from '../network/sandbox-link.ts'
import type { Container } from '../oci/oci-runtime.ts'
import { type Channel, createChannel } from './channel.ts'
import { awaitExit, explainDeath } from './death.ts'
import { type Output, readOutput } from './output.ts'
import type { GroupBudgets } from './read-budget.ts'
import { move } from './state.ts'
import type { StepTime } from './steps.ts'
import { NO_METERING, refuseCall, stalledFault } from './stopped.ts'

/** How long a process whose socket has ended may take to end itself. */
const EXIT_WAIT_MS = 500
/** How long its last words may take to arrive. */
const LAST_WORDS_MS = 50

/** At a stretch, of a main thread that computes; the kernel's own is 1.4 ms on two cores, and threads with shorter ones go first.
 *  Not much longer: what else runs on the host waits for two of them (20 ms where it was 10 ms). */
const COMPUTING_SLICE_US = 3_000

export interface SandboxParts {
  readonly id: string
  readonly container: Container
  readonly cgroup: SandboxCgroup
  /** Null: it has no link. */
  readonly link?: Pick<SandboxLink, 'counters' | 'applyRates'> | null
  readonly limits: Limits
  /** False: it uses the host's own network. Default true. */
  readonly ownNetwork?: boolean
  /** Absent: only its own budget bounds what it makes the host read. */
  readonly groups?: GroupBudgets
  readonly clock: Clock
  /** Called with errors in the platform while it handled what came from inside. */
  readonly onBug?: (error: unknown) => void
  /** Not given: nothing looks whether the event loop stands over it. */
  readonly watch?: SandboxWatch
  /** Of its cgroup, for `watch`. */
  readonly directories?: readonly string[]
}

export class ContainerSandbox implements Sandbox {
  readonly id: string
  readonly pid: number
  readonly createdAtMs: number
  readonly stopped: Promise<StopReason>
  /** Resolves when `destroy` has freed everything. */
  readonly gone: Promise<void>
  readonly ownNetwork: boolean
  steps: readonly StepTime[] = []
  readonly #cgroup: SandboxCgroup
  readonly #link: NonNullable<SandboxParts['link']> | null
  /** Of the accounting before: traffic between two calls counts to the second. */
  #traffic: NetworkCounters = { rxBytes: 0, txBytes: 0 }
  readonly #channel: Channel
  readonly #output: Output
  readonly #clock: Clock
  #resolveStopped: (reason: StopReason) => void = () => {}
  #resolveGone: () => void = () => {}
  #state: SandboxState = 'creating'
  #reason: StopReason | null = null
  #limits: Limits
  /** Frozen since the last call. */
  #thawed = false
  #oomKillsBefore = 0
  readonly #groups: GroupBudgets | null
  #dying = false
  #ranSince = true
  /** Receives native output: of the load, then of the call begun last. */
  #log: CallSink['log'] | null = null
  #release: () => Promise<void> = async () => {}
  #destroyed: Promise<void> | null = null
  readonly #watched: ReturnType<SandboxWatch['watch']> | null

  constructor(parts: SandboxParts) {
    this.id = parts.id
    this.pid = parts.container.pid
    this.#clock = parts.clock
    this.createdAtMs = parts.clock.now()
    this.#cgroup = parts.cgroup
    this.#link = parts.link ?? null
    this.#limits = parts.limits
    this.ownNetwork = parts.ownNetwork ?? true
    this.#groups = parts.groups ?? null
    this.stopped = new Promise((resolve) => {
      this.#resolveStopped = resolve
    })
    this.gone = new Promise((resolve) => {
      this.#resolveGone = resolve
    })
    const { stdout, stderr, socket } = parts.container
    this.#watched = this.#watchedBy(parts)
    const handling = this.#watched?.handling ?? (() => {})
    this.#output = readOutput(stdout, stderr, {
      clock: parts.clock,
      handling,
      onLine: (stream, line) => this.#log?.(stream, line),
      ...(parts.onBug === undefined ? {} : { onBug: parts.onBug }),
    })
    this.#channel = createChannel(socket, {
      clock: parts.clock,
      // The function's own only once it is known: a stem boots with those of its class.
      memoryBytes: () => this.#limits.memory,
      handling,
      onFault: (fault) => this.#onFault(fault),
      ...(parts.onBug === undefined ? {} : { onBug: parts.onBug }),
    })
  }

  #watchedBy({ id, container, watch, directories = [] }: SandboxParts): ReturnType<SandboxWatch['watch']> | null {
    const onKilled = (stoodMs: number) => this.kill(stalledFault(stoodMs))
    return watch?.watch({ id, descriptors: container.descriptors, directories, onKilled }) ?? null
  }

  get state(): SandboxState {
    return this.#state
  }

  /** Ends the creation: waits for READY, then the sandbox is running and `destroy` will call `release`.
   *  Throws RuntimeError `BOOT_TIMEOUT` | `CREATE_FAILED` (it died; with what it wrote). */
  async boot(timeoutMs: number): Promise<void> {
    try {
      await this.#channel.ready(timeoutMs)
    } catch (error) {
      throw this.#bootError(error)
    }
    this.#oomKillsBefore = this.#cgroup.oomKills()
    this.#state = move(this.#state, 'running')
  }

  /** A process that did not get ready: what it wrote if it died. */
  #bootError(error: unknown): unknown {
    const fault = this.#reason?.fault
    if (fault === undefined) return error
    const words = this.#output.stderrTail().trim()
    const message = `the sandbox ended before it was ready: ${fault.message}${words === '' ? '' : `: ${words}`}`
    return new RuntimeError('CREATE_FAILED', message, { fault })
  }

  /** Hands over what creation knows: its times, and how to free everything. */
  own(steps: readonly StepTime[], release: () => Promise<void>): void {
    this.steps = steps
    this.#release = release
  }

  prepared(timeoutMs: number): Promise<void> {
    return this.#channel.prepared(timeoutMs)
  }

  async load(code: Code, timeoutMs: number, log: SandboxLog): Promise<void> {
    this.#expectRunning()
    this.#joinGroup(code.group)
    this.#log = (stream, line) => log(stream, line, null)
    this.#oomKillsBefore = this.#cgroup.oomKills()
    await this.#channel.load(code, timeoutMs, log)
    this.#thawed = false
    // ORDER: the CPU quota only now: with a quarter of a CPU a bundle would take half a second to load.
    this.#cgroup.enforceQuota()
  }

  /** The group is known with the code: a stem has none. */
  #joinGroup(group: string | undefined): void {
    if (group === undefined || this.#groups === null) return
    const { budget, leave } = this.#groups.join(group)
    this.#channel.share(budget)
    this.#output.share(budget)
    this.gone.then(leave, leave)
  }

  codeCache(maxBytes: number, timeoutMs: number): Promise<Buffer | null> {
    return this.#channel.codeCache(maxBytes, timeoutMs)
  }

  applyLimits(limits: Limits): LimitOutcome {
    if (this.#state === 'stopped') return { applied: true }
    const outcome = this.#cgroup.applyLimits(limits)
    if (!outcome.applied) return outcome
    this.#link?.applyRates(limits)
    this.#limits = limits
    return outcome
  }

  beginMetering(atOnce = false): void {
    if (this.#state === 'stopped') return
    // What the call before was told of, not what is so now: a read less in every call.
    this.#oomKillsBefore = Math.max(this.#oomKillsBefore, this.#cgroup.oomKillsMetered)
    this.#cgroup.beginMetering(atOnce)
  }

  endMetering(exact: boolean): Metering {
    if (this.#destroyed !== null) return NO_METERING
    const metering = this.#cgroup.endMetering(exact)
    return this.#link === null ? metering : { ...metering, ...this.#trafficSince(this.#link) }
  }

  #trafficSince(link: NonNullable<SandboxParts['link']>): Pick<Metering, 'netRxBytes' | 'netTxBytes'> {
    const before = this.#traffic
    this.#traffic = link.counters()
    const { rxBytes, txBytes } = this.#traffic
    return { netRxBytes: rxBytes - before.rxBytes, netTxBytes: txBytes - before.txBytes }
  }

  leaveMetering(): void {
    this.#cgroup.leaveMetering()
  }

  invoke(call: SandboxCall, sink: CallSink): SandboxExchange {
    if (this.#reason !== null) return refuseCall(sink, this.#reason.fault)
    this.#expectRunning()
    this.#log = sink.log.bind(sink)
    const thawed = this.#thawed
    this.#thawed = false
    return this.#channel.invoke(call, sink, thawed)
  }

  async freeze(): Promise<number | null> {
    if (this.#state === 'frozen') return 0
    this.#expectRunning()
    const us = await this.#cgroup.freeze()
    if (this.#reason !== null) throw this.#stoppedError()
    // A thaw may have come between the kernel's confirmation and this turn.
    if (us === null || !this.#cgroup.frozen) return null
    this.#state = move(this.#state, 'frozen')
    return us
  }

  thaw(): number {
    if (this.#state === 'stopped') return 0
    const us = this.#cgroup.thaw()
    this.#thawed = true
    if (this.#state === 'frozen') this.#state = move(this.#state, 'running')
    this.#ranSince = true
    return us
  }

  /** True when it runs, or has since this was asked last. */
  tookTurn(): boolean {
    const ran = this.#state === 'running' || this.#ranSince
    this.#ranSince = false
    return ran && this.#state !== 'stopped'
  }

  async reclaim(): Promise<Reclaimed | null> {
    return this.#state === 'frozen' ? this.#cgroup.reclaim() : null
  }

  cpuUs(): number {
    return this.#cgroup.cpuUs()
  }

  coreWaitUs(): number | null {
    return this.#state === 'stopped' ? null : coreWaitUs(this.pid)
  }

  setComputing(computes: boolean): void {
    if (this.#state !== 'stopped') setTimeSlice(this.pid, computes ? COMPUTING_SLICE_US : 0, { inherited: true })
  }

  memoryBytes(): number {
    return this.#cgroup.memoryBytes()
  }

  readonly pids = (): number[] => (this.#state === 'stopped' ? [] : this.#cgroup.pids())
  readonly otherProcesses = (): number => Math.max(0, this.pids().length - 1)

  kill(fault: Fault): void {
    if (this.#state === 'stopped') return
    this.#state = move(this.#state, 'stopped')
    this.#reason = { fault, atMs: this.#clock.now(), openCalls: this.#channel.inFlight }
    this.#cgroup.kill()
    this.#channel.fail(fault)
    this.#channel.close()
    this.#resolveStopped(this.#reason)
  }

  destroy(): Promise<void> {
    this.#destroyed ??= keepAlive(this.#tearDown())
    return this.#destroyed
  }

  async #tearDown(): Promise<void> {
    this.kill({ code: 'KILLED', message: 'the sandbox was destroyed' })
    await this.#release()
    this.#watched?.leave()
    this.#output.close()
    this.#log = null
    this.#resolveGone()
  }

  /** The channel is unusable: the process ended, or broke the protocol. */
  #onFault(fault: Fault): void {
    // ORDER: asked first: a sandbox that the watchdog killed has closed its socket, too, and that is not the function's doing.
    this.#watched?.killedAfterMs()
    if (this.#state === 'stopped' || this.#dying) return
    if (fault.code !== 'EXITED') {
      this.kill(fault)
      return
    }
    this.#dying = true
    this.#findOut(fault).then(
      (found) => this.kill(found),
      () => this.kill(fault),
    )
  }

  /** The socket's end says only that nobody holds it any more. */
  async #findOut(fault: Fault): Promise<Fault> {
    const exit = await awaitExit(this.pid, EXIT_WAIT_MS, this.#clock)
    if (exit === 'running') return { code: 'PROTOCOL', message: 'the process closed its channel and went on' }
    await Promise.race([
      this.#output.ended,
      new Promise<void>((resolve) => {
        this.#clock.after(LAST_WORDS_MS, resolve)
      }),
    ])
    const found = explainDeath({
      exit,
      oomKills: this.#cgroup.oomKills() - this.#oomKillsBefore,
      stderrTail: this.#output.stderrTail(),
      memoryLimitBytes: this.#limits.memory,
      memoryPeakBytes: this.#cgroup.memoryPeakBytes(),
    })
    if (found.code !== 'EXITED') return found
    // What the process itself said of its end has the error in it; it counts where the kernel does not contradict.
    return exit === null || fault.data?.exitCode === exit.code ? fault : found
  }

  #expectRunning(): void {
    if (this.#reason !== null) throw this.#stoppedError()
    if (this.#state !== 'running') {
      throw new RuntimeError('SANDBOX_STATE', `sandbox ${this.id} is ${this.#state}, expected running`)
    }
  }

  #stoppedError(): RuntimeError {
    const fault = this.#reason?.fault ?? { code: 'KILLED', message: 'stopped' }
    return new RuntimeError('SANDBOX_STOPPED', `sandbox ${this.id} has stopped: ${fault.message}`, { fault })
  }
}
