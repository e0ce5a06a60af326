// Parts that `fn up`, `fn gateway` and `fn worker` are put together from, each a step with its undo. Decides nothing; which process
// has which parts is platform.ts's, gateway-process.ts's and worker-process.ts's.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type Logger, type Runtime, RuntimeError } from '../../runtime/api.ts'
import { type WatchedRuntime, watchCreations } from '../../runtime/creation-watch.ts'
import { makeFolder, sweepDrafts } from '../../runtime/host/durable-file.ts'
import { lockStateDir } from '../../runtime/host/lock.ts'
import { createRuntime } from '../../runtime/runtime.ts'
import { startWatchdog, type Watchdog } from '../../runtime/watchdog/watchdog.ts'
import type { Deployer, FunctionVersion, VersionFate, VersionName, Worker } from '../../worker/api.ts'
import { createDeployer } from '../../worker/deploy.ts'
import type { DurableLane } from '../../worker/queue/api.ts'
import { createDurableLane, type DurableLaneOptions } from '../../worker/queue/durable-lane.ts'
import { fateIn, isPointedAt } from '../../worker/registry/deployed.ts'
import { Documents } from '../../worker/registry/documents.ts'
import { FunctionNetworks, type StoredNetwork } from '../../worker/registry/networks.ts'
import type { Quotas } from '../../worker/registry/quotas.ts'
import { createRegistry, type RegistryOptions } from '../../worker/registry/registry.ts'
import { Secrets, type StoredSecret } from '../../worker/registry/secrets.ts'
import { type StoredToken, Tokens } from '../../worker/registry/tokens.ts'
import { SourceMaps } from '../../worker/source-maps/source-maps.ts'
import { connectRedis, type RedisStore, type RedisTarget } from '../../worker/store/connect.ts'
import type { Tracing } from '../../worker/tracing.ts'
import { createWorker } from '../../worker/worker.ts'
import { buildBootstrap } from '../bundle/bootstrap.ts'
import { type Config, PROJECT_ROOT } from '../config.ts'
import { maxSandboxes, sandboxMemoryBytes } from './capacity.ts'
import { systemClock } from './clock.ts'
import { limitLogger } from './limited-logger.ts'
import { createLogger } from './logger.ts'
import { sameCommand } from './restarted.ts'
import { secretKey } from './secret-key.ts'
import { createSteps, type Steps } from './steps.ts'
import { createTracing } from './tracing.ts'
import { outliveErrors } from './unforeseen.ts'

export type Registry = Awaited<ReturnType<typeof createRegistry>>

/** What every process of the platform has. */
export interface ProcessBase {
  readonly config: Config
  readonly steps: Steps
  readonly logger: Logger
  readonly loop: Watchdog
  /** Told each step of some length as it begins. */
  readonly progress: (step: string) => void
}

/** CPU shares of the platform's own processes, against 1024 of all sandboxes together. */
const PLATFORM_SHARES = 8192
/** Of the reserve, what reclaim is to leave to the platform (cgroup v2). */
const PLATFORM_MEMORY_BYTES = 256 * 1024 ** 2

/** Puts a process together; when that fails everything made so far is undone and the error propagates. */
export async function startProcess<T>(
  config: Config,
  progress: ProcessBase['progress'],
  compose: (base: ProcessBase) => Promise<T>,
): Promise<T> {
  const logger = limitLogger(createLogger(config.log), systemClock)
  const steps = createSteps(logger)
  try {
    await steps.run(
      'last resort',
      () => outliveErrors(logger),
      (made) => made.stop(),
    )
    const watchdog = { logger, afterMs: config.stallAfterMs, restart: sameCommand() }
    const loop = await steps.run(
      'event loop',
      () => startWatchdog(watchdog),
      (made) => made.close(),
    )
    const made = await compose({ config, steps, logger, loop, progress })
    // Only now: a start does much at once, and so does a stop.
    await steps.run(
      'watchdog',
      () => loop.arm(),
      () => loop.disarm(),
    )
    return made
  } catch (error) {
    await steps.close()
    throw error
  }
}

/** ORDER: the lock comes before anything that cleans up after a killed process of this state directory. */
export async function lockState({ config, steps }: ProcessBase): Promise<void> {
  await makeFolder(config.stateDir, 0o700)
  await steps.run(
    'state lock',
    () => lockStateDir(config.stateDir),
    (lock) => lock.release(),
  )
  await sweepDrafts(config.stateDir)
}

