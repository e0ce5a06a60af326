// A durable lane on a test's Redis with a scripted worker, and submissions to it.
import { v7 } from 'uuid'
import type { InvocationFailure, Worker } from '../../worker/api.ts'
import type { DurableLane, Submission } from '../../worker/queue/api.ts'
import { createDurableLane, type DurableLaneOptions } from '../../worker/queue/durable-lane.ts'
import { realClock, silentLogger, type TestRedis } from './redis.ts'
import { versionOf } from './samples.ts'

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

/** A call of function `name` with the body `hello`. */
export function submissionOf(name: string, changes: Partial<Submission> = {}): Submission {
  return {
    id: v7(),
    version: versionOf(name),
    method: 'POST',
    target: '/',
    headers: [],
    body: Buffer.from('hello'),
    limits: {},
    timeoutMs: null,
    traceparent: null,
    delayMs: 0,
    priority: 0,
    maxAttempts: null,
    maxAgeMs: 6 * 3_600_000,
    idempotencyKey: null,
    caller: 'anonymous',
    ...changes,
  }
}

export function threw(message: string): InvocationFailure {
  return { code: 'FUNCTION_THREW', component: 'function', message }
}
