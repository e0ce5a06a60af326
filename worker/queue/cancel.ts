// Cancels a call wherever it is: waiting (removed), running here (signal, kill after 2 s), running elsewhere (told by channel).
import type { Clock } from '../../runtime/api.ts'
import type { InvocationRecord } from '../api.ts'
import { QueueError } from './api.ts'
import type { Attempt } from './attempt.ts'
import { queueKeyOf } from './envelope.ts'
import { removeFile } from './files.ts'
import type { InvocationStore } from './invocation-store.ts'
import type { JobQueues } from './job-queues.ts'
import { finalRecord, isOpen } from './records.ts'
import type { Waiters } from './waiters.ts'

export interface CancelParts {
  readonly store: InvocationStore
  readonly jobs: JobQueues
  readonly waiters: Waiters
  readonly clock: Clock
  readonly bodiesDir: string
  /** Told of a call that ended here. */
  readonly ended: (record: InvocationRecord) => void
}

/** Longer than the grace of a running call and its accounting. */
const PATIENCE_MS = 15_000
const STEP_MS = 250

/** Resolves to the record, ended in all but the rarest cases. Throws INVOCATION_NOT_FOUND | NOT_CANCELLABLE. */
export async function cancelCall(
  id: string,
  running: () => Attempt | undefined,
  parts: CancelParts,
): Promise<InvocationRecord> {
  const deadline = parts.clock.monotonicMs() + PATIENCE_MS
  let record = await parts.store.record(id)
  if (record === null) throw new QueueError('INVOCATION_NOT_FOUND', `no asynchronous invocation ${id.slice(0, 80)}`)
  if (!isOpen(record.state)) throw new QueueError('NOT_CANCELLABLE', `the call ${id} is over: ${record.state}`)
  while (isOpen(record.state) && parts.clock.monotonicMs() < deadline) {
    const waiting = parts.waiters.wait(id, STEP_MS)
    const attempt = running()
    if (attempt !== undefined) attempt.cancel()
    else {
      const ended = await endWaiting(record, parts)
      if (ended !== null) return ended
      await parts.store.announceCancel(id)
    }
    await waiting.news
    record = (await parts.store.record(id)) ?? record
  }
  return record
}

/** Nobody waits for it any more: taken out where it waits; else whoever runs it is told. */
export async function leaveCall(id: string, parts: CancelParts): Promise<void> {
  const record = await parts.store.record(id)
  if (record === null || !isOpen(record.state)) return
  if ((await endWaiting(record, parts)) === null) await parts.store.announceLeave(id)
}

/** null: somebody runs it. */
async function endWaiting(record: InvocationRecord, { store, jobs, clock, bodiesDir, ended: tell }: CancelParts) {
  // Its record does not say in which of the function's queues it is.
  const version = { namespace: record.namespace, name: record.function }
  const queueKeys = [queueKeyOf(version), queueKeyOf(version, true)]
  const error = { code: 'CANCELLED', component: 'queue', message: 'the call was cancelled' } as const
  const ended = finalRecord(record, null, 'cancelled', error, clock.now())
  const envelopes = await Promise.all(queueKeys.map((key) => jobs.envelope(key, record.id)))
  const notify = envelopes.find((envelope) => envelope !== null)?.notify ?? null
  if (!(await store.endWaiting(ended, queueKeys, notify))) return null
  await removeFile(bodiesDir, record.id)
  tell(ended)
  return ended
}
