// Records, results and idempotency keys of asynchronous calls in Redis: keys and scripts, nothing of BullMQ.
//
//   {thaw}:inv:<id>       string  InvocationRecord (JSON); of a call that never ran `@<ns>/<function>`: its job says all; expires
//   {thaw}:res:<id>       string  ResultHead (JSON), expires
//   {thaw}:invs:<ns>      zset    id → ms of its UUIDv7: the newest-first list
//   {thaw}:due            zset    <ns>/<function> → ms of the earliest time it may have something to run, written before any job
//   {thaw}:idem:<scope>   string  {id, hash}, expires
//   {thaw}:tries:<id>     list    FailedAttempt (JSON) of each attempt that failed, expires
//   {thaw}:dead:<id>      string  DeadEntry (JSON), expires
//   {thaw}:deads:<key>    zset    id → ms of its UUIDv7: dead letters of a function (dead-letter-store.ts reads these three)
//   {thaw}:outbox         hash    id → what is to be told of the end of a call
//   {thaw}:done           channel id of a call that ended
//   {thaw}:cancel         channel id of a running call to be cancelled
//   {thaw}:woken          channel <ns>/<function> that has something to run
// One hash tag for all: a script may touch them together, also in a cluster.
import { createHash } from 'node:crypto'
import type { InvocationRecord, RecordQuery } from '../api.ts'
import type { RedisStore } from '../store/connect.ts'
import type { FailedAttempt, Finished } from './api.ts'
import type { Envelope } from './envelope.ts'
import { isOpen, queuedRecord } from './records.ts'

/** How long records and results of calls that are over stay. */
export const KEPT_MS = 24 * 3_600_000
/** How long a dead letter stays, its record with it. */
export const DEAD_KEPT_MS = 14 * 24 * 3_600_000
const DONE = '{thaw}:done'
const CANCEL = '{thaw}:cancel'
const WOKEN = '{thaw}:woken'
const DUE = '{thaw}:due'
/** Where BullMQ keeps its queues: <prefix>:<ns>:<function>:<id> is a job. */
export const QUEUES_PREFIX = '{thaw}:queue'
export const OUTBOX = '{thaw}:outbox'
const PAGE = 200
/** A query looks at no more than this many records. */
const SCAN_MAX = 20_000

const ACCEPT = `
redis.call('ZADD', KEYS[3], 'LT', ARGV[5], ARGV[6])
redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
redis.call('ZADD', KEYS[2], 'NX', ARGV[3], ARGV[4])`

// The text of a record; of a call that never ran `@` and its envelope; nil when it has no job either: it was not accepted.
const READ_FUNCTION = `
local function read(key, id)
  local text = redis.call('GET', key)
  if not text or string.sub(text, 1, 1) ~= '@' then return text end
  local queue = string.gsub(string.sub(text, 2), '/', ':')
  local envelope = redis.call('HGET', '${QUEUES_PREFIX}:' .. queue .. ':' .. id, 'data')
  return envelope and '@' .. envelope
end`

const READ = `${READ_FUNCTION}
return read(KEYS[1], ARGV[1])`

// Answers the record when the call is over already: a job may outlive its call by a crash between the two writes.
const BEGIN = `
local current = redis.call('GET', KEYS[1])
if current and string.sub(current, 1, 1) ~= '@' then
  local state = cjson.decode(current).state
  if state ~= 'queued' and state ~= 'running' then return current end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false`

// CONTRACT: only the holder of the job's lock may publish. A lock that merely ran out, its job still active, is taken again.
const SETTLE = `
local holder = redis.call('GET', KEYS[3])
if holder ~= ARGV[4] then
  if holder or not redis.call('LPOS', KEYS[4], ARGV[5]) then return 0 end
  redis.call('SET', KEYS[3], ARGV[4], 'PX', ARGV[7])
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if ARGV[3] ~= '' then redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[2]) end
if ARGV[8] ~= '' then
  redis.call('RPUSH', KEYS[5], ARGV[8])
  redis.call('PEXPIRE', KEYS[5], ARGV[2])
end
if ARGV[9] ~= '' then
  redis.call('SET', KEYS[6], ARGV[9], 'PX', ARGV[2])
  redis.call('ZADD', KEYS[7], ARGV[10], ARGV[5])
end
if ARGV[11] ~= '' then redis.call('HSET', KEYS[8], ARGV[5], ARGV[11]) end
if ARGV[6] ~= '' then redis.call('PUBLISH', ARGV[6], ARGV[5]) end
return 1`

// Only while nobody runs it. Whoever fetches its job all the same finds the call over and drops it.
const CANCELLED = `
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
local current = redis.call('GET', KEYS[1])
if not current then return 0 end
if string.sub(current, 1, 1) ~= '@' then
  local state = cjson.decode(current).state
  if state ~= 'queued' and state ~= 'running' then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1`

