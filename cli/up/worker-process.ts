// Composition of `fn worker`: sandboxes and the dispatcher of the durable lane, without an HTTP face. What it runs it takes from the
// Redis it shares and from the gateways there; what others may ask for later it leaves with them, so that it may go any time.

import { pulledImages } from '../../worker/fleet/pulled-images.ts'
import type { Config } from '../config.ts'
import { Candidates } from './candidates.ts'
import { openFleet, requireRedisUrl, requireSecretKey } from './fleet.ts'
import { createHealthServer } from './health-server.ts'
import { openPeers } from './peers.ts'
import {
  followRegistry,
  lockState,
  openBooks,
  openLane,
  openRedis,
  openRegistry,
  openRuntime,
  openTracing,
  openWorker,
  type ProcessBase,
  requireRoot,
  startProcess,
  startProvisioned,
  watchRuntime,
} from './process-parts.ts'
import { openQuotas, shareNames } from './quotas.ts'
import { laneTrouble } from './redis-reach.ts'
import type { Steps } from './steps.ts'

export interface WorkerProcess {
  /** The id of its state directory. */
  readonly id: string
  /** Of the health listener; null: none was asked for. */
  readonly url: string | null
  readonly timings: Steps['timings']
  /** Why it is up and yet not ready; null: it is. */
  trouble(): string | null
  /** Finishes running calls for up to `drainMs`, hands the rest back to the queue, takes everything down. Never throws. */
  close(drainMs: number): Promise<void>
}

/** For the answers of calls that are handed back. */
const HAND_BACK_MS = 500
const START_WAIT_MS = 15_000
const PRUNE_MS = 3_600_000

/** As `startPlatform`, for a worker alone. `health`: where it says how it is, or null. */
export async function startWorker(
  config: Config,
  health: Config['listen'] | null,
  progress: (step: string) => void,
): Promise<WorkerProcess> {
  return await startProcess(config, progress, (base) => compose(base, health))
}

async function compose(base: ProcessBase, health: Config['listen'] | null): Promise<WorkerProcess> {
  const { config, steps, logger, progress } = base
  const target = { url: requireRedisUrl(config.redisUrl, 'worker') }
  requireRoot('worker')
  await lockState(base)
  const ownRuntime = await openRuntime(base)
  progress('connecting to Redis')
  const redis = await openRedis(base, target)
  const quotas = await openQuotas(base, redis)
  // Its own copy of the registry would say what was; a worker without Redis has nothing to run anyway.
  const registry = await openRegistry(base, redis, { images: null, startWaitMs: START_WAIT_MS })
  const { secrets } = await openBooks(base, redis, quotas)
  requireSecretKey(secrets, 'worker')
  shareNames(quotas, ownRuntime)
  const { images, host: machine } = ownRuntime
  const fleet = await openFleet(base, { redis, role: 'worker', secrets, images: null, machine })
  const creations = await watchRuntime(base, ownRuntime)
  const runtime = { ...creations.runtime, images: pulledImages(images, fleet.files) }
  const tracing = await openTracing(base)
  const worker = await openWorker(base, runtime, registry, secrets, tracing, quotas)
  const candidates = new Candidates()
  await followRegistry(base, registry, worker, (version) => candidates.has(version))
  const lane = await openLane(base, { quotas, target, worker, files: fleet.files, turnMs: fleet.turnMs, tracing })
  let stopping = false
  const trouble = () => {
    if (stopping) return 'the worker is stopping'
    return creations.trouble() ?? laneTrouble(lane, 'it runs nothing until it is back')
  }
  const server =
    health === null
      ? null
      : await steps.run(
          'health listener',
          () => createHealthServer(health, worker, lane, base.loop, quotas, trouble),
          (made) => made.close(),
        )
  await openPeers(base, { runtime, worker, registry, lane, quotas })
  await steps.run('queue', () => lane.start())
  await fleet.join(worker, (version) => candidates.add(version))
  startProvisioned(registry, worker, logger)
  const prune = async (): Promise<void> => {
    // Before Redis was read once nothing is known to be unused.
    if (!lane.available()) return
    await images.prune(new Set([...registry.images(), ...candidates.images()]))
  }
  await steps.run(
    'unused images',
    () => setInterval(() => void prune().catch(() => {}), PRUNE_MS).unref(),
    (timer) => clearInterval(timer),
  )
  return {
    id: fleet.members.self,
    url: server?.url ?? null,
    timings: steps.timings,
    trouble,
    async close(drainMs) {
      stopping = true
      // ORDER: nobody sends it anything new before it stops taking calls.
      await fleet.drain()
      const callsMs = Math.max(0, drainMs - HAND_BACK_MS)
      // The lane first: what still runs then goes back to the queue, and is not told off by the worker.
      await lane.drain(callsMs).catch(() => {})
      await worker.drain(HAND_BACK_MS)
      await steps.close()
    },
  }
}