/** The runtime, and whether it can make sandboxes. */
export async function watchRuntime({ steps, logger }: ProcessBase, runtime: Runtime): Promise<WatchedRuntime> {
  return await steps.run(
    'watch over creations',
    () => watchCreations(runtime, systemClock, logger),
    (made) => made.close(),
  )
}

export async function openRuntime({ config, steps, logger, loop, progress }: ProcessBase): Promise<Runtime> {
  const { stateDir } = config
  progress('preparing the runtime')
  const bootstrap = await steps.run('bootstrap', () => buildBootstrap(join(stateDir, 'cache')))
  return await steps.run(
    'runtime',
    () =>
      createRuntime({
        stateDir,
        ociRuntime: config.ociRuntime,
        volumeRoots: config.volumeRoots,
        egressAllow: config.egressAllow,
        nameServers: config.nameServers,
        hostNetwork: config.hostNetwork,
        bootstrap,
        nodeBinary: process.execPath,
        logger,
        clock: systemClock,
        watch: loop,
        ...(config.zramBytes === null ? {} : { zramBytes: config.zramBytes }),
        totals: { memoryBytes: config.pool.sandboxMemoryBytes ?? sandboxMemoryBytes(), pids: highestPids() },
        reserve: { cpuShares: PLATFORM_SHARES, memoryBytes: PLATFORM_MEMORY_BYTES },
      }),
    (made) => made.close(),
  )
}

export function openRedis({ steps, logger }: ProcessBase, target: RedisTarget): Promise<RedisStore> {
  return steps.run(
    'redis connection',
    () => connectRedis(target, logger),
    (made) => made.close(),
  )
}

/** `images`: of a process that keeps a copy of the registry in its state directory; null: it keeps none. `startWaitMs`: how long
 *  to wait for Redis. */
export function openRegistry(
  { config, steps, logger }: ProcessBase,
  redis: RedisStore,
  { images, ...more }: Pick<RegistryOptions, 'startWaitMs' | 'quotas'> & { readonly images: Runtime['images'] | null },
): Promise<Registry> {
  const copy = images === null ? null : { stateDir: config.stateDir, images }
  return steps.run(
    'registry',
    () => createRegistry({ redis, logger, clock: systemClock, copy, ...more }),
    (made) => made.close(),
  )
}

/** null: tracing is off. */
export function openTracing({ config, steps }: ProcessBase): Promise<Tracing | null> {
  return steps.run(
    'tracing',
    () => createTracing(config.otlpEndpoint),
    (made) => made?.close(),
  )
}

/** The durable lane; it runs nothing before its `start`. */
export function openLane(
  { config, steps, logger }: ProcessBase,
  options: Omit<DurableLaneOptions, 'stateDir' | 'clock' | 'logger' | 'keptMs'>,
): Promise<DurableLane> {
  const { stateDir, resultTtlMs: keptMs } = config
  return steps.run(
    'durable lane',
    () => createDurableLane({ stateDir, clock: systemClock, logger, keptMs, ...options }),
    (made) => made.close(),
  )
}

/** Secrets, tokens and networks: in memory, the same as in Redis. */
export async function openBooks(
  { config, steps, logger }: ProcessBase,
  redis: RedisStore,
  quotas: Quotas,
): Promise<{ readonly secrets: Secrets; readonly tokens: Tokens; readonly networks: FunctionNetworks }> {
  const { stateDir } = config
  const key = secretKey(stateDir, config.secretKeyFile)
  const documents = <T>(kind: string) =>
    steps.run(
      kind,
      () => new Documents<T>({ redis, stateDir, kind, logger }).open(),
      (made) => made.close(),
    )
  return {
    secrets: new Secrets({ documents: await documents<StoredSecret>('secrets'), key, clock: systemClock, quotas }),
    tokens: new Tokens(await documents<StoredToken>('tokens'), systemClock, quotas),
    networks: new FunctionNetworks(await documents<StoredNetwork>('networks'), systemClock, quotas),
  }
}

