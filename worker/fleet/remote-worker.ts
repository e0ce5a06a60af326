// worker/api.ts for a gateway without sandboxes: calls go down the durable lane, all else is asked of the workers that are
// there. Keeps nothing but the calls it waits for.
import type { Clock } from '../../runtime/api.ts'
import {
  type FunctionVersion,
  type Invocation,
  type InvocationFailure,
  type InvocationRecord,
  type InvocationRequest,
  type InvocationSink,
  type LogLine,
  type LogQuery,
  type PlatformEvent,
  type SandboxAction,
  type SandboxInfo,
  type Worker,
  WorkerError,
  type WorkerStats,
} from '../api.ts'
import { failure } from '../failures.ts'
import type { DurableLane } from '../queue/api.ts'
import type { FleetMember } from './api.ts'
import { AskError } from './asks.ts'
import type { FleetView } from './fleet-view.ts'
import { joinLines } from './joint-worker.ts'
import { LaneCall } from './lane-call.ts'
import { turnMs } from './turns.ts'

export interface RemoteWorkerOptions {
  readonly fleet: FleetView
  /** Asked at the first call: the lane is made after this. */
  readonly lane: () => DurableLane
  readonly clock: Clock
  /** Calls that wait for their answer, of one function and of all. */
  readonly bounds?: { readonly perFunction: number; readonly all: number }
}

export const NO_WORKER = 'no worker is registered; start one on the same Redis: fn worker'
const STOPPING = failure('DRAINING', 'the platform is stopping', { retryAfterS: 1 })
const BOUNDS = { perFunction: 2_000, all: 10_000 }
const NO_WORKER_AGAIN_S = 2
/** Beside the function's own time to load: a sandbox is made, an image fetched. */
const VERIFY_MORE_MS = 60_000
const LINES_MAX = 10_000

export class RemoteWorker implements Worker {
  readonly #options: RemoteWorkerOptions
  readonly #listeners = new Set<(event: PlatformEvent) => void>()
  /** Function → calls that wait. */
  readonly #waiting = new Map<string, number>()
  readonly #open = new Set<LaneCall>()
  #draining = false
  #drained: () => void = () => {}

  constructor(options: RemoteWorkerOptions) {
    this.#options = options
  }

