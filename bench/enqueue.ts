// The durable lane: how many asynchronous calls a second are acknowledged, each on disk before its 202, with 16 clients,
// beside what BullMQ alone does. What was accepted is run afterwards; the measurement ends when all of it has.
import { join } from 'node:path'
import { run } from '../runtime/host/spawn.ts'
import { ROOT } from '../test/support/platform.ts'
import { until } from '../test/support/until.ts'
import { get } from './rounds.ts'
import { runLoad, type Subjects } from './subjects.ts'

const CLIENTS = 16
const DRAIN_DEADLINE_MS = 120_000

/** Acknowledged calls a second. */
export interface Enqueue {
  readonly thaw: number
  readonly bullmq: number
}

/** Both for `durationMs`, one after the other. */
export async function runEnqueue(subjects: Subjects, durationMs: number): Promise<Enqueue> {
  const bullmq = await runBareQueue(durationMs)
  const target = {
    ...get(subjects.platform.port, '/fn/hello'),
    headers: [{ prefer: 'respond-async' }],
    expectStatus: 202,
  }
  const { rate } = await runLoad({
    mode: 'closed',
    client: 'lean',
    target,
    connections: CLIENTS,
    durationMs,
    warmUpMs: 200,
  })
  await until(
    'the backlog has been run',
    async () => {
      const open = await subjects.platform.json<unknown[]>('/v1/invocations?function=hello&state=queued&limit=1')
      return open.length === 0
    },
    DRAIN_DEADLINE_MS,
  )
  return { thaw: rate, bullmq }
}

async function runBareQueue(durationMs: number): Promise<number> {
  const args = [join(ROOT, 'bench', 'bare-queue.ts'), `${durationMs}`, `${CLIENTS}`]
  const result = await run(process.execPath, args)
  const rate = Number(result.stdout)
  if (result.code !== 0 || !(rate > 0)) throw new Error(`bench/bare-queue.ts failed: ${result.stderr}`)
  return rate
}
