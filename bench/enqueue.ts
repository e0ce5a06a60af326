// The durable lane: how many asynchronous calls a second are acknowledged, each on disk before its 202, with 16 clients.
// What was accepted is run afterwards; the measurement ends when all of it has.
import { until } from '../test/support/until.ts'
import { get } from './rounds.ts'
import { runLoad, type Subjects } from './subjects.ts'

const CLIENTS = 16
const DRAIN_DEADLINE_MS = 120_000

/** Acknowledged calls a second over `durationMs`. */
export async function runEnqueue(subjects: Subjects, durationMs: number): Promise<number> {
  const target = {
    ...get(subjects.platform.port, '/fn/hello'),
    headers: [{ prefer: 'respond-async' }],
    expectStatus: 202,
  }
  const { rate } = await runLoad({ mode: 'closed', target, connections: CLIENTS, durationMs, warmUpMs: 200 })
  await until(
    'the backlog has been run',
    async () => {
      const open = await subjects.platform.json<unknown[]>('/v1/invocations?function=hello&state=queued&limit=1')
      return open.length === 0
    },
    DRAIN_DEADLINE_MS,
  )
  return rate
}
