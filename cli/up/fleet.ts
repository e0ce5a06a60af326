// This process among others on the same Redis: who is there, questions and answers, files. Nothing of it exists for a platform with
// a Redis of its own.
import { hostname } from 'node:os'
import { type HostReport, type ImageStore, RuntimeError } from '../../runtime/api.ts'
import { stateId } from '../../runtime/host/state-id.ts'
import type { FunctionVersion, Worker } from '../../worker/api.ts'
import type { FleetRole, MemberLoad } from '../../worker/fleet/api.ts'
import { Asks } from '../../worker/fleet/asks.ts'
import { EventRelay } from '../../worker/fleet/event-relay.ts'
import { FleetFiles } from '../../worker/fleet/file-client.ts'
import { createFileServer, type FileServer } from '../../worker/fleet/file-server.ts'
import { FleetView } from '../../worker/fleet/fleet-view.ts'
import { mirrorImages } from '../../worker/fleet/image-mirror.ts'
import { Members } from '../../worker/fleet/members.ts'
import { answersOf } from '../../worker/fleet/questions.ts'
import { type FleetSecret, fleetSecret } from '../../worker/fleet/signature.ts'
import { turnMs } from '../../worker/fleet/turns.ts'
import type { Secrets } from '../../worker/registry/secrets.ts'
import type { RedisStore } from '../../worker/store/connect.ts'
import { systemClock } from './clock.ts'
import { type ProcessBase, packageVersion, type Registry } from './process-parts.ts'

export interface FleetPlace {
  readonly members: Members
  readonly files: FleetFiles
  readonly view: FleetView
  /** How long this worker leaves a call of a function to others. */
  readonly turnMs: (functionKey: string) => number
  /** From here on the others see it, and ask `worker`. `verified` is told of versions before they are loaded. */
  join(worker: Worker | null, verified: (version: FunctionVersion) => void): Promise<void>
  /** Takes no more calls: the others are to know. */
  drain(): Promise<void>
}

export interface FleetParts {
  readonly redis: RedisStore
  readonly role: FleetRole
  readonly secrets: Secrets
  /** Of a process that keeps files; null: it keeps none. */
  readonly images: Pick<ImageStore, 'blobFile'> | null
  /** null: it has no sandboxes. */
  readonly machine: HostReport | null
}

/** Opens what the fleet needs; the others see nothing before `join`. */
export async function openFleet(base: ProcessBase, parts: FleetParts): Promise<FleetPlace> {
  const { config, steps, logger } = base
  const { redis, role, secrets, images, machine } = parts
  const clock = systemClock
  const secret = fleetSecret(redis)
  const id = await stateId(config.stateDir)
  const server = images === null ? null : await openFileListener(base, images, secret)
  const place: { worker: Worker | null; draining: boolean } = { worker: null, draining: false }
  const members = await steps.run(
    'fleet',
    () =>
      new Members({
        redis,
        clock,
        logger,
        load: () => (place.worker === null ? null : loadOf(place.worker, place.draining)),
        card: {
          id,
          role,
          hostName: hostname(),
          pid: process.pid,
          version: packageVersion(),
          startedAt: new Date(clock.now()).toISOString(),
          filesUrl: server?.url ?? null,
          secretKeyId: secrets.keyId,
          machine,
        },
      }).open(),
    (made) => made.close(),
  )
  const asks = await steps.run(
    'questions',
    () => new Asks({ redis, self: id, clock, logger }),
    (made) => made.close(),
  )
  const view = new FleetView({ members, asks, redis, clock })
  const relay: { current: EventRelay | null } = { current: null }
  await steps.run(
    'events',
    () => relay,
    () => relay.current?.close(),
  )
  return {
    members,
    files: new FleetFiles({ members, secret, clock, keeps: images !== null }),
    view,
    turnMs: (functionKey) => turnMs(functionKey, id, members.workerIds()),
    async join(worker, verified) {
      place.worker = worker
      if (worker !== null) {
        const events = new EventRelay(redis, id, clock, worker)
        relay.current = events
        view.include(worker)
        asks.serve(answersOf(worker, { verified, tell: () => events.tell() }))
      }
      await members.join()
    },
    async drain() {
      place.draining = true
      await members.beatNow()
    },
  }
}

/** Where other processes get layers, bodies and results of this one. */
function openFileListener(
  { config, steps, logger }: ProcessBase,
  images: NonNullable<FleetParts['images']>,
  secret: FleetSecret,
): Promise<FileServer> {
  const { stateDir, filesListen: listen } = config
  return steps.run(
    'file listener',
    () => createFileServer({ listen, stateDir, images, secret, clock: systemClock, logger }),
    (made) => made.close(),
  )
}

function loadOf(worker: Worker, draining: boolean): MemberLoad {
  return { ...worker.stats(), draining }
}

/** Images of others' deploys come here too. */
export async function keepImages(
  { steps, logger }: ProcessBase,
  images: ImageStore,
  registry: Registry,
  { files }: FleetPlace,
): Promise<void> {
  await steps.run(
    'image mirror',
    () => mirrorImages({ images, registry, files, clock: systemClock, logger }),
    (stop) => stop(),
  )
}

/** Throws RuntimeError HOST_UNSUITABLE when there are secrets this process could not read. */
export function requireSecretKey(secrets: Secrets, verb: string): void {
  const foreign = secrets.unreadable()
  if (foreign.length === 0) return
  const shown = `${foreign.slice(0, 3).join(', ')}${foreign.length > 3 ? ` and ${foreign.length - 3} more` : ''}`
  throw new RuntimeError(
    'HOST_UNSUITABLE',
    `the secrets ${shown} were encrypted with another key than this process has; give all processes the same: copy \`secret-key\` from the state directory of the one that set them, then FN_SECRET_KEY_FILE=/path/to/key fn ${verb}`,
  )
}

/** Throws RuntimeError HOST_UNSUITABLE. */
export function requireRedisUrl(redisUrl: string | null, verb: string): string {
  if (redisUrl !== null) return redisUrl
  throw new RuntimeError(
    'HOST_UNSUITABLE',
    `it needs a Redis that it shares with the others: REDIS_URL=redis://host:6379 fn ${verb} (fn up is gateway and worker in one, with a Redis of its own)`,
  )
}
