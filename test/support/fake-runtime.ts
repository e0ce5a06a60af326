// A runtime without a kernel: sandboxes whose calls a test answers by hand. Keeps the contract of runtime/api.ts.

import type {
  CallSink,
  Clock,
  Code,
  Fault,
  HostReport,
  ImageParts,
  ImageStore,
  LimitOutcome,
  Metering,
  Reclaimed,
  Runtime,
  Sandbox,
  SandboxCall,
  SandboxExchange,
  SandboxLog,
  SandboxSpec,
  SandboxState,
  StopReason,
  StoredImage,
} from '../../runtime/api.ts'
import { RuntimeError } from '../../runtime/errors.ts'
import { DEFAULT_LIMITS, type Limits } from '../../runtime/limits/limits.ts'
import { FakeVolumes } from './fake-volumes.ts'

const MIB = 1024 ** 2

export const ZERO_METERING: Metering = {
  exact: true,
  cpuUserUs: 500,
  cpuSystemUs: 100,
  throttledUs: 0,
  memoryPeakBytes: 17 * MIB,
  memoryBytes: 16 * MIB,
  swapPeakBytes: null,
  ioReadBytes: 0,
  ioWriteBytes: 0,
  ioReadOps: 0,
  ioWriteOps: 0,
  netRxBytes: 0,
  netTxBytes: 0,
  oomKills: 0,
  pageFaults: 0,
  tasksPeak: null,
  freezeUs: 0,
  thawUs: 0,
  idleCpuUs: 0,
}

/** A call in a fake sandbox; the test plays the code inside. */
export class FakeCall implements SandboxExchange {
  readonly call: SandboxCall
  readonly sink: CallSink
  readonly cancelled: string[] = []
  resumed = 0
  #responseOver = false
  #idle = false
  readonly #leave: (call: FakeCall) => void

  constructor(call: SandboxCall, sink: CallSink, leave: (call: FakeCall) => void) {
    this.call = call
    this.sink = sink
    this.#leave = leave
  }

  /** A whole response; `idle` false leaves `waitUntil` work running. */
  respond(status = 200, body = '', idle = true): void {
    this.sink.started()
    this.sink.head(status, [])
    if (body !== '') this.sink.data(Buffer.from(body))
    this.end()
    if (idle) this.idle(true)
  }

  end(): void {
    this.#responseOver = true
    this.sink.end()
  }

