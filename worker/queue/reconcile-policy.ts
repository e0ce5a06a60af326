// What is wrong where a call's record and its job disagree, and what puts it right. Pure: one table.

export type RecordClass =
  /** there is none */
  | 'none'
  /** accepted and never run: its job says all */
  | 'accepted'
  | 'queued'
  | 'running'
  /** it is over */
  | 'ended'
export type JobClass =
  | 'none'
  /** it has a place in its queue, or something of its fields is left, and what it carries is gone */
  | 'hollow'
  /** in its queue, now or for its time */
  | 'waiting'
  /** a process runs it */
  | 'locked'
  /** handed out, and no process renews its lock */
  | 'unlocked'
  /** in no list: it will never be fetched */
  | 'adrift'

export type Mending =
  /** back into its queue, with a record that says so; whether the call may run (again) is decided when it is fetched */
  | 'requeue'
  /** the call cannot run any more: failed, with a dead letter where it is shown */
  | 'end'
  /** the job is removed */
  | 'drop'
  /** the job is right: the record is written, or says what the job is */
  | 'record'

/** null: they agree. */
export const MENDINGS = {
  none: { none: null, hollow: 'drop', waiting: 'record', locked: null, unlocked: 'requeue', adrift: 'requeue' },
  // Record and job are written together: a record without its job is a call that was accepted and lost.
  accepted: { none: 'end', hollow: 'end', waiting: null, locked: null, unlocked: 'requeue', adrift: 'requeue' },
  queued: { none: 'end', hollow: 'end', waiting: null, locked: null, unlocked: 'requeue', adrift: 'requeue' },
  // Put back when the platform died under it: it waits, however long, and says so.
  running: { none: 'end', hollow: 'end', waiting: 'record', locked: null, unlocked: 'requeue', adrift: 'requeue' },
  // The end is written together with the job's, so that such a job is left from elsewhere.
  ended: { none: null, hollow: 'drop', waiting: 'drop', locked: null, unlocked: 'drop', adrift: 'drop' },
} as const satisfies Record<RecordClass, Record<JobClass, Mending | null>>

export function mendingOf(record: RecordClass, job: JobClass): Mending | null {
  return MENDINGS[record][job]
}
