// One synchronous call on its way down the durable lane and back: submitted, awaited, its response fed to the sink. The worker
// that runs it sees an ordinary attempt. A caller that leaves takes a waiting call along and aborts a running one's signal.
import type { Clock } from '../../runtime/api.ts'
import type {
  Invocation,
  InvocationFailure,
  InvocationRecord,
  InvocationRequest,
  InvocationSink,
  Phases,
} from '../api.ts'
import { failure, stateOfFailure } from '../failures.ts'
import { type DurableLane, QueueError, type StoredResult } from '../queue/api.ts'

/** So long a call waits for a worker, as in the queue of a worker. */
export const MOST_WAIT_MS = 60_000
const LOOK_MS = 5_000
/** Redis may be away for so long under a call that was accepted. */
const AWAY_MS = 10_000
const AWAY_AGAIN_MS = 250

export interface LaneCallParts {
  readonly lane: DurableLane
  readonly clock: Clock
}

export class LaneCall implements Invocation {
  readonly id: string
  readonly done: Promise<InvocationRecord>
  readonly #request: InvocationRequest
  readonly #sink: InvocationSink
  readonly #parts: LaneCallParts
  #left = false
  #submitted = false
  #wake: () => void = () => {}

  /** `refused`: it does not even begin. */
  constructor(
    request: InvocationRequest,
    sink: InvocationSink,
    parts: LaneCallParts,
    refused: InvocationFailure | null,
  ) {
    this.id = request.id
    this.#request = request
    this.#sink = sink
    this.#parts = parts
    this.done = this.#run(refused)
  }

  resume(): void {
    this.#wake()
  }

  abort(reason: 'client' | 'cancelled'): void {
    if (this.#left) return
    this.#left = true
    this.#wake()
    if (!this.#submitted) return
    const { lane } = this.#parts
    const told: Promise<unknown> = reason === 'client' ? lane.leave(this.id) : lane.cancel(this.id)
    told.catch(() => {})
  }

  /** Its caller is told `why` now, whatever becomes of the call. */
  drop(why: InvocationFailure): void {
    if (this.#left) return
    this.#sink.failed(why, null, null)
    this.abort('client')
  }

  async #run(refused: InvocationFailure | null): Promise<InvocationRecord> {
    try {
      if (refused !== null) return this.#fail(refused, null)
      await this.#submit()
      return await this.#await()
    } catch (error) {
      return this.#fail(failureOf(error), null)
    }
  }

  async #submit(): Promise<void> {
    const { id, version, method, target, headers, body, limits, timeoutMs, traceparent } = this.#request
    await this.#parts.lane.submit({
      id,
      version,
      method,
      target,
      headers,
      body,
      limits,
      timeoutMs,
      traceparent,
      delayMs: 0,
      priority: 0,
      maxAttempts: 1,
      maxAgeMs: MOST_WAIT_MS,
      idempotencyKey: null,
      caller: 'awaited',
      awaited: true,
    })
    this.#submitted = true
    if (this.#left) await this.#parts.lane.leave(id)
  }

  async #await(): Promise<InvocationRecord> {
    const { lane, clock } = this.#parts
    const sinceMs = clock.monotonicMs()
    let awayMs: number | null = null
    for (;;) {
      try {
        const { pending, record, result } = await lane.result(this.id, LOOK_MS)
        awayMs = null
        if (!pending) return await this.#answer(record, result)
        if (record.state === 'queued' && clock.monotonicMs() - sinceMs > MOST_WAIT_MS) await this.#giveUp()
      } catch (error) {
        if (!(error instanceof QueueError) || error.code !== 'QUEUE_UNAVAILABLE') throw error
        // It was accepted and may be running: its end can be asked for when Redis is back.
        awayMs ??= clock.monotonicMs()
        if (clock.monotonicMs() - awayMs > AWAY_MS) throw error
        await new Promise<void>((resolve) => clock.after(AWAY_AGAIN_MS, resolve))
      }
    }
  }

  /** Nobody took it: out of the queue, and its end is what the next look finds. */
  async #giveUp(): Promise<void> {
    await this.#parts.lane.cancel(this.id).catch((error: unknown) => {
      if ((error as QueueError).code !== 'NOT_CANCELLABLE') throw error
    })
  }

  async #answer(record: InvocationRecord, result: StoredResult | null): Promise<InvocationRecord> {
    const { lane } = this.#parts
    if (result === null) return this.#fail(failureOfRecord(record), record)
    try {
      const phases: Phases = record
      if (!this.#left) {
        this.#sink.head({ status: result.status, headers: result.headers, start: record.start ?? 'warm', phases })
        await this.#feed(result)
        if (!this.#left) this.#sink.end(this.#request.wantsMetering ? record.metering : null)
      }
      return record
    } catch (error) {
      // The head is out: the sink cuts the connection.
      const message = `the result could not be read: ${(error as Error).message}`
      if (!this.#left) this.#sink.failed(failure('QUEUE_UNAVAILABLE', message), record.start, record)
      return record
    } finally {
      if (!Buffer.isBuffer(result.body)) result.body.destroy()
      await lane.forget(this.id)
    }
  }

  async #feed({ body }: StoredResult): Promise<void> {
    if (Buffer.isBuffer(body)) {
      if (body.length > 0) this.#sink.data(body)
      return
    }
    for await (const chunk of body) {
      if (this.#left) return
      const room = new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      if (!this.#sink.data(chunk as Buffer) && !this.#left) await room
    }
  }

  #fail(why: InvocationFailure, record: InvocationRecord | null): InvocationRecord {
    if (!this.#left) this.#sink.failed(why, record?.start ?? null, record)
    return record ?? refusedRecord(this.#request, why, this.#parts.clock.now())
  }
}

function failureOf(error: unknown): InvocationFailure {
  const { message } = error as Error
  if (!(error instanceof QueueError)) return failure('QUEUE_UNAVAILABLE', message)
  const more = error.retryAfterS === null ? {} : { retryAfterS: error.retryAfterS }
  switch (error.code) {
    case 'BODY_TOO_LARGE':
    case 'BODY_ABORTED':
    case 'DRAINING':
      return failure(error.code, message)
    case 'QUEUE_FULL':
      return failure('QUEUE_FULL', message, more)
    default:
      return failure('QUEUE_UNAVAILABLE', message, more)
  }
}

/** Why an ended call has no response. */
function failureOfRecord({ state, error }: InvocationRecord): InvocationFailure {
  if (state === 'expired' || (state === 'cancelled' && error?.component === 'queue')) {
    return failure('HOST_FULL', `no worker took the call within ${MOST_WAIT_MS / 1000} s`, { retryAfterS: 1 })
  }
  return error ?? failure('QUEUE_UNAVAILABLE', 'the call ended, but its response is not kept')
}

function refusedRecord(request: InvocationRequest, error: InvocationFailure, nowMs: number): InvocationRecord {
  const { id, version, attempt, acceptedAtMs } = request
  return {
    id,
    namespace: version.namespace,
    function: version.name,
    version: version.version,
    state: stateOfFailure(error.code),
    attempt,
    start: null,
    status: null,
    error,
    createdAt: new Date(acceptedAtMs).toISOString(),
    startedAt: null,
    endedAt: new Date(nowMs).toISOString(),
    queueMs: Math.max(0, nowMs - acceptedAtMs),
    startMs: 0,
    thawMs: 0,
    initMs: 0,
    runMs: 0,
    limits: version.config.limits,
    metering: null,
  }
}
