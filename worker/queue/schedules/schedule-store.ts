// Schedules in Redis: keys and scripts. A process that fires one holds it for a while, so that two platforms on one Redis do not both fire it.
//
//   {thaw}:schedules:of:<ns>/<fn>  hash   name → StoredSchedule (JSON)
//   {thaw}:schedules:due:<ns>      zset   <ns>/<fn>/<name> → ms of its next time; with {thaw}:schedules:namespaces
//                                         (due-by-namespace.ts)
//   {thaw}:schedules:last          hash   <ns>/<fn>/<name> → LastFire (JSON)
//   {thaw}:schedules:held:<member> string held by the process that fires it, expires
//   {thaw}:schedules:news          channel a schedule was set
import { namespaceOf } from '../../registry/names.ts'
import type { RedisStore } from '../../store/connect.ts'
import { alsoWhenFull } from '../../store/scripts.ts'
import { divideByNamespace, dueKeys, FIRST_OF, firstTimes, pairsOf } from '../due-by-namespace.ts'
import type { LastFire, ScheduleSpec } from './types.ts'

const LIST = '{thaw}:schedules'
const LAST = '{thaw}:schedules:last'
const NEWS = '{thaw}:schedules:news'
const HELD_MS = 15_000

const SET = `${FIRST_OF}
local existed = redis.call('HEXISTS', KEYS[3], ARGV[2])
if existed == 0 and redis.call('HLEN', KEYS[3]) >= tonumber(ARGV[6]) then return -1 end
redis.call('HSET', KEYS[3], ARGV[2], ARGV[3])
if ARGV[5] == '' then redis.call('ZREM', KEYS[1], ARGV[4]) else redis.call('ZADD', KEYS[1], ARGV[5], ARGV[4]) end
first()
redis.call('PUBLISH', ARGV[7], ARGV[4])
return existed`

const READ_ONE = `
return {redis.call('HGET', KEYS[1], ARGV[1]), redis.call('ZSCORE', KEYS[2], ARGV[2]), redis.call('HGET', KEYS[3], ARGV[2])}`

// Of these names as many as have ARGV[2] bytes, and one more: a schedule may have 64 KiB, a function a thousand of them.
const READ_SOME = `
local found = {}
local bytes = 0
for i = 3, #ARGV do
  local member = ARGV[1] .. ARGV[i]
  local text = redis.call('HGET', KEYS[1], ARGV[i])
  found[i - 2] = {text, redis.call('ZSCORE', KEYS[2], member), redis.call('HGET', KEYS[3], member)}
  if text then bytes = bytes + #text end
  if bytes >= tonumber(ARGV[2]) then break end
end
return found`
const READ_BYTES = 512 * 1024
const READ_NAMES = 200

const COUNT = `
local count = 0
for i = 1, #KEYS do count = count + redis.call('HLEN', KEYS[i]) end
return count`

const REMOVE = `${FIRST_OF}
local gone = 0
for i = 3, #ARGV do
  gone = gone + redis.call('HDEL', KEYS[3], ARGV[i])
  redis.call('ZREM', KEYS[1], ARGV[2] .. ARGV[i])
  redis.call('HDEL', KEYS[4], ARGV[2] .. ARGV[i])
end
first()
return gone`

const REMOVE_ALL = `${FIRST_OF}
local names = redis.call('HKEYS', KEYS[3])
for _, name in ipairs(names) do
  redis.call('ZREM', KEYS[1], ARGV[2] .. name)
  redis.call('HDEL', KEYS[4], ARGV[2] .. name)
end
redis.call('DEL', KEYS[3])
first()
return #names`

// By script: flat and as text, whatever protocol the connection speaks.
const DUE_NOW = `
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[2])`

// What an earlier release left: one list for all namespaces. A page of it goes to the lists of the namespaces.
const DIVIDE = `
local rows = redis.call('ZRANGE', KEYS[1], 0, 499, 'WITHSCORES')
for i = 1, #rows, 2 do
  local ns = string.match(rows[i], '^[^/]*')
  redis.call('ZADD', KEYS[1] .. ':' .. ns, rows[i + 1], rows[i])
  redis.call('ZADD', KEYS[2], 'LT', rows[i + 1], ns)
  redis.call('ZREM', KEYS[1], rows[i])
end
return #rows / 2`

