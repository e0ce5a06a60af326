// The one door to BullMQ: one queue a function, all over one connection, fetched by hand. Jobs are envelopes; no decision about
// a call is made here.
import { type IQueueBackend, Job, Queue, type QueueOptions } from 'bullmq'
import type { Clock, Logger } from '../../runtime/api.ts'
import type { FunctionConfig } from '../api.ts'
import type { RedisStore } from '../store/connect.ts'
import type { QueueState } from './api.ts'
import { type Envelope, readEnvelope } from './envelope.ts'
import {
  BRING_FORWARD,
  CLOCK_SLACK_MS,
  DEFER,
  MAX_STALLS,
  QUEUES_PREFIX,
  queuePrefixOf,
  RENEW,
  REQUEUE,
} from './job-scripts.ts'
import { NewerVersion } from './version-text.ts'

const LOCK_MS = 15_000
const EVENTS_KEPT = 100
const PAGE = 500
const ROOT = 'root'

type Rate = NonNullable<FunctionConfig['rate']>
/** Shares the root's connection. */
type FunctionQueue = Queue<unknown, unknown, string, unknown, unknown, string, IQueueBackend>

export interface FetchedJob {
  readonly queueKey: string
  readonly token: string
  readonly envelope: Envelope
  /** Attempts that counted before this one. */
  readonly attemptsMade: number
  /** Workers died under it too often: do not run it again. */
  readonly poisoned: boolean
  /** Workers that died under it. */
  readonly stalls: number
}

/** A job that was handed out and whose envelope cannot be read. */
export interface UnreadableJob {
  readonly queueKey: string
  readonly id: string
  readonly token: string
  /** A newer release can read it; until when the call may begin. null: none can. */
  readonly newer: { readonly expiresAtMs: number } | null
}

export class JobQueues {
  readonly #redis: RedisStore
  readonly #options: QueueOptions
  readonly #root: Queue
  readonly #queues = new Map<string, FunctionQueue>()
  readonly lockMs: number
  readonly #rates = new Map<string, string>()
  readonly #clock: Clock
  /** How far the date was ahead of the monotonic clock, at most, when something was delayed; null: nothing was. */
  #aheadMs: number | null = null

  /** `lockMs`: so long after its worker's last word a job may be given to another. */
  constructor(redis: RedisStore, logger: Logger, clock: Clock, lockMs = LOCK_MS) {
    this.#redis = redis
    this.#clock = clock
    this.lockMs = lockMs
    // Lock and stall settings belong to BullMQ's Worker; fetching by hand, its backend reads them from here.
    const fetching = { lockDuration: lockMs, stalledInterval: 1, maxStalledCount: MAX_STALLS }
    const options: QueueOptions = {
      connection: redis.client,
      prefix: QUEUES_PREFIX,
      skipVersionCheck: true,
      streams: { events: { maxLen: EVENTS_KEPT } },
    }
    this.#options = { ...options, ...(fetching as object) }
    this.#root = new Queue(ROOT, { ...this.#options, skipMetasUpdate: true })
    this.#root.on('error', (error) => logger.debug({ reason: error.message }, 'bullmq'))
  }

  /** The next job that is due, locked under `token`; or when the next one will be. */
  async fetch(
    queueKey: string,
    token: string,
    nowMs: number,
  ): Promise<{ readonly fetched: FetchedJob | UnreadableJob | null; readonly nextAtMs: number | null }> {
    const queue = this.#queue(queueKey)
    const answer = await queue.getBackend().moveToActive(token)
    const [data, id, heldMs, nextAtMs] = answer as [unknown, string, number, number]
    // `heldMs`: the rate is used up for so long.
    if (!data || !id) return { fetched: null, nextAtMs: heldMs > 0 ? nowMs + heldMs : nextAtMs > 0 ? nextAtMs : null }
    const read = readJob(queue, data, id)
    if ('newer' in read) return { fetched: { queueKey, id, token, newer: read.newer }, nextAtMs: null }
    const { job, envelope } = read
    const poisoned = typeof job.deferredFailure === 'string'
    const { attemptsMade, stalledCounter: stalls } = job
    return { fetched: { queueKey, token, envelope, attemptsMade, poisoned, stalls }, nextAtMs: null }
  }

  /** Jobs handed out at most in a time, to all workers together; null: no bound. Asked once for each change. */
  async setRate(queueKey: string, rate: Rate | null): Promise<void> {
    const text = rate === null ? '' : `${rate.calls}/${rate.perMs}`
    const known = this.#rates.get(queueKey)
    if (known === text) return
    this.#rates.set(queueKey, text)
    const queue = this.#queue(queueKey)
    try {
      await (rate === null ? queue.removeGlobalRateLimit() : queue.setGlobalRateLimit(rate.calls, rate.perMs))
    } catch (error) {
      this.#rates.delete(queueKey)
      throw error
    }
  }

  /** What the call carries; null: it is not in this queue. */
  async envelope(queueKey: string, id: string): Promise<Envelope | null> {
    const text = await this.#redis.command('HGET', this.#queue(queueKey).toKey(id), 'data')
    return text === null ? null : readEnvelope(JSON.parse(text as string))
  }

  /** Lets a job that was handed out wait so long, uncounted. */
  async defer({ queueKey, id, token }: UnreadableJob, atMs: number, delayMs: number): Promise<void> {
    const queue = queuePrefixOf(queueKey)
    await this.#redis.script(DEFER, [`${queue}${id}:lock`], [queue, id, token, atMs, delayMs])
  }