  fail(fault: Fault, reusable = true): void {
    if (!this.#responseOver) this.sink.failed(fault)
    this.#responseOver = true
    this.idle(reusable)
  }

  idle(reusable: boolean): void {
    if (this.#idle) return
    this.#idle = true
    this.#leave(this)
    this.sink.idle(reusable)
  }

  resume(): void {
    this.resumed++
  }

  cancel(reason: string): void {
    this.cancelled.push(reason)
  }
}

export class FakeSandbox implements Sandbox {
  readonly id: string
  readonly pid: number
  readonly spec: SandboxSpec
  readonly createdAtMs: number
  readonly steps = []
  readonly stopped: Promise<StopReason>
  state: SandboxState = 'running'
  code: Code | null = null
  /** Calls now inside, in the order they came; and all ever. */
  readonly open: FakeCall[] = []
  readonly calls: FakeCall[] = []
  readonly killedWith: Fault[] = []
  destroyed = false
  limits: Limits
  /** What a limit is compared with. */
  usedBytes = 16 * MIB
  otherProcesses = (): number => 0
  metering: Metering = ZERO_METERING
  beginnings: { atOnce: boolean }[] = []
  meterings: { exact: boolean }[] = []
  leavings = 0
  freezes = 0
  reclaims = 0
  /** What a reclaim leaves. */
  reclaimedBytes = 4 * MIB
  thaws = 0
  /** Set to make `freeze` reject. */
  freezeError: Error | null = null
  /** Set to hold `freeze` until it is called. */
  holdFreeze = false
  finishFreeze: () => void = () => {}
  /** The next `invoke` finds that the process had died unnoticed. */
  hasDiedUnnoticed = false
  #thawedMeanwhile = false
  #resolveStopped: (reason: StopReason) => void = () => {}
  readonly #clock: Clock

  constructor(id: string, spec: SandboxSpec, clock: Clock) {
    this.id = id
    this.pid = 1000 + Number(id.slice(2))
    this.spec = spec
    this.limits = spec.limits
    this.createdAtMs = clock.now()
    this.#clock = clock
    this.stopped = new Promise((resolve) => {
      this.#resolveStopped = resolve
    })
  }

  /** The one open call. */
  get call(): FakeCall {
    const [call, another] = this.open
    if (call === undefined || another !== undefined) throw new Error(`${this.open.length} calls are open in ${this.id}`)
    return call
  }

  /** Replaced by a test that wants a load to fail or hang. */
  onLoad: (code: Code, log: CallSink['log']) => Promise<void> = async () => {}

  async prepared(): Promise<void> {}

  /** What `codeCache` gives. */
  cache: Buffer | null = null
  cachesAsked = 0

  async codeCache(): Promise<Buffer | null> {
    this.cachesAsked++
    return this.cache
  }

  async load(code: Code, _timeoutMs: number, log: SandboxLog): Promise<void> {
    this.code = code
    const died = this.stopped.then(({ fault }) => {
      throw new RuntimeError('SANDBOX_STOPPED', `ended while loading: ${fault.message}`, { fault })
    })
    await Promise.race([died, this.onLoad(code, (stream, line) => log(stream, line, null))])
  }

  applyLimits(limits: Limits): LimitOutcome {
    if (limits.memory < this.usedBytes) {
      return { applied: false, limit: 'memory', asked: limits.memory, inUse: this.usedBytes }
    }
    this.limits = limits
    return { applied: true }
  }

  beginMetering(atOnce = false): void {
    this.beginnings.push({ atOnce })
  }

  endMetering(exact: boolean): Metering {
    this.meterings.push({ exact })
    return { ...this.metering, exact }
  }

  leaveMetering(): void {
    this.leavings++
  }

  invoke(call: SandboxCall, sink: CallSink): SandboxExchange {
    if (this.state !== 'running') throw new RuntimeError('SANDBOX_STATE', `${this.id} is ${this.state}`)
    const fake = new FakeCall(call, sink, (left) => this.open.splice(this.open.indexOf(left), 1))
    this.open.push(fake)
    this.calls.push(fake)
    if (this.hasDiedUnnoticed) queueMicrotask(() => this.kill({ code: 'NOT_SENT', message: 'it had died before' }))
    return fake
  }

  async freeze(): Promise<number | null> {
    this.freezes++
    this.#thawedMeanwhile = false
    if (this.holdFreeze) {
      await new Promise<void>((resolve) => {
        this.finishFreeze = resolve
      })
    }
    if (this.freezeError !== null) throw this.freezeError
    if (this.#thawedMeanwhile || this.state !== 'running') return null
    this.state = 'frozen'
    return 90
  }

  thaw(): number {
    this.thaws++
    this.#thawedMeanwhile = true
    if (this.state === 'frozen') this.state = 'running'
    return 40
  }

  usedCpuUs = 0
  cpuUs(): number {
    return this.usedCpuUs
  }

  computing = false
  setComputing(computes: boolean): void {
    this.computing = computes
  }

  waitedUs: number | null = 0
  coreWaitUs(): number | null {
    return this.waitedUs
  }

  async reclaim(): Promise<Reclaimed | null> {
    if (this.state !== 'frozen') return null
    this.reclaims++
    const beforeBytes = this.usedBytes
    this.usedBytes = Math.min(beforeBytes, this.reclaimedBytes)
    return { beforeBytes, afterBytes: this.usedBytes }
  }

  memoryBytes(): number {
    return this.usedBytes
  }

  kill(fault: Fault): void {
    if (this.state === 'stopped') return
    this.state = 'stopped'
    this.killedWith.push(fault)
    const openCalls = this.open.length
    for (const call of [...this.open]) call.fail(fault, false)
    this.#resolveStopped({ fault, atMs: this.#clock.now(), openCalls })
  }

  async destroy(): Promise<void> {
    this.kill({ code: 'KILLED', message: 'destroyed' })
    this.destroyed = true
  }
}

export class FakeRuntime implements Runtime {
  readonly host: HostReport = {
    cgroupMode: 'v2',
    kernel: 'fake',
    arch: 'x64',
    cores: 2,
    memoryBytes: 8 * 1024 * MIB,
    swapBytes: 0,
    ociRuntime: { path: 'fake', version: '0' },
    nodeVersion: 'v24',
    freezer: 'fake',
    limits: {},
  }
  readonly created: FakeSandbox[] = []
  readonly images = new FakeImages()
  readonly volumes = new FakeVolumes()
  readonly #clock: Clock
  #next = 0
  /** Replaced by a test: throws to fail a creation, waits to delay it. */
  onCreate: (sandbox: FakeSandbox) => Promise<void> = async () => {}
  onCheckLimits: (asked: Partial<Limits>) => void = () => {}

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Sandboxes that are not destroyed. */
  get live(): FakeSandbox[] {
    return this.created.filter((sandbox) => !sandbox.destroyed)
  }

  async create(spec: SandboxSpec): Promise<Sandbox> {
    const sandbox = new FakeSandbox(`sb${++this.#next}`, spec, this.#clock)
    await this.onCreate(sandbox)
    this.created.push(sandbox)
    return sandbox
  }

  readonly hostBytes = (memoryBytes: number): number => memoryBytes

  checkLimits(asked: Partial<Limits>): void {
    this.onCheckLimits(asked)
  }

  async close(): Promise<void> {}
}

/** Images in memory; the digest is the source's text. */
export class FakeImages implements ImageStore {
  readonly stored = new Map<string, StoredImage>()
  onPut: () => Promise<void> = async () => {}

  async put(parts: ImageParts): Promise<{ digest: string }> {
    await this.onPut()
    const digest = `sha256:${parts.source.toString()}`
    const { source, sourceMap, config } = parts
    this.stored.set(digest, { digest, layers: [], source, sourceMap, config })
    return { digest }
  }

  async get(digest: string): Promise<StoredImage> {
    return this.stored.get(digest) ?? { digest, layers: [], source: Buffer.from(digest), sourceMap: null, config: {} }
  }

  has(digest: string): boolean {
    return this.stored.has(digest)
  }

  /** What a test says an image takes; default: its source, in one blob. */
  onBytesOf: (digest: string) => readonly { blob: string; bytes: number }[] = (digest) => {
    const image = this.stored.get(digest)
    return image === undefined ? [] : [{ blob: digest, bytes: image.source.length }]
  }

  bytesOf(digest: string): readonly { blob: string; bytes: number }[] {
    return this.onBytesOf(digest)
  }

  left = Number.POSITIVE_INFINITY

  leftBytes(): number {
    return this.left
  }

  blobFile(digest: string): string {
    return `/nowhere/${digest}`
  }

  async adopt(digest: string): Promise<void> {
    this.stored.set(digest, await this.get(digest))
  }

  async prune(keep: ReadonlySet<string>): Promise<{ removed: number; bytes: number }> {
    let removed = 0
    for (const digest of this.stored.keys()) if (!keep.has(digest) && this.stored.delete(digest)) removed++
    return { removed, bytes: 0 }
  }

  async remove(digests: readonly string[]): Promise<void> {
    for (const digest of digests) this.stored.delete(digest)
  }

  async readAnnotation(): Promise<string | null> {
    return null
  }

  async forgetAnnotation(): Promise<void> {}
}

/** Limits of a sandbox, the defaults changed. */
export function limitsWith(changes: Partial<Limits> = {}): Limits {
  return { ...DEFAULT_LIMITS, ...changes }
}