// CONTRACT: only for the time that is still the next one, and only one at once.
const TAKE = `${FIRST_OF}
if redis.call('ZSCORE', KEYS[1], ARGV[3]) ~= ARGV[4] then return false end
local schedule = redis.call('HGET', KEYS[3], ARGV[2])
if not schedule then
  redis.call('ZREM', KEYS[1], ARGV[3])
  first()
  return false
end
if not redis.call('SET', KEYS[4], '1', 'NX', 'PX', ARGV[5]) then return false end
return schedule`

const ADVANCE = alsoWhenFull(`${FIRST_OF}
redis.call('DEL', KEYS[4])
if redis.call('ZSCORE', KEYS[1], ARGV[2]) ~= ARGV[3] then return 0 end
if ARGV[4] == '' then redis.call('ZREM', KEYS[1], ARGV[2]) else redis.call('ZADD', KEYS[1], ARGV[4], ARGV[2]) end
first()
redis.call('HSET', KEYS[3], ARGV[2], ARGV[5])
return 1`)

// A schedule without a next time gets one, unless it was set or has one meanwhile.
const GIVE_TIME = `${FIRST_OF}
if redis.call('HGET', KEYS[3], ARGV[2]) ~= ARGV[3] or redis.call('ZSCORE', KEYS[1], ARGV[4]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[5], ARGV[4])
first()
return 1`

// Enters a namespace that has something due and is missing in the list of namespaces.
const CALL_NAMESPACE = `${FIRST_OF}
if redis.call('ZSCORE', KEYS[2], ARGV[1]) or redis.call('ZCARD', KEYS[1]) == 0 then return 0 end
first()
return 1`

/** What is stored of one schedule; when it fires next and fired last lie beside it. */
export interface StoredSchedule extends ScheduleSpec {
  readonly namespace: string
  readonly function: string
  readonly name: string
  readonly createdAt: string
  readonly updatedAt: string
}
export interface KeptSchedule {
  readonly stored: StoredSchedule
  readonly nextAtMs: number | null
  readonly last: LastFire | null
}
export interface DueSchedule {
  readonly member: string
  /** As Redis wrote it: compared as text. */
  readonly score: string
}

export class ScheduleStore {
  readonly #redis: RedisStore
  constructor(redis: RedisStore) {
    this.#redis = redis
  }

