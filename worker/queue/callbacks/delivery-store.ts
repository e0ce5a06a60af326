// Follow-ups and webhook secrets in Redis: keys and scripts. A follow-up that is being tried is put off for a while first, so
// that one process tries it at a time, and another does when that one dies.
//
//   {thaw}:delivery:<id>       string  StoredDelivery (JSON), expires
//   {thaw}:deliveries:due:<ns> zset    id → ms of its next try; with {thaw}:deliveries:namespaces (due-by-namespace.ts)
//   {thaw}:deliveries:of:<inv> set     ids of a call's follow-ups, expires
//   {thaw}:webhook-secrets     hash    namespace → StoredSecret (JSON)
import type { InvocationRecord } from '../../api.ts'
import type { RedisStore } from '../../store/connect.ts'
import { alsoWhenFull } from '../../store/scripts.ts'
import { divideByNamespace, dueKeys, FIRST_OF, firstTimes } from '../due-by-namespace.ts'
import type { Delivery } from './types.ts'

const LIST = '{thaw}:deliveries'
const SECRETS = '{thaw}:webhook-secrets'
/** Longer than all retries together. */
const PENDING_KEPT_MS = 3 * 24 * 3_600_000
const ENDED_KEPT_MS = 24 * 3_600_000
/** Longer than a try may take with all that belongs to it. */
const HELD_MS = 40_000

// What the outbox owes; it gives it up for this.
export const ADD = alsoWhenFull(`${FIRST_OF}
if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
if ARGV[5] ~= '' and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[6]) then return -1 end
redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3])
redis.call('SADD', KEYS[4], ARGV[4])
redis.call('PEXPIRE', KEYS[4], ARGV[3])
if ARGV[5] ~= '' then
  redis.call('ZADD', KEYS[1], ARGV[5], ARGV[4])
  first()
end
return 1`)

export const TAKE = alsoWhenFull(`${FIRST_OF}
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2], 'LIMIT', 0, ARGV[4])
local found = {}
for _, id in ipairs(ids) do
  local text = redis.call('GET', ARGV[5] .. id)
  if text then
    redis.call('ZADD', KEYS[1], ARGV[3], id)
    found[#found + 1] = text
  else redis.call('ZREM', KEYS[1], id) end
end
first()
return found`)

export const PUT = alsoWhenFull(`${FIRST_OF}
redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3])
if ARGV[5] == '' then redis.call('ZREM', KEYS[1], ARGV[4]) else redis.call('ZADD', KEYS[1], ARGV[5], ARGV[4]) end
first()`)

// What an earlier release left: one list for all namespaces. A page of it goes to the lists of the namespaces.
const DIVIDE = `
local rows = redis.call('ZRANGE', KEYS[1], 0, 499, 'WITHSCORES')
for i = 1, #rows, 2 do
  local text = redis.call('GET', ARGV[1] .. rows[i])
  if text then
    local ns = cjson.decode(text).record.namespace
    redis.call('ZADD', KEYS[1] .. ':' .. ns, 'NX', rows[i + 1], rows[i])
    redis.call('ZADD', KEYS[2], 'LT', rows[i + 1], ns)
  end
  redis.call('ZREM', KEYS[1], rows[i])
end
return #rows / 2`

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

  /** `known`: it was added before. `full`: the namespace has `most` that wait, nothing was written. `dueAtMs` null: it is over
   *  already, and none waits. */
  async add(delivery: StoredDelivery, dueAtMs: number | null, most: number): Promise<'added' | 'known' | 'full'> {
    const { namespace } = delivery.record
    const keys = [...dueKeys(LIST, namespace), keyOf(delivery.id), listKey(delivery.invocation)]
    const keptMs = dueAtMs === null ? ENDED_KEPT_MS : PENDING_KEPT_MS
    const args = [namespace, JSON.stringify(delivery), keptMs, delivery.id, dueAtMs ?? '', most]
    const answer = await this.#redis.script(ADD, keys, args)
    return answer === 1 ? 'added' : answer === 0 ? 'known' : 'full'
  }

  /** Of a namespace, those whose time has come, put off meanwhile. */
  async take(namespace: string, nowMs: number, most: number): Promise<StoredDelivery[]> {
    const args = [namespace, nowMs, nowMs + HELD_MS, most, keyOf('')]
    const texts = await this.#redis.script(TAKE, dueKeys(LIST, namespace), args)
    // One that cannot be read is left to expire; it must not keep others waiting.
    return (texts as string[]).map(readDelivery).filter((one) => one !== null)
  }

  /** Writes what became of a try. `dueAtMs` null: it was the last. */
  async put(delivery: StoredDelivery, dueAtMs: number | null): Promise<void> {
    const { namespace } = delivery.record
    const keptMs = dueAtMs === null ? ENDED_KEPT_MS : PENDING_KEPT_MS
    const args = [namespace, JSON.stringify(delivery), keptMs, delivery.id, dueAtMs ?? '']
    await this.#redis.script(PUT, [...dueKeys(LIST, namespace), keyOf(delivery.id)], args)
  }

  /** Namespaces with the time of their first try, soonest first. */
  firstTimes(most: number): ReturnType<typeof firstTimes> {
    return firstTimes(this.#redis, LIST, most)
  }

  /** Takes over what an earlier release wrote. */
  async divide(): Promise<void> {
    await divideByNamespace(this.#redis, LIST, DIVIDE, [keyOf('')])
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

function readDelivery(text: string): StoredDelivery | null {
  try {
    return JSON.parse(text) as StoredDelivery
  } catch {
    return null
  }
}

function keyOf(id: string): string {
  return `{thaw}:delivery:${id}`
}
function listKey(invocation: string): string {
  return `{thaw}:deliveries:of:${invocation}`
}
