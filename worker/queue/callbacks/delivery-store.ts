// Follow-ups and webhook secrets in Redis: keys and scripts. A follow-up that is being tried is put off for a while first, so
// that one process tries it at a time, and another does when that one dies.
//
//   {thaw}:delivery:<id>       string  StoredDelivery (JSON), expires
//   {thaw}:deliveries:due      zset    id → ms of its next try
//   {thaw}:deliveries:of:<inv> set     ids of a call's follow-ups, expires
//   {thaw}:webhook-secrets     hash    namespace → StoredSecret (JSON)
import type { InvocationRecord } from '../../api.ts'
import type { RedisStore } from '../../store/connect.ts'
import { alsoWhenFull } from '../../store/scripts.ts'
import type { Delivery } from './types.ts'

const DUE = '{thaw}:deliveries:due'
const SECRETS = '{thaw}:webhook-secrets'
/** Longer than all retries together. */
const PENDING_KEPT_MS = 3 * 24 * 3_600_000
const ENDED_KEPT_MS = 24 * 3_600_000
/** Longer than a try may take with all that belongs to it. */
const HELD_MS = 40_000

// What the outbox owes; it gives it up for this.
const ADD = alsoWhenFull(`
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
redis.call('SADD', KEYS[2], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
if ARGV[4] ~= '' then redis.call('ZADD', KEYS[3], ARGV[4], ARGV[3]) end
return 1`)

const TAKE = alsoWhenFull(`
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
local found = {}
for _, id in ipairs(ids) do
  local text = redis.call('GET', ARGV[4] .. id)
  if text then
    redis.call('ZADD', KEYS[1], ARGV[2], id)
    found[#found + 1] = text
  else redis.call('ZREM', KEYS[1], id) end
end
return found`)

const PUT = alsoWhenFull(`
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if ARGV[4] == '' then redis.call('ZREM', KEYS[2], ARGV[3]) else redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3]) end`)

const FIRST = `
return redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')`

const ALL_OF = `
local found = {}
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local text = redis.call('GET', ARGV[1] .. id)
  if text then found[#found + 1] = text end
end
return found`

const SECRET = `
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
return redis.call('HGET', KEYS[1], ARGV[1])`

export interface StoredDelivery extends Delivery {
  /** Of the call that ended, as it ended. */
  readonly record: InvocationRecord
  /** Calls of the chain up to and with this follow-up. */
  readonly depth: number
}
export interface StoredSecret {
  readonly secret: string
  readonly previous: string | null
  readonly previousUntilMs: number
}

export class DeliveryStore {
  readonly #redis: RedisStore
  constructor(redis: RedisStore) {
    this.#redis = redis
  }

  /** False: it was added before. `dueAtMs` null: it is over already. */
  async add(delivery: StoredDelivery, dueAtMs: number | null): Promise<boolean> {
    const keys = [keyOf(delivery.id), listKey(delivery.invocation), DUE]
    const args = [JSON.stringify(delivery), PENDING_KEPT_MS, delivery.id, dueAtMs ?? '']
    return (await this.#redis.script(ADD, keys, args)) === 1
  }

  /** Those whose time has come, put off meanwhile. */
  async take(nowMs: number, most: number): Promise<StoredDelivery[]> {
    const texts = await this.#redis.script(TAKE, [DUE], [nowMs, nowMs + HELD_MS, most, keyOf('')])
    return (texts as string[]).map((text) => JSON.parse(text) as StoredDelivery)
  }

  /** Writes what became of a try. `dueAtMs` null: it was the last. */
  async put(delivery: StoredDelivery, dueAtMs: number | null): Promise<void> {
    const keptMs = dueAtMs === null ? ENDED_KEPT_MS : PENDING_KEPT_MS
    await this.#redis.script(
      PUT,
      [keyOf(delivery.id), DUE],
      [JSON.stringify(delivery), keptMs, delivery.id, dueAtMs ?? ''],
    )
  }

  /** When the next one is due; null: there is none. */
  async nextAtMs(): Promise<number | null> {
    const [, score] = (await this.#redis.script(FIRST, [DUE], [])) as string[]
    return score === undefined ? null : Number(score)
  }

  async of(invocation: string): Promise<StoredDelivery[]> {
    const texts = (await this.#redis.script(ALL_OF, [listKey(invocation)], [keyOf('')])) as string[]
    return texts.map((text) => JSON.parse(text) as StoredDelivery)
  }

  /** The namespace's, or `fresh` when it has none yet. */
  async secret(namespace: string, fresh: StoredSecret): Promise<StoredSecret> {
    const text = await this.#redis.script(SECRET, [SECRETS], [namespace, JSON.stringify(fresh)])
    return JSON.parse(text as string) as StoredSecret
  }

  async setSecret(namespace: string, secret: StoredSecret): Promise<void> {
    await this.#redis.command('HSET', SECRETS, namespace, JSON.stringify(secret))
  }
}

function keyOf(id: string): string {
  return `{thaw}:delivery:${id}`
}
function listKey(invocation: string): string {
  return `{thaw}:deliveries:of:${invocation}`
}
