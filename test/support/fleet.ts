// Processes of a fleet in miniature: members, questions, files and a lane on a test's Redis, with a scripted worker and a state
// directory of each one's own. No sandboxes.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { HostReport } from '../../runtime/api.ts'
import type { Worker } from '../../worker/api.ts'
import { Asks } from '../../worker/fleet/asks.ts'
import { FleetFiles } from '../../worker/fleet/file-client.ts'
import { createFileServer } from '../../worker/fleet/file-server.ts'
import { FleetView } from '../../worker/fleet/fleet-view.ts'
import { Members } from '../../worker/fleet/members.ts'
import { answersOf } from '../../worker/fleet/questions.ts'
import { RemoteWorker } from '../../worker/fleet/remote-worker.ts'
import { fleetSecret } from '../../worker/fleet/signature.ts'
import type { DurableLane } from '../../worker/queue/api.ts'
import { createDurableLane } from '../../worker/queue/durable-lane.ts'
import { connectRedis } from '../../worker/store/connect.ts'
import { createFakeWorker, type FakeWorker } from './fake-worker.ts'
import { realClock, silentLogger, type TestRedis } from './redis.ts'

export interface TestMember {
  readonly id: string
  readonly stateDir: string
  readonly members: Members
  readonly asks: Asks
  readonly view: FleetView
  readonly files: FleetFiles
  /** Where it gives files; null for a worker. */
  readonly filesUrl: string | null
  readonly lane: DurableLane
  /** A gateway's: down the lane; a worker's: scripted. */
  readonly worker: Worker
  close(): Promise<void>
}
export interface TestWorker extends TestMember {
  readonly worker: FakeWorker
}

const MACHINE = { cores: 2, memoryBytes: 1024 ** 3, limits: {} } as unknown as HostReport
/** Short, so that a dead worker is noticed soon. */
const LOCK_MS = 1_500

export function startGatewayMember(redis: TestRedis, id: string): Promise<TestMember> {
  return startMember(redis, id, null)
}

export async function startWorkerMember(redis: TestRedis, id: string): Promise<TestWorker> {
  const worker = createFakeWorker()
  return { ...(await startMember(redis, id, worker)), worker }
}

async function startMember(redis: TestRedis, id: string, own: FakeWorker | null): Promise<TestMember> {
  const stateDir = mkdtempSync(join(tmpdir(), `thaw-member-${id}-`))
  mkdirSync(join(stateDir, 'blobs'))
  const store = connectRedis({ socketPath: redis.socketPath }, silentLogger)
  await store.waitAvailable(5_000)
  const secret = fleetSecret(store)
  const shared = { clock: realClock, logger: silentLogger }
  const server =
    own !== null
      ? null
      : await createFileServer({
          ...shared,
          listen: { host: '127.0.0.1', port: 0 },
          stateDir,
          secret,
          images: { blobFile: (digest) => join(stateDir, 'blobs', digest.replace('sha256:', '')) },
        })
  const members = await new Members({
    ...shared,
    redis: store,
    load: () => (own === null ? null : { ...own.stats(), draining: false }),
    card: {
      id,
      role: own === null ? 'gateway' : 'worker',
      hostName: hostname(),
      pid: process.pid,
      version: '0',
      startedAt: new Date().toISOString(),
      filesUrl: server?.url ?? null,
      secretKeyId: 'key',
      machine: own === null ? null : MACHINE,
    },
  }).open()
  const asks = new Asks({ ...shared, redis: store, self: id })
  const view = new FleetView({ members, asks, redis: store, clock: realClock })
  const files = new FleetFiles({ members, secret, clock: realClock, keeps: server !== null })
  const worker: Worker = own ?? new RemoteWorker({ fleet: view, lane: () => lane, clock: realClock })
  const target = { socketPath: redis.socketPath }
  const lane: DurableLane = await createDurableLane({
    ...shared,
    target,
    worker,
    stateDir,
    files,
    runs: own !== null,
    soleOwner: false,
    lockMs: LOCK_MS,
    chance: () => 0,
  })
  if (own !== null) asks.serve(answersOf(own, { verified: () => {}, tell: () => {} }))
  await lane.start()
  await members.join()
  return {
    id,
    stateDir,
    members,
    asks,
    view,
    files,
    filesUrl: server?.url ?? null,
    lane,
    worker,
    async close() {
      await lane.close()
      asks.close()
      await members.close()
      await server?.close()
      await store.close()
      rmSync(stateDir, { recursive: true, force: true })
    },
  }
}
