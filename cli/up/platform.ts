// Composition of one platform process: state lock, runtime, Redis, registry, worker, durable lane, gateway, in this order,
// each step with its undo. Nothing here decides anything; it only puts parts together.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createGateway } from '../../gateway/gateway.ts'
import { RuntimeError, spawn } from '../../runtime/api.ts'
import { makeFolder } from '../../runtime/host/durable-file.ts'
import { lockStateDir } from '../../runtime/host/lock.ts'
import { runDirOf, stateId } from '../../runtime/host/state-id.ts'
import { createRuntime } from '../../runtime/runtime.ts'
import type { FunctionVersion } from '../../worker/api.ts'
import { createDeployer } from '../../worker/deploy.ts'
import { createCallbacks } from '../../worker/queue/callbacks/deliverer.ts'
import { createDurableLane } from '../../worker/queue/durable-lane.ts'
import { createSchedules } from '../../worker/queue/schedules/scheduler.ts'
import { parseAllowList } from '../../worker/registry/destinations.ts'
import { Documents } from '../../worker/registry/documents.ts'
import { createRegistry } from '../../worker/registry/registry.ts'
import { Secrets, type StoredSecret } from '../../worker/registry/secrets.ts'
import { type StoredToken, Tokens } from '../../worker/registry/tokens.ts'
import { connectRedis } from '../../worker/store/connect.ts'
import { startEmbeddedRedis } from '../../worker/store/embedded-redis.ts'
import { createWorker } from '../../worker/worker.ts'
import { buildBootstrap } from '../bundle/bootstrap.ts'
import { type Config, type ConfigRow, PROJECT_ROOT } from '../config.ts'
import { maxSandboxes, sandboxMemoryBytes } from './capacity.ts'
import { systemClock } from './clock.ts'
import { createLogger } from './logger.ts'
import { secretKey } from './secret-key.ts'
import { createSteps, type Steps } from './steps.ts'
import { readTlsFiles } from './tls-files.ts'
import { TlsRenewal } from './tls-renewal.ts'
import { ensureToken } from './token.ts'
import { createTracing } from './tracing.ts'

export interface Platform {
  readonly url: string
  readonly token: string
  readonly timings: Steps['timings']
  /** Reads the certificate's files anew; null: the listener speaks plain HTTP. */
  readonly reloadTls: (() => void) | null
  /** Finishes running calls for up to `drainMs`, then takes everything down. Never throws. */
  close(drainMs: number): Promise<void>
}

/** Of the drain, what is left for the answers of calls that did not end in time. */
const LAST_ANSWERS_MS = 500
/** CPU shares of the platform's own processes, against 1024 of all sandboxes together. */
const PLATFORM_SHARES = 8192
/** Of the reserve, what reclaim is to leave to the platform (cgroup v2). */
const PLATFORM_MEMORY_BYTES = 256 * 1024 ** 2

/** Starts a platform. On failure everything made so far is undone and the error propagates (RuntimeError and others with a
 *  sentence that says the way out). `settings` are what `/v1/config` shows; `progress` is told each step as it begins. */
export async function startPlatform(
  config: Config,
  settings: readonly ConfigRow[],
  progress: (step: string) => void,
): Promise<Platform> {
  const logger = createLogger(config.log)
  const steps = createSteps(logger)
  try {
    return await compose(config, settings, steps, logger, progress)
  } catch (error) {
    await steps.close()
    throw error
  }
}

