// Knows whether the lane's Redis takes more: asks now and then how much memory it has, and at once when it refused something.
// What is refused is decided before anything of a call is written.
import type { Clock, Logger } from '../../runtime/api.ts'
import type { RedisStore } from '../store/connect.ts'
import { type RefusalWord, refusalWordOf } from '../store/errors.ts'
import { QueueError } from './api.ts'
import { fullSentence, isFull, parseMemory, type RedisMemory, roomAgainS } from './room-policy.ts'

export interface RoomOptions {
  readonly redis: Pick<RedisStore, 'command' | 'available'>
  readonly clock: Clock
  readonly logger: Logger
}

const LOOK_MS = 1_000
/** How often its append-only file is asked about. */
const FILE_MS = 60_000
/** A server that refuses is asked again so often. */
const AGAIN_MS = 250
const PROBE = '{thaw}:probe'
const PROBE_KEPT_MS = 1_000
/** What is on its way lies in the server's buffers, which grow by doubling, and in its memory. */
const ON_THE_WAY = 3
/** Without figures, as long as an OOM is remembered. */
const REFUSED_S = 2

const SENTENCES: Readonly<Record<Exclude<RefusalWord, 'OOM'>, string>> = {
  READONLY: 'Redis is a read-only replica: name its primary (REDIS_URL), or wait for the failover to end',
  MISCONF: 'Redis cannot write to its disk (MISCONF), and so takes no writes; its log says why',
  NOREPLICAS: 'Redis takes no writes: fewer replicas follow it than min-replicas-to-write asks for',
  MASTERDOWN: 'Redis is a replica whose primary is away',
}

const UNKNOWN: RedisMemory = { usedBytes: 0, maxBytes: 0, policy: null }

/** Asks nothing before `start`; owns a timer until `stop`. */
export class RedisRoom {
  readonly #options: RoomOptions
  #memory: RedisMemory | null = null
  #askedMs = 0
  #againS = REFUSED_S
  /** Being taken in by this process; and what was since the server was asked. */
  #comingBytes = 0
  #writtenBytes = 0
  /** What the server last refused a write with; null: it takes them. */
  #word: RefusalWord | null = null
  #looking: Promise<void> | null = null
  #cancel: () => void = () => {}
  #stopped = true
  #wasSaid: string | null = null
  #fileAskedMs = Number.NEGATIVE_INFINITY
  #fileSaid = false

  constructor(options: RoomOptions) {
    this.#options = options
  }

  start(): void {
    if (!this.#stopped) return
    this.#stopped = false
    void this.look()
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  /** Does the work that takes in about so many bytes, when there is room for them. Throws QueueError QUEUE_FULL | QUEUE_UNAVAILABLE
   *  before it begins when there is none. */
  async within<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    for (;;) {
      const refusal = this.#refusal()
      if (refusal !== null) throw refusal
      if (!this.#wouldFill(ON_THE_WAY * this.#comingBytes + this.#writtenBytes + bytes)) break
      await this.look()
      if (this.#wouldFill(bytes)) throw this.#refusal() ?? this.#full()
    }
    this.#comingBytes += bytes
    try {
      return await work()
    } finally {
      this.#comingBytes -= bytes
      this.#writtenBytes += bytes
    }
  }

  /** A command failed. True: the server refused it, and is asked at once whether it takes others. */
  saw(error: unknown): boolean {
    const word = refusalWordOf(error)
    if (word === null) return false
    this.#word = word
    void this.look()
    return true
  }

  /** Why nothing more is taken in although Redis answers, with the way out; null: it is. */
  trouble(): string | null {
    if (this.#word !== null && this.#word !== 'OOM') return SENTENCES[this.#word]
    if (this.#word === null && (this.#memory === null || !isFull(this.#memory))) return null
    return fullSentence(this.#memory ?? UNKNOWN)
  }

  /** `maxmemory-policy`; null: not known. */
  get policy(): string | null {
    return this.#memory?.policy ?? null
  }

  /** One at a time. Never rejects. */
  look(): Promise<void> {
    this.#cancel()
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null
      if (this.#stopped) return
      this.#say()
      this.#cancel = this.#options.clock.after(this.#word === null ? LOOK_MS : AGAIN_MS, () => void this.look())
    })
    return this.#looking
  }

  async #look(): Promise<void> {
    const { redis, clock } = this.#options
    if (!redis.available()) return
    void this.#lookAtFile()
    this.#writtenBytes = 0
    const askedMs = clock.monotonicMs()
    try {
      const memory = parseMemory(String(await redis.command('INFO', 'memory')))
      if (memory !== null) this.#againS = roomAgainS(this.#memory, memory, askedMs - this.#askedMs)
      this.#memory = memory
      this.#askedMs = askedMs
    } catch {
      // Hosted servers may forbid INFO: what is refused tells.
      this.#memory = null
    }
    if (this.#word === null) return
    try {
      await redis.command('SET', PROBE, '1', 'PX', PROBE_KEPT_MS)
      this.#word = null
    } catch (error) {
      this.#word = refusalWordOf(error) ?? this.#word
    }
  }

  /** Whether the append-only file is still rewritten now and then; now and then. Said once. Never rejects. */
  async #lookAtFile(): Promise<void> {
    const { redis, clock, logger } = this.#options
    const nowMs = clock.monotonicMs()
    if (nowMs < this.#fileAskedMs + FILE_MS) return
    this.#fileAskedMs = nowMs
    const text = String(await redis.command('INFO', 'persistence').catch(() => ''))
    const failed = /^aof_last_bgrewrite_status:err/m.test(text)
    if (failed && !this.#fileSaid)
      logger.warn({}, 'Redis could not rewrite its append-only file, which grows until it can; its log says why')
    this.#fileSaid = failed
  }

  #wouldFill(moreBytes: number): boolean {
    return this.#memory !== null && isFull(this.#memory, moreBytes)
  }

  #refusal(): QueueError | null {
    if (this.trouble() === null) return null
    if (this.#word === null || this.#word === 'OOM') return this.#full()
    return new QueueError('QUEUE_UNAVAILABLE', SENTENCES[this.#word], { retryAfterS: REFUSED_S })
  }

  #full(): QueueError {
    const retryAfterS = this.#memory === null ? REFUSED_S : this.#againS
    return new QueueError('QUEUE_FULL', fullSentence(this.#memory ?? UNKNOWN), { retryAfterS })
  }

  /** Once when it begins, once when it is over. */
  #say(): void {
    const trouble = this.trouble()
    const what = trouble?.split(' (', 1)[0] ?? null
    if (what === this.#wasSaid) return
    this.#wasSaid = what
    if (trouble === null) this.#options.logger.info({}, 'Redis takes calls again')
    else this.#options.logger.error({ reason: trouble }, 'no more calls are accepted')
  }
}
