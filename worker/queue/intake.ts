// Takes a call in: body, idempotency key, record, job, in the order that makes an acknowledged call safe.
import type { Clock } from '../../runtime/api.ts'
import { QueueError, type Submission } from './api.ts'
import { type Envelope, type EnvelopeBody, makeEnvelope, queueKeyOf } from './envelope.ts'
import { isDiskError, type SpooledBody, spoolBody } from './files.ts'
import { type InvocationStore, KEPT_MS } from './invocation-store.ts'
import type { JobQueues } from './job-queues.ts'
import { isOpen, queuedRecord } from './records.ts'

export interface IntakeOptions {
  readonly store: InvocationStore
  readonly jobs: JobQueues
  readonly clock: Clock
  readonly bodiesDir: string
  readonly bodyMaxBytes: number
  /** Space left where Redis and bodies are written; null: they lie elsewhere. */
  readonly freeBytes: (() => Promise<number>) | null
}
export interface Accepted {
  readonly id: string
  readonly duplicate: boolean
  readonly notBeforeMs: number
}

const ADD_DEADLINE_MS = 6_000
const DOUBTS_MAX = 1_000
/** Kept free, so that what was accepted can be finished: Redis ends itself when it cannot write. */
const RESERVE_BYTES = 16 * 1024 ** 2
const SPACE_KNOWN_MS = 200

export class Intake {
  readonly #options: IntakeOptions
  /** Calls whose add was not confirmed: the record may speak of a job that is not there. */
  readonly #doubts = new Map<string, { readonly queueKey: string; readonly namespace: string }>()

  #spaceAskedMs = Number.NEGATIVE_INFINITY
  #enoughSpace = true

  constructor(options: IntakeOptions) {
    this.#options = options
  }

  /** On disk when it resolves. Throws QueueError BODY_TOO_LARGE | BODY_ABORTED | IDEMPOTENCY_MISMATCH | QUEUE_UNAVAILABLE, or Redis's error. */
  async accept(submission: Submission): Promise<Accepted> {
    await this.#checkSpace()
    const body = await this.#spool(submission)
    try {
      const earlier = await this.#claim(submission, body.hash)
      const id = earlier ?? submission.id
      if (earlier !== null && (await this.#isOver(earlier))) {
        await body.file?.discard()
        return { id, duplicate: true, notBeforeMs: 0 }
      }
      // ORDER: body, then record, then job: a job never lacks what it needs.
      const stored = await this.#storeBody(id, body)
      const envelope = makeEnvelope(id, submission, stored, this.#options.clock.now())
      await this.#add(envelope)
      return { id, duplicate: earlier !== null, notBeforeMs: envelope.notBeforeMs }
    } catch (error) {
      await body.file?.discard()
      throw isDiskError(error) ? diskFull(error) : error
    }
  }

  /** Forgets the records of calls that were refused and have no job. A call that did arrive stays and runs. */
  async settleDoubts(): Promise<void> {
    for (const [id, { queueKey, namespace }] of [...this.#doubts]) {
      try {
        if (!(await this.#options.jobs.exists(queueKey, id))) await this.#options.store.forget(id, namespace)
        this.#doubts.delete(id)
      } catch {
        return
      }
    }
  }

  async #checkSpace(): Promise<void> {
    const { freeBytes, clock } = this.#options
    if (freeBytes === null) return
    const nowMs = clock.monotonicMs()
    if (nowMs > this.#spaceAskedMs + SPACE_KNOWN_MS) {
      this.#spaceAskedMs = nowMs
      // What cannot be asked is not refused: the write itself will tell.
      this.#enoughSpace = await freeBytes().then(
        (bytes) => bytes > RESERVE_BYTES,
        () => true,
      )
    }
    if (!this.#enoughSpace) throw diskFull(null)
  }

  async #spool(submission: Submission): Promise<SpooledBody> {
    try {
      return await spoolBody(submission.body, this.#options.bodiesDir, this.#options.bodyMaxBytes)
    } catch (error) {
      throw isDiskError(error) ? diskFull(error) : error
    }
  }

  /** The id of an earlier call with this key, or null. */
  async #claim(submission: Submission, bodyHash: string): Promise<string | null> {
    if (submission.idempotencyKey === null) return null
    const { version, caller, idempotencyKey, method, target, id } = submission
    const hash = `${method} ${target} ${bodyHash}`
    const scope = [version.namespace, version.name, caller, idempotencyKey]
    const earlier = await this.#options.store.claim(scope, { id, hash })
    if (earlier === null || earlier.id === id) return null
    if (earlier.hash !== hash) {
      throw new QueueError('IDEMPOTENCY_MISMATCH', 'this idempotency key was used with another request')
    }
    return earlier.id
  }

  async #isOver(id: string): Promise<boolean> {
    const record = await this.#options.store.record(id)
    return record !== null && !isOpen(record.state)
  }

  async #storeBody(id: string, body: SpooledBody): Promise<EnvelopeBody> {
    if (body.file !== null) {
      await body.file.commit(id)
      return { kind: 'file', bytes: body.file.bytes }
    }
    if (body.inline === null) return { kind: 'none' }
    return { kind: 'inline', base64: body.inline.toString('base64') }
  }

  /** Record and job leave in one burst. Both may be repeated: the same id is the same call. */
  async #add(envelope: Envelope): Promise<void> {
    const { store, jobs, clock } = this.#options
    const queueKey = queueKeyOf(envelope.version)
    const keepMs = envelope.expiresAtMs - clock.now() + 2 * KEPT_MS
    const recorded = store.accept(queuedRecord(envelope), queueKey, keepMs)
    const added = withDeadline(jobs.add(queueKey, envelope, envelope.acceptedAtMs), ADD_DEADLINE_MS, clock)
    const [record, job] = await Promise.allSettled([recorded, added])
    if (record.status === 'fulfilled' && job.status === 'fulfilled') return
    if (this.#doubts.size < DOUBTS_MAX)
      this.#doubts.set(envelope.id, { queueKey, namespace: envelope.version.namespace })
    throw record.status === 'rejected' ? record.reason : (job as PromiseRejectedResult).reason
  }
}

function withDeadline<T>(work: Promise<T>, ms: number, clock: Clock): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(ms, () => reject(new Error('redis did not confirm in time')))
    work.then(resolve, reject).finally(cancel)
  })
}

function diskFull(cause: unknown): QueueError {
  return new QueueError('QUEUE_UNAVAILABLE', 'the call cannot be stored: the disk is full or failing', {
    cause,
    retryAfterS: 10,
  })
}
