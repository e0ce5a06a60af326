// A worker on a fake runtime and a fake clock, with calls that keep what they got.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Metering } from '../../runtime/api.ts'
import type {
  FunctionVersion,
  Invocation,
  InvocationFailure,
  InvocationRequest,
  InvocationSink,
  Phases,
  ResponseHead,
  StartKind,
  Worker,
} from '../../worker/api.ts'
import { createWorker, type WorkerOptions } from '../../worker/worker.ts'
import { FakeClock, settle } from './fake-clock.ts'
import { FakeRuntime, type FakeSandbox } from './fake-runtime.ts'
import { silentLogger } from './real-clock.ts'
import { requestOf } from './samples.ts'

/** What a caller saw of its invocation. */
export class SeenCall implements InvocationSink {
  heads: ResponseHead[] = []
  body = ''
  ends = 0
  metering: Metering | null = null
  failures: InvocationFailure[] = []
  failedStart: StartKind | null = null
  failedPhases: Phases | null = null
  /** False: the reader takes no more. */
  reads = true
  invocation!: Invocation

  head(head: ResponseHead): void {
    this.heads.push(head)
  }
  data(chunk: Buffer): boolean {
    this.body += chunk.toString()
    return this.reads
  }
  end(metering: Metering | null): void {
    this.ends++
    this.metering = metering
  }
  failed(failure: InvocationFailure, start: StartKind | null, phases: Phases | null): void {
    this.failures.push(failure)
    this.failedStart = start
    this.failedPhases = phases
  }

  get status(): number | null {
    return this.heads[0]?.status ?? null
  }
  get start(): StartKind | null {
    return this.heads[0]?.start ?? null
  }
  get failure(): InvocationFailure | null {
    return this.failures[0] ?? null
  }
}

export class TestWorker {
  readonly clock = new FakeClock()
  readonly runtime = new FakeRuntime(this.clock)
  readonly stateDir = mkdtempSync(join(tmpdir(), 'thaw-worker-'))
  readonly worker: Worker
  #next = 0

  constructor(options: Partial<WorkerOptions> = {}) {
    this.worker = createWorker({
      runtime: this.runtime,
      stateDir: this.stateDir,
      clock: this.clock,
      logger: silentLogger,
      tracing: null,
      memoryBytes: 4 * 1024 ** 3,
      ...options,
    })
  }

  /** Calls and lets everything that needs no time happen. */
  async call(version: FunctionVersion, changes: Partial<InvocationRequest> = {}): Promise<SeenCall> {
    const seen = this.callNow(version, changes)
    await settle()
    return seen
  }

  callNow(version: FunctionVersion, changes: Partial<InvocationRequest> = {}): SeenCall {
    const seen = new SeenCall()
    const id = `018f0000-0000-7000-8000-${String(++this.#next).padStart(12, '0')}`
    const request = requestOf(version, { id, acceptedAtMs: this.clock.now(), ...changes })
    seen.invocation = this.worker.invoke(request, seen)
    return seen
  }

  /** The sandbox created as number `index` (from 0). */
  sandbox(index: number): FakeSandbox {
    const sandbox = this.runtime.created[index]
    if (sandbox === undefined) throw new Error(`only ${this.runtime.created.length} sandboxes were created`)
    return sandbox
  }

  /** A call that ran to its end, so that the version has an idle sandbox. */
  async warm(version: FunctionVersion): Promise<FakeSandbox> {
    await this.call(version)
    const sandbox = this.runtime.created.findLast(
      (one) => one.code?.functionName === version.name && one.open.length === 1,
    )
    if (sandbox === undefined) throw new Error('no sandbox took the call')
    sandbox.call.respond()
    await settle()
    return sandbox
  }

  async close(): Promise<void> {
    await this.worker.close()
    rmSync(this.stateDir, { recursive: true, force: true })
  }
}