const CLAIM = `
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return false end
return redis.call('GET', KEYS[1])`

const PAGE_OF = `${READ_FUNCTION}
local ids = redis.call('ZREVRANGEBYSCORE', KEYS[1], ARGV[1], ARGV[2], 'LIMIT', ARGV[3], ARGV[4])
local found = {}
for i, id in ipairs(ids) do found[i] = read(ARGV[5] .. id, id) end
return {ids, found}`

/** A result as it lies in Redis; the body inline, or in `<state>/results/<file>`. */
export interface ResultHead {
  readonly status: number
  readonly headers: readonly string[]
  readonly bodyBytes: number
  readonly base64: string | null
  readonly file: string | null
}
/** The job's lock and list, which decide who may publish. */
export interface JobHold {
  readonly lockKey: string
  readonly activeKey: string
  readonly token: string
  readonly lockMs: number
}
/** What became of one attempt. */
export interface Settlement {
  readonly record: InvocationRecord
  readonly result: ResultHead | null
  readonly hold: JobHold
  readonly keptMs: number
  /** Joins the call's failed attempts. */
  readonly failed: FailedAttempt | null
  /** The call becomes a dead letter. */
  readonly dead: DeadEntry | null
  /** What the outbox is to say; null: nothing. */
  readonly notify: unknown
}
/** A dead letter as it lies in Redis: all that another run needs. */
export interface DeadEntry {
  readonly envelope: Envelope
  readonly state: 'failed' | 'timed-out'
  /** The number of the last attempt. */
  readonly attempt: number
  readonly diedAtMs: number
}
export interface Claim {
  readonly id: string
  readonly hash: string
}

export class InvocationStore {
  readonly #redis: RedisStore
  constructor(redis: RedisStore) {
    this.#redis = redis
  }

  /** Before its job is added: the queue is due then, and the call can be asked for as soon as the job is there. */
  async accept(envelope: Envelope, queueKey: string, keepMs: number): Promise<void> {
    const { id, version, notBeforeMs, acceptedAtMs } = envelope
    const keys = [recordKey(id), indexKey(version.namespace), DUE]
    const args = [`@${queueKey}`, keepMs, timeOfId(id) ?? acceptedAtMs, id, notBeforeMs, queueKey]
    await this.#redis.script(ACCEPT, keys, args)
  }

  /** Before a job comes back to its queue. */
  async due(queueKey: string, atMs: number): Promise<void> {
    await this.#redis.command('ZADD', DUE, 'LT', atMs, queueKey)
  }

  /** Marks it running; answers the record instead when the call is over. */
  async begin(running: InvocationRecord, keepMs: number): Promise<InvocationRecord | null> {
    const over = await this.#redis.script(BEGIN, [recordKey(running.id)], [JSON.stringify(running), keepMs])
    return over === null ? null : (JSON.parse(over as string) as InvocationRecord)
  }

