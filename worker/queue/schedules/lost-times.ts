// Finds schedules that would never fire again because their next time is gone from the list of those that are due, and gives them
// one. Walks over all of them in pages, at start and every two minutes; owns one timer until `close`.
import type { Clock, Logger } from '../../../runtime/api.ts'
import type { RedisStore } from '../../store/connect.ts'
import type { ScheduleStore, StoredSchedule } from './schedule-store.ts'

export interface LostTimesOptions {
  readonly redis: Pick<RedisStore, 'command' | 'available'>
  readonly store: ScheduleStore
  readonly clock: Clock
  readonly logger: Logger
  /** When it fires next, ms since the epoch; null: never again. */
  readonly nextAfter: (schedule: StoredSchedule, ms: number) => number | null
  /** Something is due at another time than was known. */
  readonly found: () => void
}

const EVERY_MS = 120_000
const PAGE_MS = 20
const PAGE = 500
const KEYS = '{thaw}:schedules:of:'

export class LostTimes {
  readonly #options: LostTimesOptions
  #cancel: () => void = () => {}
  #closed = false

  constructor(options: LostTimesOptions) {
    this.#options = options
  }

  start(): void {
    if (this.#closed) return
    this.walk()
      .catch((error: Error) => {
        this.#options.logger.debug({ reason: error.message }, 'schedules could not be looked through')
      })
      .finally(() => {
        if (!this.#closed) this.#cancel = this.#options.clock.after(EVERY_MS, () => this.start())
      })
  }

  close(): void {
    this.#closed = true
    this.#cancel()
  }

  /** Resolves to how many got their time back. */
  async walk(): Promise<number> {
    const { redis, logger, clock, found } = this.#options
    let cursor = '0'
    let mended = 0
    do {
      if (this.#closed || !redis.available()) return mended
      const answer = await redis.command('SCAN', cursor, 'MATCH', `${KEYS}*`, 'COUNT', PAGE)
      const [next, keys] = answer as [string, string[]]
      for (const key of keys) mended += await this.#mendFunction(key.slice(KEYS.length))
      cursor = next
      if (cursor !== '0') await new Promise<void>((resolve) => clock.after(PAGE_MS, resolve))
    } while (cursor !== '0')
    if (mended > 0) {
      logger.warn({ schedules: mended }, 'schedules whose next time was lost have one again')
      found()
    }
    return mended
  }

  async #mendFunction(functionKey: string): Promise<number> {
    const { store, clock, nextAfter } = this.#options
    const [namespace, name] = functionKey.split('/') as [string, string | undefined]
    if (name === undefined) return 0
    let mended = 0
    for (const { stored, nextAtMs } of await store.readAll(namespace, name)) {
      if (stored.paused || nextAtMs !== null) continue
      const atMs = nextAfter(stored, clock.now())
      if (atMs !== null && (await store.giveTime(stored, atMs))) mended++
    }
    return (await store.callNamespace(namespace)) ? mended + 1 : mended
  }
}