  /** False: it replaced one; null: the function has `most` already. */
  async set(schedule: StoredSchedule, nextAtMs: number | null, most: number): Promise<boolean | null> {
    const { namespace } = schedule
    const keys = [...dueKeys(LIST, namespace), keyOf(namespace, schedule.function)]
    const args = [namespace, schedule.name, JSON.stringify(schedule), memberOf(schedule), nextAtMs ?? '', most, NEWS]
    const existed = (await this.#redis.script(SET, keys, args)) as number
    return existed === -1 ? null : existed === 0
  }

  async read(namespace: string, functionName: string, name: string): Promise<KeptSchedule | null> {
    const keys = [keyOf(namespace, functionName), dueKeys(LIST, namespace)[0], LAST]
    const row = await this.#redis.script(READ_ONE, keys, [name, `${namespace}/${functionName}/${name}`])
    return keptOf(row as Row)
  }

  /** Sorted by name. */
  async readAll(namespace: string, functionName: string): Promise<KeptSchedule[]> {
    const keys = [keyOf(namespace, functionName), dueKeys(LIST, namespace)[0], LAST]
    const names = ((await this.#redis.command('HKEYS', keyOf(namespace, functionName))) as string[]).sort()
    const kept: KeptSchedule[] = []
    for (let at = 0; at < names.length; ) {
      const args = [`${namespace}/${functionName}/`, READ_BYTES, ...names.slice(at, at + READ_NAMES)]
      const rows = (await this.#redis.script(READ_SOME, keys, args)) as Row[]
      for (const row of rows) {
        const one = keptOf(row)
        if (one !== null) kept.push(one)
      }
      at += rows.length
    }
    return kept
  }

  /** How many these functions of a namespace have together, paused ones included. */
  async count(namespace: string, functionNames: readonly string[]): Promise<number> {
    if (functionNames.length === 0) return 0
    const keys = functionNames.map((name) => keyOf(namespace, name))
    return (await this.#redis.script(COUNT, keys, [])) as number
  }

  async remove(namespace: string, functionName: string, name: string): Promise<boolean> {
    const keys = [...dueKeys(LIST, namespace), keyOf(namespace, functionName), LAST]
    return (await this.#redis.script(REMOVE, keys, [namespace, `${namespace}/${functionName}/`, name])) === 1
  }

  async removeAll(namespace: string, functionName: string): Promise<number> {
    const keys = [...dueKeys(LIST, namespace), keyOf(namespace, functionName), LAST]
    return (await this.#redis.script(REMOVE_ALL, keys, [namespace, `${namespace}/${functionName}/`])) as number
  }

  /** Of a namespace, those whose time has come, longest due first. */
  async due(namespace: string, nowMs: number, most: number): Promise<DueSchedule[]> {
    const texts = (await this.#redis.script(DUE_NOW, dueKeys(LIST, namespace).slice(0, 1), [nowMs, most])) as string[]
    return pairsOf(texts).map(([member, score]) => ({ member, score }))
  }

  /** Namespaces with the time of their first schedule, soonest first. */
  firstTimes(most: number): ReturnType<typeof firstTimes> {
    return firstTimes(this.#redis, LIST, most)
  }

  /** Takes over what an earlier release wrote. */
  async divide(): Promise<void> {
    await divideByNamespace(this.#redis, LIST, DIVIDE, [])
  }

  /** null: another process fires it or did, or it is gone. */
  async take({ member, score }: DueSchedule): Promise<StoredSchedule | null> {
    const [namespace, functionName, name] = member.split('/') as [string, string, string]
    const keys = [...dueKeys(LIST, namespace), keyOf(namespace, functionName), heldKey(member)]
    const text = await this.#redis.script(TAKE, keys, [namespace, name, member, score, HELD_MS])
    return text === null ? null : readSchedule(text as string)
  }

  /** Fired (or skipped): on to its next time, unless it was set again meanwhile. */
  async advance({ member, score }: DueSchedule, nextAtMs: number | null, last: LastFire): Promise<void> {
    const namespace = namespaceOf(member)
    const args = [namespace, member, score, nextAtMs ?? '', JSON.stringify(last)]
    await this.#redis.script(ADVANCE, [...dueKeys(LIST, namespace), LAST, heldKey(member)], args)
  }

  /** Of one without a next time. False: it has one, or was set again meanwhile. */
  async giveTime(schedule: StoredSchedule, atMs: number): Promise<boolean> {
    const { namespace, function: functionName, name } = schedule
    const keys = [...dueKeys(LIST, namespace), keyOf(namespace, functionName)]
    const args = [namespace, name, JSON.stringify(schedule), memberOf(schedule), atMs]
    return (await this.#redis.script(GIVE_TIME, keys, args)) === 1
  }

  /** True: the namespace has something due and was not among those that are asked. */
  async callNamespace(namespace: string): Promise<boolean> {
    return (await this.#redis.script(CALL_NAMESPACE, dueKeys(LIST, namespace), [namespace])) === 1
  }

  /** Could not be fired now: it stays due. */
  async release({ member }: DueSchedule): Promise<void> {
    await this.#redis.command('DEL', heldKey(member))
  }

  /** `onNews` also when some may have been missed. The returned function stops. */
  follow(onNews: () => void): () => void {
    return this.#redis.subscribe(NEWS, onNews, onNews)
  }
}

type Row = [string | null, string | null, string | null]
function keptOf([stored, score, last]: Row): KeptSchedule | null {
  const schedule = stored === null ? null : readSchedule(stored)
  if (schedule === null) return null
  return {
    stored: schedule,
    nextAtMs: score === null ? null : Number(score),
    last: last === null ? null : (JSON.parse(last) as LastFire),
  }
}

/** null: it cannot be read; it must not keep others waiting. */
function readSchedule(text: string): StoredSchedule | null {
  try {
    return JSON.parse(text) as StoredSchedule
  } catch {
    return null
  }
}

function keyOf(namespace: string, functionName: string): string {
  return `{thaw}:schedules:of:${namespace}/${functionName}`
}
function heldKey(member: string): string {
  return `{thaw}:schedules:held:${member}`
}
function memberOf({ namespace, function: functionName, name }: StoredSchedule): string {
  return `${namespace}/${functionName}/${name}`
}