  /** Writes what became of an attempt. False: somebody else holds the job now, nothing was written. */
  async settle(settlement: Settlement): Promise<boolean> {
    const { record, result, hold, keptMs, failed, dead, notify } = settlement
    const { id } = record
    const deadsKey = deadListKey(`${record.namespace}/${record.function}`)
    const keys = [recordKey(id), resultKey(id), hold.lockKey, hold.activeKey, triesKey(id), deadKey(id), deadsKey]
    const args = [
      JSON.stringify(record),
      keptMs,
      jsonOr(result),
      hold.token,
      id,
      isOpen(record.state) ? '' : DONE,
      hold.lockMs,
      jsonOr(failed),
      jsonOr(dead),
      scoreOf(record),
      jsonOr(notify),
    ]
    return (await this.#redis.script(SETTLE, [...keys, OUTBOX], args)) === 1
  }

  /** Ends a call that nobody runs. False: somebody does, or it is over. */
  async endWaiting(record: InvocationRecord, lockKey: string): Promise<boolean> {
    const args = [JSON.stringify(record), KEPT_MS, DONE, record.id]
    return (await this.#redis.script(CANCELLED, [recordKey(record.id), lockKey], args)) === 1
  }

  /** null: the key is ours now. */
  async claim(scope: readonly string[], claim: Claim): Promise<Claim | null> {
    const digest = createHash('sha256').update(JSON.stringify(scope)).digest('hex')
    const earlier = await this.#redis.script(CLAIM, [`{thaw}:idem:${digest}`], [JSON.stringify(claim), KEPT_MS])
    return earlier === null ? null : (JSON.parse(earlier as string) as Claim)
  }

  async record(id: string): Promise<InvocationRecord | null> {
    const text = await this.#redis.script(READ, [recordKey(id)], [id])
    return typeof text === 'string' ? parseRecord(text) : null
  }

  async isDead(id: string): Promise<boolean> {
    return (await this.#redis.command('EXISTS', deadKey(id))) === 1
  }

  async result(id: string): Promise<ResultHead | null> {
    const text = await this.#redis.command('GET', resultKey(id))
    return text === null ? null : (JSON.parse(text as string) as ResultHead)
  }

  /** Newest first. */
  async records(query: RecordQuery): Promise<InvocationRecord[]> {
    const newest = query.after === undefined ? '+inf' : String(timeOfId(query.after) ?? '+inf')
    const oldest = query.sinceMs === undefined ? '-inf' : String(query.sinceMs)
    const found: InvocationRecord[] = []
    for (let offset = 0; offset < SCAN_MAX && found.length < query.limit; offset += PAGE) {
      const args = [newest, oldest, offset, PAGE, recordKey('')]
      const [ids, texts] = (await this.#redis.script(PAGE_OF, [indexKey(query.namespace)], args)) as [
        string[],
        unknown[],
      ]
      for (const text of texts) {
        if (typeof text !== 'string' || found.length >= query.limit) continue
        const record = parseRecord(text)
        if (matches(record, query)) found.push(record)
      }
      if (ids.length < PAGE) break
    }
    return found
  }

  /** At most about so many entries. */
  async outbox(limit: number): Promise<Finished[]> {
    const found: Finished[] = []
    let cursor = '0'
    do {
      const [next, flat] = (await this.#redis.command('HSCAN', OUTBOX, cursor, 'COUNT', limit)) as [string, string[]]
      for (let i = 1; i < flat.length; i += 2) found.push(JSON.parse(flat[i]!) as Finished)
      cursor = next
    } while (cursor !== '0' && found.length < limit)
    return found.slice(0, limit)
  }

  async leaveOutbox(id: string): Promise<void> {
    await this.#redis.command('HDEL', OUTBOX, id)
  }

  async queueKeys(): Promise<string[]> {
    return (await this.#redis.command('ZRANGE', DUE, 0, -1)) as string[]
  }

  /** Drops list entries older than `ms` since the epoch. */
  async trimIndex(namespace: string, ms: number): Promise<void> {
    await this.#redis.command('ZREMRANGEBYSCORE', indexKey(namespace), '-inf', ms)
  }

  announceDue(queueKey: string): void {
    this.#redis.command('PUBLISH', WOKEN, queueKey).catch(() => {})
  }

  async announceCancel(id: string): Promise<void> {
    await this.#redis.command('PUBLISH', CANCEL, id)
  }

  /** `onJoined`: news may have been missed. The returned function stops. */
  follow(on: {
    done(id: string): void
    cancel(id: string): void
    due(queueKey: string): void
    joined(): void
  }): () => void {
    const leave = [
      this.#redis.subscribe(DONE, on.done, on.joined),
      this.#redis.subscribe(CANCEL, on.cancel),
      this.#redis.subscribe(WOKEN, on.due),
    ]
    return () => {
      for (const stop of leave) stop()
    }
  }
}

function parseRecord(text: string): InvocationRecord {
  if (!text.startsWith('@')) return JSON.parse(text) as InvocationRecord
  return queuedRecord(JSON.parse(text.slice(1)) as Envelope)
}

function matches(record: InvocationRecord, query: RecordQuery): boolean {
  if (query.function !== undefined && record.function !== query.function) return false
  if (query.state !== undefined && record.state !== query.state) return false
  if (query.sinceMs !== undefined && Date.parse(record.createdAt) < query.sinceMs) return false
  return query.after === undefined || record.id < query.after
}

function jsonOr(value: unknown): string {
  return value === null || value === undefined ? '' : JSON.stringify(value)
}

export function recordKey(id: string): string {
  return `{thaw}:inv:${id}`
}
function resultKey(id: string): string {
  return `{thaw}:res:${id}`
}
export function triesKey(id: string): string {
  return `{thaw}:tries:${id}`
}
export function deadKey(id: string): string {
  return `{thaw}:dead:${id}`
}
export function deadListKey(queueKey: string): string {
  return `{thaw}:deads:${queueKey}`
}
function indexKey(namespace: string): string {
  return `{thaw}:invs:${namespace}`
}

function scoreOf(record: InvocationRecord): number {
  return timeOfId(record.id) ?? Date.parse(record.createdAt)
}

/** Ms since the epoch in a UUIDv7 (RFC 9562), null for another id. */
export function timeOfId(id: string): number | null {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-7/.test(id) ? Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16) : null
}