/** The worker of this host; it follows the secrets. */
export async function openWorker(
  { config, steps, logger }: ProcessBase,
  runtime: Runtime,
  registry: Registry,
  secrets: Secrets,
  tracing: Tracing | null,
  quotas: Quotas,
): Promise<Worker> {
  const worker = await steps.run(
    'worker',
    () =>
      createWorker({
        runtime,
        stateDir: config.stateDir,
        clock: systemClock,
        logger,
        tracing,
        memoryBytes: config.pool.sandboxMemoryBytes ?? sandboxMemoryBytes(),
        maxSandboxes: maxSandboxes(),
        queue: config.pool.queue,
        ceilings: config.ceilings,
        quotas,
        secretsOf: secrets.valuesOf,
        isPointedAt: (version) => isPointedAt(registry, version),
        reclaimAfterMs: config.reclaimAfterMs,
        stems: config.stems,
      }),
    (made) => made.close(),
  )
  secrets.onChange((changed) => worker.renew((version) => changed.some((secret) => names(version, secret))))
  return worker
}

/** Deploys onto this worker, with the secrets and networks there are. */
export async function openDeployer(
  { config, steps, logger }: ProcessBase,
  parts: {
    readonly runtime: Runtime
    readonly worker: Worker
    readonly registry: Registry
    readonly secrets: Secrets
    readonly networks: FunctionNetworks
    readonly quotas: Quotas
  },
): Promise<Deployer> {
  const { secrets, networks, ...rest } = parts
  const codeOf = (image: string) => parts.runtime.images.get(image)
  const sourceMaps = await steps.run(
    'source maps',
    () => new SourceMaps({ clock: systemClock, logger, codeOf }),
    (made) => made.close(),
  )
  return createDeployer({
    ...rest,
    logger,
    sourceMaps,
    ceilings: config.ceilings,
    hasSecret: (namespace, name) => secrets.has(namespace, name),
    hasNetwork: (namespace, name) => networks.has(namespace, name),
  })
}

/** Sandboxes of versions that no alias names, or that the registry knows no more, are destroyed, but for those `spared`. */
export async function followRegistry(
  { steps, logger }: ProcessBase,
  registry: Registry,
  worker: Worker,
  spared: (version: VersionName) => boolean,
): Promise<void> {
  const fateOf = (version: VersionName): VersionFate => (spared(version) ? 'kept' : fateIn(registry, version))
  await steps.run(
    'registry news',
    () =>
      registry.onChange(
        (change) =>
          void worker
            .retire(fateOf, change ?? undefined)
            .catch((error) => logger.warn({ error: String(error) }, 'could not retire sandboxes')),
      ),
    (stop) => stop(),
  )
}

/** Makes sandboxes of versions that callers get now and that keep some ready before the first call (`minWarm`). */
export function startProvisioned(registry: Registry, worker: Worker, logger: Logger): void {
  for (const version of provisioned(registry)) {
    worker
      .verify(version)
      .catch((error) => logger.warn({ function: version.name, error: String(error) }, 'min-warm: not started'))
  }
}

function provisioned(registry: Registry): FunctionVersion[] {
  return registry.namespaces().flatMap((namespace) =>
    registry.list(namespace).flatMap((entry) => {
      const weights = entry.aliases.latest?.weights ?? {}
      return entry.versions.filter((version) => version.config.minWarm > 0 && (weights[version.version] ?? 0) > 0)
    }),
  )
}

function names({ namespace, config }: FunctionVersion, secret: { namespace: string; name: string }): boolean {
  return namespace === secret.namespace && (config.secrets?.includes(secret.name) ?? false)
}

/** `verb`: the command that needs it. */
export function requireRoot(verb: string): void {
  if (process.platform !== 'linux') {
    throw new RuntimeError('HOST_UNSUITABLE', `Thaw needs Linux (containers, cgroups); this is ${process.platform}`)
  }
  if (process.getuid?.() !== 0) {
    throw new RuntimeError(
      'HOST_UNSUITABLE',
      `fn ${verb} must run as root (it makes cgroups, mounts and containers): sudo bin/fn ${verb}`,
    )
  }
}

/** Fails early, before anything is built, when the listen address cannot be had. */
export async function requireFreePort(listen: Config['listen']): Promise<void> {
  const probe = createServer()
  await new Promise<void>((resolve, reject) => {
    probe.once('error', reject)
    probe.listen(listen.port, listen.host, resolve)
  })
  await new Promise<void>((resolve) => probe.close(() => resolve()))
}

/** Half of the host's tasks: sandboxes together never take the last one. */
function highestPids(): number {
  const most = ['pid_max', 'threads-max'].map((name) => Number(readFileSync(`/proc/sys/kernel/${name}`, 'utf8')))
  return Math.floor(Math.min(...most) / 2)
}

export function packageVersion(): string {
  const parsed = JSON.parse(readFileSync(join(PROJECT_ROOT, 'package.json'), 'utf8')) as { version: string }
  return parsed.version
}
