// Takes a call in: body, idempotency key, record, job, in the order that makes an acknowledged call safe.
import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import type { Clock } from '../../runtime/api.ts'
import { QuotaExceeded } from '../registry/quota-exceeded.ts'
import type { RedisStore } from '../store/connect.ts'
import type { Tracing } from '../tracing.ts'
import { QueueError, type Submission } from './api.ts'
import { type Envelope, type EnvelopeBody, INLINE_MAX_BYTES, makeEnvelope, queueKeyOf } from './envelope.ts'
import { isDiskError, RESERVE_BYTES, removeFile, type SpooledBody, spoolBody } from './files.ts'
import { AWAITED_KEPT_MS, type Claim, type InvocationStore, timeOfId } from './invocation-store.ts'
import type { JobQueues } from './job-queues.ts'
import type { QueueUse } from './queue-use.ts'
import { isOpen } from './records.ts'

export interface IntakeOptions {
  readonly redis: RedisStore
  readonly store: InvocationStore
  readonly jobs: JobQueues
  readonly clock: Clock
  readonly bodiesDir: string
  readonly bodyMaxBytes: number
  /** What namespaces may have queued. */
  readonly use: QueueUse
  /** Tells others that the queue has a call; null: this process runs calls itself. */
  readonly announce: ((queueKey: string) => void) | null
  /** Who this process is to others that may run the call; null: nobody else does. */
  readonly self: string | null
  /** Space left where Redis and bodies are written; null: they lie elsewhere. */
  readonly freeBytes: (() => Promise<number>) | null
}

/** What a call may take in Redis besides its body: the envelope, its record, its place in lists. */
const BESIDE_BYTES = 3_000

/** About how much a call takes in Redis. */
export function kept({ body }: Submission): number {
  const bodyBytes = body === null ? 0 : isInline(body) ? body.length : Buffer.isBuffer(body) ? 0 : INLINE_MAX_BYTES
  return BESIDE_BYTES + (4 * bodyBytes) / 3
}

/** Accepts under a span of its own, which the attempts then belong to. */
export async function acceptTraced(
  intake: Intake,
  submission: Submission,
  tracing: Tracing | null,
  acceptedAtMs: number,
): Promise<Accepted> {
  const { id, version, method, traceparent } = submission
  const trace = tracing?.startAccept({ id, version, method, traceparent, acceptedAtMs }) ?? null
  if (trace === null) return await intake.accept(submission)
  try {
    const accepted = await intake.accept({ ...submission, traceparent: trace.traceparent })
    trace.end(true)
    return accepted
  } catch (error) {
    trace.end(false)
    throw error
  }
}

export interface Accepted {
  readonly id: string
  readonly duplicate: boolean
  readonly notBeforeMs: number
}

const SPACE_KNOWN_MS = 200
const CLAIMED_CHARS = 256

export class Intake {
  readonly #options: IntakeOptions
  #spaceAskedMs = Number.NEGATIVE_INFINITY
  #enoughSpace = true
  #spaceKnown = false
  /** An answer that has to be waited for. */
  #space: Promise<void> | null = null

  constructor(options: IntakeOptions) {
    this.#options = options
  }

