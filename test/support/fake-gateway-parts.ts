// Fakes of everything behind the gateway, for tests over real HTTP: a worker whose answers a test writes, a registry and a
// deployer in memory; fake-lane.ts is the durable lane. They keep to worker/api.ts and do nothing on their own.
import type { HostReport, Limits, Logger, Metering } from '../../runtime/api.ts'
import {
  type Deployer,
  type DeployRequest,
  type FunctionConfig,
  type FunctionVersion,
  type Invocation,
  type InvocationFailure,
  type InvocationRecord,
  type InvocationRequest,
  type InvocationSink,
  type LogLine,
  type PlatformEvent,
  type SandboxInfo,
  type Worker,
  WorkerError,
} from '../../worker/api.ts'
import { type Alias, type FunctionEntry, type Registry, RegistryError } from '../../worker/registry/api.ts'
import { EPOCH, sampleConfig, sampleRecord } from './samples.ts'

export const PHASES = { queueMs: 0, startMs: 0, thawMs: 0.25, initMs: 0, runMs: 1.5 }
export const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} }
export const METERING = { exact: true, cpuUserUs: 1200, cpuSystemUs: 300 } as Metering
export const HOST = {
  cgroupMode: 'hybrid',
  cores: 2,
  limits: { memory: { enforced: true, how: 'cgroup' } },
} as unknown as HostReport

/** A call that reached the fake worker, and the ways to answer it. */
export class FakeCall {
  readonly request: InvocationRequest
  readonly sink: InvocationSink
  aborted: string | null = null
  resumed = 0
  constructor(request: InvocationRequest, sink: InvocationSink) {
    this.request = request
    this.sink = sink
  }

  head(status = 200, headers: readonly string[] = []): void {
    this.sink.head({ status, headers, start: 'warm', phases: PHASES })
  }

  answer(body: string | Buffer, status = 200, headers: readonly string[] = []): void {
    this.head(status, headers)
    if (body.length > 0) this.sink.data(Buffer.from(body))
    this.sink.end(this.request.wantsMetering ? METERING : null)
  }

  fail(failure: Partial<InvocationFailure> & Pick<InvocationFailure, 'code'>): void {
    this.sink.failed({ component: 'function', message: 'it failed', ...failure }, 'warm', PHASES)
  }

  async body(): Promise<Buffer> {
    const { body } = this.request
    if (body === null) return Buffer.alloc(0)
    if (Buffer.isBuffer(body)) return body
    const chunks: Buffer[] = []
    for await (const chunk of body) chunks.push(chunk as Buffer)
    return Buffer.concat(chunks)
  }
}

export class FakeWorker implements Worker {
  readonly calls: FakeCall[] = []
  readonly kept = new Map<string, InvocationRecord>()
  readonly lines: LogLine[] = []
  readonly listeners = new Set<(event: PlatformEvent) => void>()
  sandbox: SandboxInfo | null = null
  retired = 0
  /** What a call does; default: an empty 200. */
  onCall: (call: FakeCall) => void = (call) => call.answer('')

  invoke(request: InvocationRequest, sink: InvocationSink): Invocation {
    const call = new FakeCall(request, sink)
    this.calls.push(call)
    setImmediate(() => this.onCall(call))
    return {
      id: request.id,
      resume: () => {
        call.resumed++
      },
      abort: (reason) => {
        call.aborted ??= reason
      },
      done: Promise.resolve(sampleRecord(request.id)),
    }
  }
  async verify(): Promise<void> {}
  renew(): void {}
  async retire(): Promise<void> {
    this.retired++
  }
  coldReason = async (): Promise<null> => null
  sandboxes(): SandboxInfo[] {
    return this.sandbox ? [this.sandbox] : []
  }
  async act(id: string, action: string): Promise<SandboxInfo> {
    if (this.sandbox?.id !== id) throw new WorkerError('SANDBOX_NOT_FOUND', `no sandbox ${id}`)
    if (action === 'freeze' && this.sandbox.state === 'busy') throw new WorkerError('SANDBOX_STATE', 'it is busy')
    return this.sandbox
  }
  async record(id: string): Promise<InvocationRecord | null> {
    return this.kept.get(id) ?? null
  }
  records(query: { limit: number; after?: string }): InvocationRecord[] {
    return [...this.kept.values()]
      .sort((a, b) => (a.id < b.id ? 1 : -1))
      .filter((record) => query.after === undefined || record.id < query.after)
      .slice(0, query.limit)
  }
  async logs(): Promise<LogLine[]> {
    return [...this.lines]
  }
  subscribe(listener: (event: PlatformEvent) => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }
  emit(event: PlatformEvent): void {
    for (const listener of this.listeners) listener(event)
  }
  stats() {
    const sandboxes = { starting: 0, stem: 0, loading: 0, idle: 1, frozen: 2, busy: 0, gone: 0 }
    return { sandboxes, waiting: 0, running: 0, memoryBytes: 1024 }
  }
  async drain(): Promise<void> {}
  async close(): Promise<void> {}
}

/** Functions in memory; `latest` is the highest version unless an alias says otherwise. */
export class FakeRegistry implements Registry {
  readonly entries = new Map<string, FunctionEntry>()
  readonly #listeners = new Set<(change: null) => void>()
  resolved = 0