async function compose(
  config: Config,
  settings: readonly ConfigRow[],
  steps: Steps,
  logger: ReturnType<typeof createLogger>,
  progress: (step: string) => void,
): Promise<Platform> {
  const clock = systemClock
  const { stateDir } = config
  requireRoot()
  await makeFolder(stateDir, 0o700)
  // ORDER: the lock comes before anything that cleans up after a killed platform of this state directory.
  await steps.run(
    'state lock',
    () => lockStateDir(stateDir),
    (lock) => lock.release(),
  )
  const tls = config.tls === null ? {} : { tls: readTlsFiles(config.tls) }
  await steps.run('port', () => requireFreePort(config.listen))
  progress('preparing the runtime')
  const memoryBytes = sandboxMemoryBytes()
  const bootstrap = await steps.run('bootstrap', () => buildBootstrap(join(stateDir, 'cache')))
  const runtime = await steps.run(
    'runtime',
    () =>
      createRuntime({
        stateDir,
        ociRuntime: config.ociRuntime,
        volumeRoots: config.volumeRoots,
        bootstrap,
        nodeBinary: process.execPath,
        logger,
        clock,
        ...(config.zramBytes === null ? {} : { zramBytes: config.zramBytes }),
        totals: { memoryBytes, pids: highestPids() },
        reserve: { cpuShares: PLATFORM_SHARES, memoryBytes: PLATFORM_MEMORY_BYTES },
      }),
    (made) => made.close(),
  )
  progress('starting Redis')
  const runDir = runDirOf(await stateId(stateDir))
  const embedded =
    config.redisUrl === null
      ? await steps.run(
          'redis',
          () => startEmbeddedRedis({ stateDir, runDir, spawn, logger, clock }),
          (made) => made.stop(),
        )
      : null
  const target = embedded ? { socketPath: embedded.socketPath } : { url: config.redisUrl ?? '' }
  const redis = await steps.run(
    'redis connection',
    () => connectRedis(target, logger),
    (made) => made.close(),
  )
  const registry = await steps.run(
    'registry',
    () => createRegistry({ redis, images: runtime.images, logger, clock }),
    (made) => made.close(),
  )
  const key = secretKey(stateDir, config.secretKeyFile)
  const documents = <T>(kind: string) =>
    steps.run(
      kind,
      () => new Documents<T>({ redis, stateDir, kind, logger }).open(),
      (made) => made.close(),
    )
  const secrets = new Secrets({ documents: await documents<StoredSecret>('secrets'), key, clock })
  const tokens = new Tokens(await documents<StoredToken>('tokens'), clock)
  const tracing = await steps.run(
    'tracing',
    () => createTracing(config.otlpEndpoint),
    (made) => made?.close(),
  )
  const worker = await steps.run(
    'worker',
    () =>
      createWorker({
        runtime,
        stateDir,
        clock,
        logger,
        tracing,
        memoryBytes,
        maxSandboxes: maxSandboxes(),
        ceilings: config.ceilings,
        secretsOf: secrets.valuesOf,
        reclaimAfterMs: config.reclaimAfterMs,
        stems: config.stems,
      }),
    (made) => made.close(),
  )
  secrets.onChange((changed) => worker.renew((version) => changed.some((secret) => names(version, secret))))
  const hasSecret = (namespace: string, name: string) => secrets.has(namespace, name)
  const deployer = createDeployer({ runtime, worker, registry, logger, ceilings: config.ceilings, hasSecret })
  await steps.run(
    'registry news',
    () =>
      registry.onChange(
        () =>
          void worker
            .retire((version) => deployer.isDeploying(version) || isKept(registry, version))
            .catch((error) => logger.warn({ error: String(error) }, 'could not retire sandboxes')),
      ),
    (stop) => stop(),
  )
  const lane = await steps.run(
    'durable lane',
    () => createDurableLane({ target, worker, stateDir, clock, logger, keptMs: config.resultTtlMs, tracing }),
    (made) => made.close(),
  )
  const schedules = await steps.run(
    'schedules',
    () => createSchedules({ redis, lane, registry, clock, logger }),
    (made) => made.close(),
  )
  const callbacks = await steps.run(
    'callbacks',
    () => createCallbacks({ redis, lane, registry, clock, logger, allow: parseAllowList(config.callbackAllow) }),
    (made) => made.close(),
  )
  const token = config.token ?? ensureToken(stateDir)
  let ready = false
  const gateway = await steps.run(
    'gateway',
    () =>
      createGateway({
        worker,
        deployer,
        registry,
        lane,
        schedules,
        callbacks,
        runtimeHost: runtime.host,
        token,
        tokens,
        secrets,
        volumes: runtime.volumes,
        listen: config.listen,
        hosts: config.hosts,
        stateDir,
        logger,
        clock,
        version: packageVersion(),
        checkLimits: (asked) => runtime.checkLimits(asked),
        config: settings,
        behindProxy: config.behindProxy,
        ...tls,
        ready: () =>
          !ready
            ? { ready: false, reason: 'the platform is starting or stopping' }
            : lane.available()
              ? { ready: true }
              : { ready: false, reason: 'Redis is away: synchronous calls work, asynchronous ones and deploys do not' },
      }),
    (made) => made.close(0),
  )
  const renewal = config.tls === null ? null : new TlsRenewal(config.tls, clock, logger, (tls) => gateway.renewTls(tls))
  await steps.run(
    'certificate',
    () => renewal,
    (made) => made?.close(),
  )
  await steps.run('queue', () => lane.start())
  schedules.start()
  callbacks.start()
  ready = true
  for (const version of provisioned(registry)) {
    worker
      .verify(version)
      .catch((error) => logger.warn({ function: version.name, error: String(error) }, 'min-warm: not started'))
  }
  return {
    url: gateway.url,
    token,
    timings: steps.timings,
    reloadTls: renewal === null ? null : () => renewal.reload(),
    async close(drainMs) {
      ready = false
      // ORDER: calls that outlive the drain are answered before their connections are closed.
      const callsMs = Math.max(0, drainMs - LAST_ANSWERS_MS)
      const drained = [gateway.close(drainMs), lane.drain(callsMs), worker.drain(callsMs)]
      await Promise.allSettled(drained)
      await steps.close()
    },
  }
}

/** Versions that callers get now and that keep sandboxes ready before the first call (`minWarm`). */
function provisioned(registry: Awaited<ReturnType<typeof createRegistry>>): FunctionVersion[] {
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

function isKept(
  registry: Awaited<ReturnType<typeof createRegistry>>,
  version: { namespace: string; name: string; version: number },
): boolean {
  try {
    return registry.get(version.namespace, version.name).versions.some((entry) => entry.version === version.version)
  } catch {
    return false
  }
}

function requireRoot(): void {
  if (process.platform !== 'linux') {
    throw new RuntimeError('HOST_UNSUITABLE', `Thaw needs Linux (containers, cgroups); this is ${process.platform}`)
  }
  if (process.getuid?.() !== 0) {
    throw new RuntimeError(
      'HOST_UNSUITABLE',
      'fn up must run as root (it makes cgroups, mounts and containers): sudo bin/fn up',
    )
  }
}

/** Fails early, before anything is built, when the listen address cannot be had. */
async function requireFreePort(listen: Config['listen']): Promise<void> {
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

function packageVersion(): string {
  const parsed = JSON.parse(readFileSync(join(PROJECT_ROOT, 'package.json'), 'utf8')) as { version: string }
  return parsed.version
}
