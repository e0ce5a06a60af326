// Dead letters in Redis: reading them, and the scripts that move one back to its queue or away. Keys are the invocation
// store's, which also writes them, together with the record they belong to.
import type { InvocationRecord } from '../api.ts'
import { namespaceOf } from '../registry/names.ts'
import type { RedisStore } from '../store/connect.ts'
import type { FailedAttempt } from './api.ts'
import type { Envelope } from './envelope.ts'
import {
  type DeadEntry,
  DUE,
  deadKey,
  deadListKey,
  jobArgs,
  recordKey,
  timeOfId,
  triesKey,
} from './invocation-store.ts'
import { ADD_JOB } from './job-scripts.ts'
import { ENDED_BYTES, queuedBytesOf } from './queue-use.ts'
import { COUNTING } from './use-scripts.ts'

// A letter may have some hundred kilobytes: the body, and the version with its env. So that neither Redis nor the event loop stands for a
// page of them, as many are read as have ARGV[6] bytes, and one more.
const LIST = `
local ids = redis.call('ZREVRANGEBYSCORE', KEYS[1], ARGV[1], '-inf', 'LIMIT', ARGV[2], ARGV[3])
local found = {}
local bytes = 0
for i, id in ipairs(ids) do
  local text = redis.call('GET', ARGV[4] .. id)
  local tries = redis.call('LRANGE', ARGV[5] .. id, 0, -1)
  found[i] = { id, text, tries }
  if text then bytes = bytes + #text end
  for _, try in ipairs(tries) do bytes = bytes + #try end
  if bytes >= tonumber(ARGV[6]) then break end
end
return { #ids, found }`

// The call is queued again, its record says so and the entry goes: all of it or nothing. Only while the entry is still the one
// that was read: another redrive may have been faster.
export const REDRIVE = `${ADD_JOB}
${COUNTING}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('ZADD', KEYS[5], 'LT', ARGV[5], ARGV[6])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('PEXPIRE', KEYS[3], ARGV[3])
addJob(ARGV[7], ARGV[4], ARGV[8], ARGV[9], tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12]))
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[4], ARGV[4])
local ns = string.match(ARGV[6], '^[^/]*')
count(ns, ARGV[4], 'q', ARGV[13], uncount(ns, ARGV[4]))
return 1`

const PURGE = `${COUNTING}
redis.call('DEL', KEYS[1], KEYS[3])
redis.call('PEXPIRE', KEYS[4], ARGV[2])
local rest = uncount(ARGV[3], ARGV[1])
local bytes = redis.call('STRLEN', KEYS[4])
if bytes > 0 then count(ARGV[3], ARGV[1], 'k', bytes + ARGV[4], rest, ARGV[2]) end
return redis.call('ZREM', KEYS[2], ARGV[1])`

const PAGE = 100
const PAGE_BYTES = 1024 ** 2

export interface StoredDeadLetter {
  readonly id: string
  readonly entry: DeadEntry
  /** The entry's exact text: what `reopen` and `forget` compare. */
  readonly text: string
  readonly attempts: readonly FailedAttempt[]
}

export class DeadLetterStore {
  readonly #redis: RedisStore
  /** How long the record of a purged letter stays. */
  readonly keptMs: number

  constructor(redis: RedisStore, keptMs: number) {
    this.#redis = redis
    this.keptMs = keptMs
  }

  /** Newest first, as `view` makes them: of a letter nothing else is kept. An entry that expired leaves the list when it is met. */
  async list<T>(
    queueKey: string,
    limit: number,
    after: string | null,
    view: (letter: StoredDeadLetter) => T,
  ): Promise<T[]> {
    const found: T[] = []
    const newest = after === null ? '+inf' : String(timeOfId(after) ?? '+inf')
    const count = Math.min(PAGE, limit + 1)
    for (let offset = 0; found.length < limit; ) {
      const args = [newest, offset, count, deadKey(''), triesKey(''), PAGE_BYTES]
      const page = await this.#redis.script(LIST, [deadListKey(queueKey)], args)
      const [length, rows] = page as [number, [string, unknown, string[]][]]
      offset += rows.length
      for (const [id, text, attempts] of rows) {
        if (found.length >= limit || (after !== null && id >= after)) continue
        if (typeof text === 'string') found.push(view(stored(id, text, attempts)))
        else offset -= (await this.#redis.command('ZREM', deadListKey(queueKey), id)) as number
      }
      if (rows.length === length && length < count) break
    }
    return found
  }

  async get(queueKey: string, id: string): Promise<StoredDeadLetter | null> {
    const [score, text, attempts] = await Promise.all([
      this.#redis.command('ZSCORE', deadListKey(queueKey), id),
      this.#redis.command('GET', deadKey(id)),
      this.#redis.command('LRANGE', triesKey(id), 0, -1),
    ])
    return score === null || typeof text !== 'string' ? null : stored(id, text, attempts as string[])
  }

  async count(queueKey: string): Promise<number> {
    return (await this.#redis.command('ZCARD', deadListKey(queueKey))) as number
  }

  /** Queued again, with this record. False: it is not there (any more). */
  async redrive(
    queueKey: string,
    letter: StoredDeadLetter,
    record: InvocationRecord,
    envelope: Envelope,
    keepMs: number,
    nowMs: number,
  ): Promise<boolean> {
    const { id, text } = letter
    const keys = [deadKey(id), recordKey(id), triesKey(id), deadListKey(queueKey), DUE]
    const args = [text, JSON.stringify(record), keepMs, id, envelope.notBeforeMs, queueKey]
    const job = jobArgs(envelope, queueKey, nowMs)
    const all = [...args, ...job, queuedBytesOf(envelope, job[1] as string)]
    return (await this.#redis.script(REDRIVE, keys, all)) === 1
  }

  /** Takes it away with its attempts; the record stays as long as others do. False: it was not there. */
  async purge(queueKey: string, id: string): Promise<boolean> {
    const keys = [deadKey(id), deadListKey(queueKey), triesKey(id), recordKey(id)]
    const args = [id, this.keptMs, namespaceOf(queueKey), ENDED_BYTES]
    return (await this.#redis.script(PURGE, keys, args)) === 1
  }

  /** Takes entries from the list whose time is over. */
  async trim(queueKey: string, olderThanMs: number): Promise<void> {
    await this.#redis.command('ZREMRANGEBYSCORE', deadListKey(queueKey), '-inf', olderThanMs)
  }
}

function stored(id: string, text: string, attempts: readonly string[]): StoredDeadLetter {
  const tries = attempts.map((attempt) => JSON.parse(attempt) as FailedAttempt)
  return { id, text, entry: JSON.parse(text) as DeadEntry, attempts: tries }
}