  add(name: string, config: Partial<FunctionConfig> = {}, namespace = 'default'): FunctionVersion {
    const before = this.entries.get(`${namespace}/${name}`)
    const number = (before?.versions.length ?? 0) + 1
    const version: FunctionVersion = {
      namespace,
      name,
      version: number,
      image: `sha256:${number}`,
      config: sampleConfig(name, config),
      createdAt: EPOCH,
    }
    this.entries.set(`${namespace}/${name}`, {
      namespace,
      name,
      createdAt: EPOCH,
      updatedAt: EPOCH,
      versions: [...(before?.versions ?? []), version],
      aliases: { ...before?.aliases, latest: { weights: { [number]: 100 } } },
    })
    this.#changed()
    return version
  }
  namespaces(): string[] {
    return [...new Set([...this.entries.values()].map((entry) => entry.namespace))]
  }

  list(namespace: string): FunctionEntry[] {
    return [...this.entries.values()]
      .filter((entry) => entry.namespace === namespace)
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }
  get(namespace: string, name: string): FunctionEntry {
    const entry = this.entries.get(`${namespace}/${name}`)
    if (!entry) throw new RegistryError('FUNCTION_NOT_FOUND', `unknown function ${name}`)
    return entry
  }
  resolve(namespace: string, name: string, reference: string | null, draw: number): FunctionVersion {
    this.resolved++
    const entry = this.get(namespace, name)
    const alias: Alias | undefined = entry.aliases[reference ?? 'latest']
    let number = Number(reference)
    if (alias) {
      let left = draw * 100
      for (const [version, weight] of Object.entries(alias.weights)) {
        number = Number(version)
        left -= weight
        if (left < 0) break
      }
    }
    const version = entry.versions.find((candidate) => candidate.version === number)
    if (!version) throw new RegistryError('VERSION_NOT_FOUND', `${name} has no version or alias ${reference}`)
    return version
  }
  candidate(): never {
    throw new Error('not used by the gateway')
  }
  commit(): never {
    throw new Error('not used by the gateway')
  }
  async setAlias(namespace: string, name: string, alias: string, target: Alias): Promise<FunctionEntry> {
    const entry = this.get(namespace, name)
    const sum = Object.values(target.weights).reduce((total, weight) => total + weight, 0)
    if (sum !== 100) throw new RegistryError('ALIAS_INVALID', `weights add up to ${sum}, not 100`)
    const changed = { ...entry, aliases: { ...entry.aliases, [alias]: target } }
    this.entries.set(`${namespace}/${name}`, changed)
    this.#changed()
    return changed
  }
  async removeAlias(namespace: string, name: string, alias: string): Promise<void> {
    if (!this.get(namespace, name).aliases[alias]) throw new RegistryError('ALIAS_NOT_FOUND', `no alias ${alias}`)
  }
  async removeVersion(namespace: string, name: string, version: number): Promise<void> {
    const entry = this.get(namespace, name)
    const versions = entry.versions.filter((kept) => kept.version !== version)
    this.entries.set(`${namespace}/${name}`, { ...entry, versions })
    this.#changed()
  }
  async removeFunction(namespace: string, name: string): Promise<void> {
    this.entries.delete(`${namespace}/${name}`)
    this.#changed()
  }
  page(namespace: string, after: string | null, limit: number): FunctionEntry[] {
    return this.list(namespace)
      .filter(({ name }) => after === null || name > after)
      .slice(0, limit)
  }
  count(namespace: string): number {
    return this.list(namespace).length
  }
  warm(): number {
    return 0
  }
  users(namespace: string, kind: 'secret' | 'network' | 'volume', name: string): string[] {
    const uses = ({ config }: FunctionVersion): boolean => {
      if (kind === 'secret') return config.secrets?.includes(name) ?? false
      if (kind === 'network') return config.network === name
      return config.volumes?.some((volume) => volume.kind === 'named' && volume.name === name) ?? false
    }
    return this.list(namespace).flatMap((entry) => (entry.versions.some(uses) ? [entry.name] : []))
  }
  images(): ReadonlySet<string> {
    return new Set()
  }
  hasImage(): boolean {
    return false
  }
  onChange(listener: (change: null) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
  async close(): Promise<void> {}
  #changed(): void {
    for (const listener of this.#listeners) listener(null)
  }
}

export class FakeDeployer implements Deployer {
  onExpectRoom: () => void = () => {}
  expectRoom(): void {
    this.onExpectRoom()
  }

  isDeploying(): boolean {
    return false
  }

  readonly requests: DeployRequest[] = []
  readonly #registry: FakeRegistry
  /** Runs while the request's files are still there. */
  onDeploy: (request: DeployRequest) => void | Promise<void> = () => {}
  constructor(registry: FakeRegistry) {
    this.#registry = registry
  }
  async deploy(request: DeployRequest) {
    this.requests.push(request)
    await this.onDeploy(request)
    const existing = this.#registry.entries.get(`${request.namespace}/${request.name}`)?.versions.at(-1)
    if (existing) return { version: existing, created: false }
    return { version: this.#registry.add(request.name, {}, request.namespace), created: true }
  }
}

/** `checkLimits` of a host that cannot do block I/O weights. */
export function refuseBlkio(asked: Partial<Limits>): void {
  if (asked.blkioWeight !== undefined)
    throw Object.assign(new Error('blkioWeight: no bfq on this host'), { code: 'LIMIT_UNSUPPORTED' })
}
