// The one door to BullMQ: one queue a function, all over one connection, fetched by hand. Jobs are envelopes; no decision about
// a call is made here.
import { type IQueueBackend, Job, type JobJson, Queue, type QueueOptions } from 'bullmq'
import type { Clock, Logger } from '../../runtime/api.ts'
import type { FunctionConfig } from '../api.ts'
import type { RedisStore } from '../store/connect.ts'
import type { QueueState } from './api.ts'
import { type Envelope, envelopeText, readEnvelope } from './envelope.ts'
import { QUEUES_PREFIX } from './invocation-scripts.ts'
import type { JobHold } from './invocation-store.ts'

const LOCK_MS = 15_000
/** The death of a worker is no attempt; more of them than this for one call are a fault all the same. */
const MAX_STALLS = 20
const EVENTS_KEPT = 100
/** Clocks of two platforms, and a clock that is corrected a little, differ by less. */
const CLOCK_SLACK_MS = 1_000
const PAGE = 500
const ROOT = 'root'
/** What holds for every job; not kept with each. */
const JOB_OPTIONS = {
  backoff: { type: 'custom' },
  removeOnComplete: true,
  removeOnFail: true,
  stackTraceLimit: 1,
} as const

// Active jobs whose lock nobody keeps go back to the front of their queue, oldest first, as if never fetched, but for the
// count of such ends: past the highest the job is marked as BullMQ marks it (`defa`), and ends at its next fetch.
const REQUEUE = `
local moved = 0
for i, id in ipairs(ARGV) do
  if i > 1 and redis.call('LREM', KEYS[1], 1, id) > 0 then
    local job = ARGV[1] .. id
    redis.call('DEL', job .. ':lock')
    redis.call('SREM', KEYS[4], id)
    if redis.call('EXISTS', job) == 1 then
      if redis.call('HINCRBY', job, 'stc', 1) > ${MAX_STALLS} then redis.call('HSET', job, 'defa', 'stalled') end
      local priority = tonumber(redis.call('HGET', job, 'priority')) or 0
      if priority > 0 then redis.call('ZADD', KEYS[3], priority * 0x100000000, id)
      else redis.call('RPUSH', KEYS[2], id) end
      moved = moved + 1
    end
  end
end
return moved`

// Locks of running jobs are kept; one that ran out while its job stayed active is taken again.
const RENEW = `
local kept = {}
for i = 1, #KEYS, 3 do
  local n = (i - 1) / 3
  local token, id = ARGV[2 + 2 * n], ARGV[3 + 2 * n]
  local holder = redis.call('GET', KEYS[i])
  local ours = holder == token or (not holder and redis.call('LPOS', KEYS[i + 1], id))
  if ours then
    redis.call('SET', KEYS[i], token, 'PX', ARGV[1])
    redis.call('SREM', KEYS[i + 2], id)
  end
  kept[n + 1] = ours and 1 or 0
end
return kept`

// Of a page of delayed jobs, those that would wait longer than their own delay from now: it was counted from a clock that has
// gone back since. BullMQ's score: ms * 4096, the lowest bits order jobs of one ms. Answers how many it saw, and moved.
const BRING_FORWARD = `
local page = redis.call('ZRANGE', KEYS[1], ARGV[3], ARGV[3] + ARGV[4] - 1, 'WITHSCORES')
local moved = 0
for i = 1, #page, 2 do
  local delay = tonumber(redis.call('HGET', ARGV[1] .. page[i], 'delay')) or 0
  local latest = (ARGV[2] + delay) * 4096
  if tonumber(page[i + 1]) > latest + ${CLOCK_SLACK_MS} * 4096 then
    redis.call('ZADD', KEYS[1], latest, page[i])
    moved = moved + 1
  end
end
return {#page / 2, moved}`

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
  readonly job: Job
}

/** Carries the delay to the back-off strategy. */
class RetryAfter extends Error {
  readonly delayMs: number
  constructor(delayMs: number) {
    super('retried')
    this.delayMs = delayMs
  }
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
    // Lock, stall and back-off settings belong to BullMQ's Worker; fetching by hand, its backend and jobs read them from here.
    const settings = {
      backoffStrategy: (_made: number, _type?: string, error?: Error) => (error as RetryAfter).delayMs,
    }
    const fetching = { lockDuration: lockMs, stalledInterval: 1, maxStalledCount: MAX_STALLS, settings }
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

