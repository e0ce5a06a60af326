// Reads what is counted of a namespace's asynchronous calls, and corrects it. use-scripts.ts counts.
import type { RedisStore } from '../store/connect.ts'
import { ENDED_BYTES } from './queue-use.ts'
import { CHECK_COUNTED, RECOUNT } from './use-scripts.ts'

const PAGE = 500
/** Summed up in one go: some 5 ms of Redis. */
const RECOUNT_MAX = 20_000

export class UseStore {
  readonly #redis: RedisStore

  constructor(redis: RedisStore) {
    this.#redis = redis
  }

  /** Bytes of calls that are accepted and have not ended, and of what is kept of others. */
  async of(namespace: string): Promise<{ readonly queuedBytes: number; readonly keptBytes: number }> {
    const counts = (await this.#redis.command(
      'HMGET',
      `{thaw}:use:${namespace}`,
      'queued',
      'kept',
      'dead',
    )) as unknown[]
    const [queued = 0, kept = 0, dead = 0] = counts.map(Number)
    return { queuedBytes: queued, keptBytes: kept + dead }
  }

  /** Puts right what is counted of a namespace, where keys were removed by hand. Resolves to whether it was wrong. */
  async recount(namespace: string): Promise<boolean> {
    let wrong = 0
    let cursor = '0'
    do {
      const page = await this.#redis.command('HSCAN', `{thaw}:sizes:${namespace}`, cursor, 'COUNT', PAGE)
      const [next, flat] = page as [string, string[]]
      const ids = flat.filter((_text, index) => index % 2 === 0)
      if (ids.length > 0)
        wrong += (await this.#redis.script(CHECK_COUNTED, [], [namespace, ENDED_BYTES, ...ids])) as number
      cursor = next
    } while (cursor !== '0')
    wrong += (await this.#redis.script(RECOUNT, [], [namespace, RECOUNT_MAX])) as number
    return wrong > 0
  }
}