  /** On disk when it resolves. Throws QueueError BODY_TOO_LARGE | BODY_ABORTED | IDEMPOTENCY_MISMATCH | QUEUE_UNAVAILABLE, QuotaExceeded, or
   *  Redis's error. */
  async accept(submission: Submission): Promise<Accepted> {
    const space = this.#checkSpace()
    if (space !== null) await space
    if (!this.#enoughSpace) throw diskFull(null)
    const { body } = submission
    if (submission.idempotencyKey === null && (body === null || isInline(body))) {
      const envelope = makeEnvelope(submission.id, submission, inlineBody(body), this.#options.clock.now())
      await this.#add(envelope)
      return { id: envelope.id, duplicate: false, notBeforeMs: envelope.notBeforeMs }
    }
    return await this.#acceptSpooled(submission)
  }

  /** A body that may have to become a file, or has to be compared with another's. */
  async #acceptSpooled(submission: Submission): Promise<Accepted> {
    const receiving = this.#options.use.receive(submission.version.namespace)
    try {
      return await this.#acceptReceived(submission, await this.#spool(submission, receiving.more))
    } finally {
      receiving.end()
    }
  }

  async #acceptReceived(submission: Submission, body: SpooledBody): Promise<Accepted> {
    let earlier: string | null = null
    try {
      earlier = await this.#claim(submission, body.hash)
      const id = earlier ?? submission.id
      if (earlier !== null && (await this.#isOver(earlier))) {
        await body.file?.discard()
        return { id, duplicate: true, notBeforeMs: 0 }
      }
      // ORDER: the body first, so that an accepted call has all it needs.
      const stored = await this.#storeBody(id, body)
      const envelope = makeEnvelope(id, submission, stored, this.#options.clock.now())
      await this.#add(envelope, scopeOf(submission))
      return { id, duplicate: earlier !== null, notBeforeMs: envelope.notBeforeMs }
    } catch (error) {
      await body.file?.discard()
      if (error instanceof QuotaExceeded && earlier === null) await this.#takeBack(submission, body)
      throw isDiskError(error) ? diskFull(error) : error
    }
  }

  /** Asks now and then. Waits for the first answer; later ones are waited for only while there is no room. */
  #checkSpace(): Promise<void> | null {
    const { freeBytes, clock } = this.#options
    if (freeBytes === null) return null
    const nowMs = clock.monotonicMs()
    if (nowMs <= this.#spaceAskedMs + SPACE_KNOWN_MS) return this.#space
    this.#spaceAskedMs = nowMs
    const asked = freeBytes()
      .then(
        (bytes) => bytes > RESERVE_BYTES,
        // What cannot be asked is not refused: the write itself will tell.
        () => true,
      )
      .then((enough) => {
        this.#enoughSpace = enough
        this.#space = null
      })
    if (!this.#spaceKnown || !this.#enoughSpace) this.#space = asked
    this.#spaceKnown = true
    return this.#space
  }

  /** Removes what was written for a call that was refused. */
  async #takeBack(submission: Submission, body: SpooledBody): Promise<void> {
    const { store, bodiesDir } = this.#options
    if (body.file !== null) await removeFile(bodiesDir, submission.id)
    const scope = scopeOf(submission)
    if (scope !== null) await store.unclaim(scope, claimOf(submission, body.hash)).catch(() => {})
  }

  async #spool(submission: Submission, came: (bytes: number) => void): Promise<SpooledBody> {
    try {
      return await spoolBody(submission.body, this.#options.bodiesDir, this.#options.bodyMaxBytes, came)
    } catch (error) {
      throw isDiskError(error) ? diskFull(error) : error
    }
  }

  /** The id of an earlier call with this key, or null. */
  async #claim(submission: Submission, bodyHash: string): Promise<string | null> {
    const scope = scopeOf(submission)
    if (scope === null) return null
    const claim = claimOf(submission, bodyHash)
    const earlier = await this.#options.store.claim(scope, claim)
    if (earlier === null || earlier.id === submission.id) return null
    if (earlier.hash !== claim.hash) {
      throw new QueueError('IDEMPOTENCY_MISMATCH', 'this idempotency key was used with another request')
    }
    return earlier.id
  }

  async #isOver(id: string): Promise<boolean> {
    const { store, clock } = this.#options
    const record = await store.record(id)
    if (record !== null) return !isOpen(record.state)
    // None: its first caller died before it was queued, or it ended and its record's time is over.
    return (timeOfId(id) ?? 0) < clock.now() - store.keptMs
  }

  async #storeBody(id: string, body: SpooledBody): Promise<EnvelopeBody> {
    if (body.file !== null) {
      await body.file.commit(id)
      const { self } = this.#options
      return { kind: 'file', bytes: body.file.bytes, ...(self === null ? {} : { holder: self, sha256: body.hash }) }
    }
    return inlineBody(body.inline)
  }

  /** May be repeated: the same id is the same call. One that was not confirmed in time may have been accepted all the same; then it
   *  runs although its caller was refused. */
  async #add(envelope: Envelope, key: readonly string[] | null = null): Promise<void> {
    const { store, jobs, redis, clock, announce } = this.#options
    const queueKey = queueKeyOf(envelope.version, envelope.awaited)
    const keptMs = envelope.awaited ? AWAITED_KEPT_MS : 2 * store.keptMs
    const keepMs = envelope.expiresAtMs - envelope.acceptedAtMs + keptMs
    if (envelope.notBeforeMs > envelope.acceptedAtMs) jobs.noteClock()
    redis.gather()
    const accepted = store.accept(envelope, queueKey, keepMs, clock.now(), key)
    // After the call and in the same write: a process that gets this news finds the call.
    announce?.(queueKey)
    await accepted
  }
}

/** Whose idempotency key it is; null: it has none. */
function scopeOf({ version, caller, idempotencyKey }: Submission): string[] | null {
  return idempotencyKey === null ? null : [version.namespace, version.name, caller, idempotencyKey]
}

/** What a key stands for. A long target counts by its digest: a client does not choose how much a key takes. */
function claimOf({ id, method, target }: Submission, bodyHash: string): Claim {
  const what = target.length <= CLAIMED_CHARS ? target : createHash('sha256').update(target).digest('hex')
  return { id, hash: `${method} ${what} ${bodyHash}` }
}

function isInline(body: Buffer | Readable): body is Buffer {
  return Buffer.isBuffer(body) && body.length <= INLINE_MAX_BYTES
}

function inlineBody(body: Buffer | null): EnvelopeBody {
  return body === null ? { kind: 'none' } : { kind: 'inline', base64: body.toString('base64') }
}

function diskFull(cause: unknown): QueueError {
  return new QueueError('QUEUE_UNAVAILABLE', 'the call cannot be stored: the disk is full or failing', {
    cause,
    retryAfterS: 10,
  })
}
