// Composition of `fn gateway`: the HTTP face, registry and queue, without sandboxes. Calls go down the durable lane to the workers on
// the same Redis; versions are loaded by one of them before they are kept. Needs no root.
import { type HostReport, type Runtime, RuntimeError } from '../../runtime/api.ts'
import { DiskPromises } from '../../runtime/host/disk-promises.ts'
import { openImageStore } from '../../runtime/image/image-store.ts'
import { NO_WORKER, RemoteWorker } from '../../worker/fleet/remote-worker.ts'
import type { Config, ConfigRow } from '../config.ts'
import { systemClock } from './clock.ts'
import { type FleetPlace, keepImages, openFleet, requireRedisUrl, requireSecretKey } from './fleet.ts'
import { checkFleetLimits } from './fleet-limits.ts'
import { openFront } from './front.ts'
import type { Platform } from './platform.ts'
import {
  lockState,
  openBooks,
  openDeployer,
  openLane,
  openRedis,
  openRegistry,
  openTracing,
  type ProcessBase,
  requireFreePort,
  startProcess,
} from './process-parts.ts'
import { countHeld, openQuotas } from './quotas.ts'
import { laneTrouble } from './redis-reach.ts'
import { readTlsFiles } from './tls-files.ts'

/** Of the drain, what is left for the answers of calls that did not end in time. */
const LAST_ANSWERS_MS = 500
/** Synchronous bodies go down the lane: they have its bound. */
const MOST_BODY_BYTES = 100 * 1024 ** 2

/** As `startPlatform`, for a gateway alone. */
export async function startGateway(
  config: Config,
  settings: readonly ConfigRow[],
  progress: (step: string) => void,
): Promise<Platform> {
  return await startProcess(config, progress, (base) => compose(base, settings))
}

async function compose(base: ProcessBase, settings: readonly ConfigRow[]): Promise<Platform> {
  const { config, steps } = base
  const target = { url: requireRedisUrl(config.redisUrl, 'gateway') }
  await lockState(base)
  const tls = config.tls === null ? {} : { tls: readTlsFiles(config.tls) }
  await steps.run('port', () => requireFreePort(config.listen))
  const images = await steps.run(
    'images',
    () => openImageStore(config.stateDir, () => new DiskPromises(config.stateDir).leftBytes()),
    (made) => made.close(),
  )
  const redis = await openRedis(base, target)
  const quotas = await openQuotas(base, redis)
  const registry = await openRegistry(base, redis, { images, quotas })
  const { secrets, tokens, networks } = await openBooks(base, redis, quotas)
  requireSecretKey(secrets, 'gateway')
  const fleet = await openFleet(base, { redis, role: 'gateway', secrets, images, machine: null })
  const tracing = await openTracing(base)
  const worker = new RemoteWorker({ fleet: fleet.view, lane: () => lane, clock: systemClock })
  countHeld(quotas, { registry, secrets })
  quotas.report('sandboxes', async (namespace) => (await fleet.view.sandboxes(namespace)).length)
  const lane = await openLane(base, { quotas, target, worker, runs: false, files: fleet.files, tracing })
  const runtime = runtimeOfWorkers(images, fleet)
  let stopping = false
  const trouble = () => {
    if (stopping) return 'the gateway is stopping'
    return laneTrouble(lane, 'no call can be taken') ?? (fleet.members.workers().length > 0 ? null : NO_WORKER)
  }
  const front = await openFront(base, {
    redis,
    registry,
    lane,
    worker,
    networks,
    deployer: await openDeployer(base, { runtime, worker, registry, secrets, networks, quotas }),
    secrets,
    tokens,
    quotas,
    settings,
    tls,
    runtimeHost: null,
    fleet: fleet.view,
    checkLimits: (asked) => runtime.checkLimits(asked),
    bodyLimits: { sync: MOST_BODY_BYTES, async: MOST_BODY_BYTES },
    trouble,
  })
  await lane.start()
  front.start()
  await keepImages(base, images, registry, fleet)
  await fleet.join(null, () => {})
  return {
    url: front.url,
    token: front.token,
    timings: steps.timings,
    reloadTls: front.reloadTls,
    trouble,
    async close(drainMs) {
      stopping = true
      const callsMs = Math.max(0, drainMs - LAST_ANSWERS_MS)
      await Promise.allSettled([front.close(drainMs), worker.drain(callsMs)])
      await lane.drain(0)
      await steps.close()
    },
  }
}

/** What a deploy needs of a runtime: images here, limits as the workers can enforce them, volumes nowhere. */
function runtimeOfWorkers(images: Runtime['images'], { members }: FleetPlace): Runtime {
  const machines = (): HostReport[] => members.list().flatMap(({ machine }) => (machine === null ? [] : [machine]))
  const notHere = () => Promise.reject(new RuntimeError('HOST_UNSUITABLE', 'a gateway makes no sandboxes'))
  return {
    images,
    // Any machine stands for the others; asked for anew each time.
    get host(): HostReport {
      const [first] = machines()
      if (first === undefined) throw new RuntimeError('HOST_UNSUITABLE', NO_WORKER)
      return first
    },
    volumes: {
      create: notHere,
      sizeIn: () => 0,
      list: async () => [],
      get: notOneMachine,
      remove: notHere,
      // Bound folders are checked where they are: by the worker that loads the version.
      checkBind: async () => {},
    },
    create: notHere,
    checkLimits: (asked) => checkFleetLimits(asked, machines()),
    hostBytes: (memoryBytes) => memoryBytes,
    close: async () => {},
  }
}

function notOneMachine(): Promise<never> {
  const message =
    'a named volume lies on one machine, and calls through this gateway run on any of the workers; functions with one run under fn up'
  return Promise.reject(new RuntimeError('VOLUME_INVALID', message))
}
