// What the lane may entrust to its Redis now: whether it keeps what it is given (server-policy.ts), whether it takes more (room.ts).
// Every refusal is noted here.
import type { Clock, Logger } from '../../runtime/api.ts'
import type { RedisStore } from '../store/connect.ts'
import { StoreError } from '../store/errors.ts'
import { QueueError, type Submission } from './api.ts'
import { kept } from './intake.ts'
import { RedisRoom } from './room.ts'
import { evictionRefusal, readServerPolicy, type ServerPolicy } from './server-policy.ts'
import { asking, unavailable } from './unavailable.ts'

export interface StandingOptions {
  readonly redis: RedisStore
  readonly clock: Clock
  readonly logger: Logger
}

/** Owns a timer from the first connection to `stop`. */
export class ServerStanding {
  readonly #options: StandingOptions
  readonly #room: RedisRoom
  #policy: ServerPolicy | null = null

  constructor(options: StandingOptions) {
    this.#options = options
    this.#room = new RedisRoom(options)
  }

  get durability(): ServerPolicy['durability'] {
    return this.#policy?.durability ?? 'memory'
  }

  /** Resolves when the server was asked, or after `ms`. Never rejects. */
  async connected(ms: number): Promise<void> {
    if (await this.#options.redis.waitAvailable(ms)) await this.read()
    this.#room.start()
  }

  /** Asks again. Never rejects: what cannot be asked stays as it was known. */
  async read(): Promise<void> {
    const { redis, logger } = this.#options
    const [policy] = await Promise.all([readServerPolicy(redis).catch(() => this.#policy), this.#room.look()])
    this.#policy = policy
    if (policy?.refused) logger.error({}, policy.refused)
  }

  /** Why a server that answers may not be used at all; null: it may, or that is not known yet. */
  refusal(): string | null {
    const { policy } = this.#room
    return policy === null ? this.#policy?.refused || null : evictionRefusal(policy)
  }

  /** Why it takes nothing more; null: it does, or it is away. */
  full(): string | null {
    return this.#options.redis.available() ? this.#room.trouble() : null
  }

  /** Takes a call in. Throws QueueError before anything of it is kept where nothing (more) can be entrusted to the server. */
  async taking<T>(submission: Submission, take: () => Promise<T>): Promise<T> {
    if (!this.#options.redis.available()) throw unavailable(new StoreError('REDIS_AWAY', 'redis is away'))
    const refused = this.refusal()
    if (refused !== null) throw new QueueError('QUEUE_UNAVAILABLE', refused)
    return await this.asking(() => this.#room.within(kept(submission), take))
  }

  /** Runs it; a refusal of the server is noticed. */
  async noting<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run()
    } catch (error) {
      this.#room.saw(error)
      throw error
    }
  }

  /** As `noting`; rejects with QueueErrors only. */
  asking<T>(ask: () => Promise<T>): Promise<T> {
    return asking(() => this.noting(ask))
  }

  stop(): void {
    this.#room.stop()
  }
}