  invoke(request: InvocationRequest, sink: InvocationSink): Invocation {
    const { clock, lane } = this.#options
    const { namespace, name } = request.version
    const key = `${namespace}/${name}`
    const refused = this.#refusal(key)
    this.#waiting.set(key, (this.#waiting.get(key) ?? 0) + 1)
    const call = new LaneCall(request, sink, { lane: lane(), clock }, refused)
    this.#open.add(call)
    void call.done.then((record) => this.#ended(key, call, record))
    return call
  }

  /** By the worker whose turn the function's calls are, unless it is busy; by the next one where that cannot. */
  async verify(version: FunctionVersion): Promise<void> {
    const deadlineMs = version.config.initTimeoutMs + VERIFY_MORE_MS
    let last: unknown = new WorkerError('HOST_FULL', NO_WORKER)
    for (const id of this.#inTurn(`${version.namespace}/${version.name}`)) {
      try {
        await this.#options.fleet.ask(id, 'verify', { version }, deadlineMs)
        return
      } catch (error) {
        last = error
        if (!isElsewhereBetter(error)) break
      }
    }
    if (last instanceof WorkerError) throw last
    throw new WorkerError('HOST_FULL', `no worker could load the version: ${(last as Error).message}`, { cause: last })
  }

  /** Workers follow the registry themselves. */
  async retire(): Promise<void> {}

  /** Workers follow the secrets themselves. */
  renew(): void {}

  /** None here: `Fleet.sandboxes` asks for the workers'. */
  sandboxes(): SandboxInfo[] {
    return []
  }

  /** None here: `Fleet.records` asks for the workers'. */
  records(): InvocationRecord[] {
    return []
  }

  async coldReason(version: FunctionVersion): Promise<string | null> {
    const { fleet } = this.#options
    const [worker] = fleet.workers()
    if (worker === undefined) return NO_WORKER
    return await fleet.ask(worker.id, 'coldReason', { version }).catch((error: Error) => error.message)
  }

  act(sandbox: string, action: SandboxAction): Promise<SandboxInfo> {
    return this.#options.fleet.act(sandbox, action)
  }

  async record(id: string): Promise<InvocationRecord | null> {
    const found = await this.#options.fleet.askAll('record', { id })
    return found.map(({ answer }) => answer).find((record) => record !== null) ?? null
  }

  async logs(query: LogQuery): Promise<LogLine[]> {
    const tail = Math.min(query.tail ?? LINES_MAX, LINES_MAX)
    const found = await this.#options.fleet.askAll('logs', { query: { ...query, tail } })
    return joinLines(
      found.map(({ answer }) => answer),
      tail,
    )
  }

  subscribe(listener: (event: PlatformEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Of the last beats. */
  stats(): WorkerStats {
    const sandboxes = { starting: 0, stem: 0, loading: 0, idle: 0, frozen: 0, busy: 0, gone: 0 }
    const sum = { waiting: 0, running: 0, memoryBytes: 0 }
    for (const { load } of this.#options.fleet.members()) {
      if (load === null) continue
      for (const state of Object.keys(sandboxes) as (keyof typeof sandboxes)[])
        sandboxes[state] += load.sandboxes[state]
      sum.waiting += load.waiting
      sum.running += load.running
      sum.memoryBytes += load.memoryBytes
    }
    return { sandboxes, ...sum }
  }

  async drain(ms: number): Promise<void> {
    this.#draining = true
    if (this.#open.size > 0) {
      await new Promise<void>((resolve) => {
        const cancel = this.#options.clock.after(ms, resolve)
        this.#drained = () => {
          cancel()
          resolve()
        }
      })
    }
    // Who still waits is told why, before the connections go.
    for (const call of this.#open) call.drop(STOPPING)
  }

  async close(): Promise<void> {
    this.#draining = true
  }

  /** The least busy first among those that are busy, behind those that are not. */
  #inTurn(functionKey: string): string[] {
    const workers = this.#options.fleet.workers()
    const ids = workers.map(({ id }) => id)
    const isBusy = ({ load, machine }: FleetMember) =>
      (load?.waiting ?? 0) > 0 || (load?.running ?? 0) >= (machine?.cores ?? 1)
    const free = workers.filter((worker) => !isBusy(worker)).map(({ id }) => id)
    free.sort((a, b) => turnMs(functionKey, a, ids) - turnMs(functionKey, b, ids))
    return [...free, ...ids.filter((id) => !free.includes(id))]
  }

  #refusal(key: string): InvocationFailure | null {
    const { fleet, bounds = BOUNDS } = this.#options
    if (this.#draining) return STOPPING
    if (fleet.workers().length === 0) return failure('HOST_FULL', NO_WORKER, { retryAfterS: NO_WORKER_AGAIN_S })
    const waiting = this.#waiting.get(key) ?? 0
    if (waiting >= bounds.perFunction)
      return failure('FUNCTION_BUSY', `${waiting} calls of ${key} wait already`, { retryAfterS: 1 })
    if (this.#open.size >= bounds.all)
      return failure('HOST_FULL', `${this.#open.size} calls wait at this gateway already`, { retryAfterS: 1 })
    return null
  }

  #ended(key: string, call: LaneCall, record: InvocationRecord): void {
    const waiting = (this.#waiting.get(key) ?? 1) - 1
    if (waiting === 0) this.#waiting.delete(key)
    else this.#waiting.set(key, waiting)
    this.#open.delete(call)
    for (const listener of this.#listeners) listener({ type: 'invocation', record })
    if (this.#open.size === 0) this.#drained()
  }
}

/** The worker's trouble, not the version's. */
function isElsewhereBetter(error: unknown): boolean {
  if (error instanceof AskError) return true
  const { code } = error as { code?: string }
  return code === 'HOST_FULL' || code === 'DRAINING' || code === 'SANDBOX_CREATE_FAILED'
}
