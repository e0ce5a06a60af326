// Composition of one platform process: state lock, runtime, Redis, registry, worker, durable lane, gateway, in this order,
// each step with its undo. Nothing here decides anything; it only puts parts together.
import { spawn } from '../../runtime/api.ts'
import { kernelId } from '../../runtime/host/kernel-id.ts'
import { runDirOf } from '../../runtime/host/state-id.ts'
import { jointWorker } from '../../worker/fleet/joint-worker.ts'
import { pulledImages } from '../../worker/fleet/pulled-images.ts'
import { type EmbeddedRedis, startEmbeddedRedis } from '../../worker/store/embedded-redis.ts'
import type { Config, ConfigRow } from '../config.ts'
import { Candidates } from './candidates.ts'
import { redisMemoryBytes } from './capacity.ts'
import { systemClock } from './clock.ts'
import { roomTrouble } from './disk-room.ts'
import { keepImages, openFleet } from './fleet.ts'
import { openFront } from './front.ts'
import {
  followRegistry,
  lockState,
  openBooks,
  openDeployer,
  openLane,
  openRedis,
  openRegistry,
  openRuntime,
  openTracing,
  openWorker,
  type ProcessBase,
  requireFreePort,
  requireRoot,
  startProcess,
  startProvisioned,
  watchRuntime,
} from './process-parts.ts'
import { countHeld, openQuotas, shareNames } from './quotas.ts'
import { laneTrouble } from './redis-reach.ts'
import type { Steps } from './steps.ts'
import { readTlsFiles } from './tls-files.ts'

export interface Platform {
  readonly url: string
  readonly token: string
  readonly timings: Steps['timings']
  /** Reads the certificate's files anew; null: the listener speaks plain HTTP. */
  readonly reloadTls: (() => void) | null
  /** What `/readyz` gives as its reason; null: ready. */
  trouble(): string | null
  /** Finishes running calls for up to `drainMs`, then takes everything down. Never throws. */
  close(drainMs: number): Promise<void>
}

/** Of the drain, what is left for the answers of calls that did not end in time. */
const LAST_ANSWERS_MS = 500

/** Starts a platform. On failure everything made so far is undone and the error propagates (RuntimeError and others with a
 *  sentence that says the way out). `settings` are what `/v1/config` shows; `progress` is told each step as it begins. */
export async function startPlatform(
  config: Config,
  settings: readonly ConfigRow[],
  progress: (step: string) => void,
): Promise<Platform> {
  return await startProcess(config, progress, (base) => compose(base, settings))
}

async function compose(base: ProcessBase, settings: readonly ConfigRow[]): Promise<Platform> {
  const { config, steps, logger, progress } = base
  requireRoot('up')
  await lockState(base)
  const tls = config.tls === null ? {} : { tls: readTlsFiles(config.tls) }
  await steps.run('port', () => requireFreePort(config.listen))
  const ownRuntime = await openRuntime(base)
  progress('starting Redis')
  const ownRedis = config.redisUrl === null ? await startOwnRedis(base) : null
  const target = ownRedis ?? { url: config.redisUrl ?? '' }
  const redis = await openRedis(base, target)
  const quotas = await openQuotas(base, redis)
  const registry = await openRegistry(base, redis, { images: ownRuntime.images, quotas })
  const { secrets, tokens, networks } = await openBooks(base, redis, quotas)
  shareNames(quotas, ownRuntime)
  const { images, host: machine } = ownRuntime
  const isShared = config.redisUrl !== null
  const fleet = isShared ? await openFleet(base, { redis, role: 'platform', secrets, images, machine }) : null
  const pulled = fleet === null ? {} : { images: pulledImages(images, fleet.files) }
  const { runtime, trouble: unmade } = await watchRuntime(base, { ...ownRuntime, ...pulled })
  const tracing = await openTracing(base)
  const worker = await openWorker(base, runtime, registry, secrets, tracing, quotas)
  const deployer = await openDeployer(base, { runtime, worker, registry, secrets, networks, quotas })
  const candidates = new Candidates()
  await followRegistry(base, registry, worker, (version) => deployer.isDeploying(version) || candidates.has(version))
  countHeld(quotas, { registry, secrets })
  const lane = await openLane(base, { quotas, target, worker, tracing, files: fleet?.files ?? null })
  let ready = false
  const trouble = () => {
    if (!ready) return 'the platform is starting or stopping'
    // `/readyz` is open to all: it says what is wrong, not where things lie.
    const known = ownRedis?.reason() ?? ownRedis?.lastEnd()
    const why = known?.replaceAll(config.stateDir, '$FN_STATE_DIR') ?? null
    const without = 'synchronous calls work, asynchronous ones and deploys do not'
    const room = ownRedis === null ? null : roomTrouble(config.stateDir, without)
    // A full disk is why Redis is away, and not the other way round.
    return unmade()?.replaceAll(config.stateDir, '$FN_STATE_DIR') ?? room ?? laneTrouble(lane, without, why)
  }
  const front = await openFront(base, {
    redis,
    registry,
    lane,
    worker: fleet === null ? worker : jointWorker(worker, fleet.view),
    deployer,
    secrets,
    tokens,
    quotas,
    settings,
    tls,
    runtimeHost: runtime.host,
    volumes: runtime.volumes,
    networks,
    sandboxNetworks: runtime.networks,
    checkLimits: (asked) => runtime.checkLimits(asked),
    ...(fleet === null ? {} : { fleet: fleet.view }),
    trouble,
  })
  await steps.run('queue', () => lane.start())
  front.start()
  if (fleet !== null) await keepImages(base, images, registry, fleet)
  await fleet?.join(worker, (version) => candidates.add(version))
  ready = true
  startProvisioned(registry, worker, logger)
  return {
    url: front.url,
    token: front.token,
    timings: steps.timings,
    reloadTls: front.reloadTls,
    trouble,
    async close(drainMs) {
      ready = false
      await fleet?.drain()
      // ORDER: calls that outlive the drain are answered before their connections are closed.
      const callsMs = Math.max(0, drainMs - LAST_ANSWERS_MS)
      await Promise.allSettled([front.close(drainMs), lane.drain(callsMs), worker.drain(callsMs)])
      await steps.close()
    },
  }
}

/** Where it listens. It dies with this process, and is started again when it dies alone. */
async function startOwnRedis({ config, steps, logger }: ProcessBase): Promise<EmbeddedRedis> {
  const { stateDir } = config
  const maxMemoryBytes = config.redisMemoryBytes ?? redisMemoryBytes()
  const runDir = runDirOf(await kernelId(stateDir))
  return await steps.run(
    'redis',
    () => startEmbeddedRedis({ stateDir, runDir, spawn, logger, clock: systemClock, maxMemoryBytes }),
    (made) => made.stop(),
  )
}