  /** Jobs that wait, now or for their time. */
  async backlog(queueKey: string): Promise<number> {
    const counts = await this.#queue(queueKey).getJobCounts('waiting', 'prioritized', 'delayed')
    return Object.values(counts).reduce((sum, count) => sum + count, 0)
  }

  /** What lies in the queue, and whether it is paused. */
  async state(queueKey: string): Promise<Omit<QueueState, 'deadLetters'>> {
    const queue = this.#queue(queueKey)
    const [counts, paused] = await Promise.all([
      queue.getJobCounts('waiting', 'prioritized', 'delayed', 'active'),
      queue.isPaused(),
    ])
    const { waiting = 0, prioritized = 0, delayed = 0, active = 0 } = counts
    return { waiting: waiting + prioritized, delayed, active, paused }
  }

  /** A paused queue hands out nothing, to nobody. */
  async pause(queueKey: string, paused: boolean): Promise<void> {
    const queue = this.#queue(queueKey)
    await (paused ? queue.pause() : queue.resume())
  }

  /** Ids of active jobs, newest first. */
  async activeIds(queueKey: string): Promise<string[]> {
    return (await this.#redis.command('LRANGE', this.#queue(queueKey).toKey('active'), 0, -1)) as string[]
  }

  /** Puts active jobs back to the front, uncounted. Only for jobs nobody runs. Resolves to how many. */
  async requeue(queueKey: string, ids: readonly string[]): Promise<number> {
    if (ids.length === 0) return 0
    const key = this.#queue(queueKey).toKey
    const keys = [key('active'), key('wait'), key('prioritized'), key('stalled')]
    return (await this.#redis.script(REQUEUE, keys, [key(''), ...ids])) as number
  }

  /** Puts back what other workers left, when its lock has run out (for queues that several platforms serve). True: some were. */
  async requeueStalled(queueKey: string): Promise<boolean> {
    const moved = await this.#queue(queueKey).getBackend().moveStalledJobsToWait()
    return moved.length > 0
  }

  /** True once after the date has gone back behind one by which something was delayed. */
  clockWentBack(): boolean {
    const nowAheadMs = this.#clock.now() - this.#clock.monotonicMs()
    if (this.#aheadMs === null || nowAheadMs >= this.#aheadMs - CLOCK_SLACK_MS) return false
    this.#aheadMs = nowAheadMs
    return true
  }

  /** No delayed job waits longer than its own delay from now, whatever the date was when it was delayed. Resolves to how many
   *  would have. */
  async bringForward(queueKey: string): Promise<number> {
    const key = this.#queue(queueKey).toKey
    let moved = 0
    for (let offset = 0; ; offset += PAGE) {
      const args = [key(''), this.#clock.now(), offset, PAGE]
      const [seen, late] = (await this.#redis.script(BRING_FORWARD, [key('delayed')], args)) as [number, number]
      moved += late
      if (seen < PAGE) return moved
    }
  }

  /** Something is delayed by the date as it is now. */
  noteClock(): void {
    const aheadMs = this.#clock.now() - this.#clock.monotonicMs()
    this.#aheadMs = Math.max(aheadMs, this.#aheadMs ?? aheadMs)
  }

  /** Keeps the locks of running jobs; answers for each whether it is still held. */
  async renew(held: readonly FetchedJob[]): Promise<boolean[]> {
    if (held.length === 0) return []
    const keys = held.flatMap(({ queueKey, envelope: { id } }) => {
      const queue = queuePrefixOf(queueKey)
      return [`${queue}${id}:lock`, `${queue}active`, `${queue}stalled`]
    })
    const args = held.flatMap((fetched) => [fetched.token, fetched.envelope.id])
    const kept = (await this.#redis.script(RENEW, keys, [this.lockMs, ...args])) as number[]
    return kept.map((one) => one === 1)
  }

  async close(): Promise<void> {
    for (const queue of this.#queues.values()) await queue.close().catch(() => {})
    await this.#root.close().catch(() => {})
  }

  #queue(queueKey: string): FunctionQueue {
    const known = this.#queues.get(queueKey)
    if (known !== undefined) return known
    const [namespace, name] = queueKey.split('/') as [string, string]
    const prefix = `${QUEUES_PREFIX}:${namespace}`
    const queue: FunctionQueue = new Queue(name, { ...this.#options, prefix }, () =>
      this.#root.getBackend().forQueue(name, prefix),
    )
    queue.on('error', () => {})
    this.#queues.set(queueKey, queue)
    return queue
  }
}

/** From the hash that `moveToActive` answers. */
function readJob(
  queue: FunctionQueue,
  hash: unknown,
  id: string,
): { readonly job: Job; readonly envelope: Envelope } | Pick<UnreadableJob, 'newer'> {
  let job: Job | null = null
  try {
    job = Job.fromJSON(queue, hash as Parameters<typeof Job.fromJSON>[1], id)
    const envelope = readEnvelope(job.data)
    if (envelope.id !== id) return { newer: null }
    return { job, envelope }
  } catch (error) {
    if (!(error instanceof NewerVersion)) return { newer: null }
    return { newer: { expiresAtMs: Number((job?.data as Partial<Envelope> | undefined)?.expiresAtMs) || 0 } }
  }
}
