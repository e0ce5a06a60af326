// Jobs that were handed out and cannot be run here: what only a newer release can read waits for it; all else ends its call, so that
// nothing is fetched again and again.
import type { Clock, Logger } from '../../runtime/api.ts'
import type { JobQueues, UnreadableJob } from './job-queues.ts'
import { JOB_UNREADABLE } from './lost-calls.ts'
import type { ReconcileStore } from './reconcile-store.ts'

export interface UnreadableParts {
  readonly store: ReconcileStore
  readonly jobs: Pick<JobQueues, 'defer'>
  readonly clock: Clock
  readonly logger: Logger
  /** A call was ended. */
  ended(id: string): void
}

/** So long until the next try of one that a newer release queued. */
const NEWER_MS = 15_000

/** Rejects when Redis is away: the job's lock runs out then, and it is handed out again. */
export async function settleUnreadable(job: UnreadableJob, parts: UnreadableParts): Promise<void> {
  const { store, jobs, clock, logger, ended } = parts
  const { id, queueKey, token, newer } = job
  const nowMs = clock.now()
  if (newer !== null && nowMs < newer.expiresAtMs) {
    logger.debug({ id, queue: queueKey }, 'a call of a newer release waits for one')
    return await jobs.defer(job, nowMs + NEWER_MS, NEWER_MS)
  }
  if (!(await store.endUnreadable(queueKey, id, token, JOB_UNREADABLE, nowMs))) return
  logger.error({ id, queue: queueKey }, 'a call was ended: what the queue holds of it cannot be read')
  ended(id)
}
