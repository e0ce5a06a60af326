// A durable lane on a test's Redis with a scripted worker.
import type { InvocationFailure, Worker } from '../../worker/api.ts'
import type { DurableLane } from '../../worker/queue/api.ts'
import { createDurableLane, type DurableLaneOptions } from '../../worker/queue/durable-lane.ts'
import { realClock, silentLogger, type TestRedis } from './redis.ts'

export { submissionOf } from './samples.ts'

/** Not started yet. Whoever opens it closes it. */
export function openLane(
  redis: TestRedis,
  worker: Worker,
  changes: Partial<DurableLaneOptions> = {},
): Promise<DurableLane> {
  const { stateDir, socketPath } = redis
  const base = { target: { socketPath }, worker, stateDir, clock: realClock, logger: silentLogger, chance: () => 0 }
  return createDurableLane({ ...base, ...changes })
}

export function threw(message: string): InvocationFailure {
  return { code: 'FUNCTION_THREW', component: 'function', message }
}