  /** Due at its `notBeforeMs`. A job with this id that is there already stays as it is. The server's answer is the promise;
   *  it has a deadline of its own. */
  async add(queueKey: string, envelope: Envelope, nowMs: number): Promise<void> {
    const { id, priority } = envelope
    const delay = Math.max(0, envelope.notBeforeMs - nowMs)
    if (delay > 0) this.#noteClock()
    // Straight to the backend: `Queue.add` would make the text of the whole envelope, and an object nobody reads.
    const job = {
      id,
      name: 'call',
      data: envelopeText(envelope),
      opts: { ...(delay > 0 ? { delay } : {}), ...(priority > 0 ? { priority } : {}) },
      progress: 0,
      attemptsMade: 0,
      timestamp: nowMs,
    }
    await this.#queue(queueKey)
      .getBackend()
      .addJob(job as JobJson, id)
  }

  /** The next job that is due, locked under `token`; or when the next one will be. */
  async fetch(
    queueKey: string,
    token: string,
    nowMs: number,
  ): Promise<{ readonly fetched: FetchedJob | null; readonly nextAtMs: number | null }> {
    const queue = this.#queue(queueKey)
    const answer = await queue.getBackend().moveToActive(token)
    const [data, id, heldMs, nextAtMs] = answer as [unknown, string, number, number]
    // `heldMs`: the rate is used up for so long.
    if (!data || !id) return { fetched: null, nextAtMs: heldMs > 0 ? nowMs + heldMs : nextAtMs > 0 ? nextAtMs : null }
    const job = Job.fromJSON(queue, data as Parameters<typeof Job.fromJSON>[1], id)
    job.token = token
    const envelope = readEnvelope(job.data)
    Object.assign(job.opts, JOB_OPTIONS, { attempts: envelope.maxAttempts })
    const poisoned = typeof job.deferredFailure === 'string'
    const { attemptsMade, stalledCounter: stalls } = job
    return { fetched: { queueKey, token, envelope, attemptsMade, poisoned, stalls, job }, nextAtMs: null }
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

  /** What decides who may publish a job's fate. */
  hold(fetched: FetchedJob): JobHold {
    const queue = this.#queue(fetched.queueKey)
    return {
      lockKey: this.lockKey(fetched.queueKey, fetched.envelope.id),
      activeKey: queue.toKey('active'),
      token: fetched.token,
      lockMs: LOCK_MS,
    }
  }

  /** Exists while somebody runs the job. */
  lockKey(queueKey: string, id: string): string {
    return `${this.#queue(queueKey).toKey(id)}:lock`
  }

  /** Over: the job goes. */
  async finish(fetched: FetchedJob): Promise<void> {
    await fetched.job.moveToCompleted('', fetched.token, false)
  }

  /** Counts the attempt. */
  async retry(fetched: FetchedJob, delayMs: number): Promise<void> {
    this.#noteClock()
    await fetched.job.moveToFailed(new RetryAfter(Math.max(1, delayMs)), fetched.token, false)
  }

  /** Does not count the attempt. */
  async putBack(fetched: FetchedJob, atMs: number | null): Promise<void> {
    if (atMs !== null) this.#noteClock()
    if (atMs === null) await fetched.job.moveToWait(fetched.token)
    else await fetched.job.moveToDelayed(atMs, fetched.token)
  }

  /** What the call carries; null: it is not in this queue. */
  async envelope(queueKey: string, id: string): Promise<Envelope | null> {
    const text = await this.#redis.command('HGET', this.#queue(queueKey).toKey(id), 'data')
    return text === null ? null : readEnvelope(JSON.parse(text as string))
  }

  /** True when it is not in the queue (any more); false when somebody runs it. */
  async remove(queueKey: string, id: string): Promise<boolean> {
    return (await this.#queue(queueKey).getBackend().remove(id, false)) === 1
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

  #noteClock(): void {
    const aheadMs = this.#clock.now() - this.#clock.monotonicMs()
    this.#aheadMs = Math.max(aheadMs, this.#aheadMs ?? aheadMs)
  }

  /** Keeps the locks of running jobs; answers for each whether it is still held. */
  async renew(held: readonly FetchedJob[]): Promise<boolean[]> {
    if (held.length === 0) return []
    const keys = held.flatMap((fetched) => {
      const { lockKey, activeKey } = this.hold(fetched)
      return [lockKey, activeKey, this.#queue(fetched.queueKey).toKey('stalled')]
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
