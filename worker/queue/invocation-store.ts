// Records, results and idempotency keys of asynchronous calls in Redis: keys and scripts, nothing of BullMQ.
//
//   {thaw}:inv:<id>       string  InvocationRecord (JSON); of a call that never ran `@<ns>/<function>`: its job says all; expires
//   {thaw}:res:<id>       string  ResultHead (JSON), expires
//   {thaw}:invs:<ns>      zset    id → ms of its UUIDv7: the newest-first list
//   {thaw}:due            zset    <ns>/<function> → ms of the earliest time it may have something to run, written before any job
//   {thaw}:namespaces     set     namespaces that ever had a call
//   {thaw}:idem:<scope>   string  {id, hash}, expires
//   {thaw}:tries:<id>     list    FailedAttempt (JSON) of each attempt that failed, expires
//   {thaw}:dead:<id>      string  DeadEntry (JSON), expires
//   {thaw}:deads:<key>    zset    id → ms of its UUIDv7: dead letters of a function (dead-letter-store.ts reads these three)
//   {thaw}:outbox         hash    id → what is to be told of the end of a call
//   {thaw}:done           channel id of a call that ended
//   {thaw}:cancel         channel id of a running call to be cancelled
//   {thaw}:leave          channel id of a running call whose caller left
//   {thaw}:woken          channel <ns>/<function> that has something to run
// One hash tag for all: a script may touch them together, also in a cluster.
import type { InvocationRecord, RecordQuery } from '../api.ts'
import type { RedisStore } from '../store/connect.ts'
import type { Finished } from './api.ts'
import type { Claim, Forgotten, JobHold, RecordPage, ResultHead, Settled, Settlement } from './call-texts.ts'
import { type Envelope, envelopeText, readEnvelope } from './envelope.ts'
import {
  claimKey,
  deadKey,
  deadListKey,
  digestOf,
  indexKey,
  recordKey,
  resultKey,
  scoreOf,
  timeOfId,
  triesKey,
} from './invocation-keys.ts'
import {
  ACCEPT,
  BEGIN,
  CANCELLED,
  CLAIM,
  FINISH,
  PAGE_OF,
  READ,
  SETTLE,
  SETTLE_DUE,
  TRIM_INDEX,
  UNCLAIM,
} from './invocation-scripts.ts'
import { queuePrefixOf } from './job-scripts.ts'
import { ENDED_BYTES, keptBytesOf, type QueueUse, queuedBytesOf } from './queue-use.ts'
import { isOpen, queuedRecord } from './records.ts'
import { FORGET_RESULT } from './use-scripts.ts'

export type {
  Claim,
  DeadCall,
  DeadEntry,
  Forgotten,
  JobHold,
  JobMove,
  LostCall,
  RecordPage,
  ResultHead,
  Settled,
  Settlement,
} from './call-texts.ts'
export { deadKey, deadListKey, indexKey, recordKey, timeOfId, triesKey } from './invocation-keys.ts'

/** How long records and results of calls that are over stay, unless configured. */
export const KEPT_MS = 24 * 3_600_000
/** How long an idempotency key is remembered. */
const KEY_KEPT_MS = 24 * 3_600_000
/** How long a record stays for whose answer somebody waited: its caller has it already. */
export const AWAITED_KEPT_MS = 10 * 60_000
const NAMESPACES = '{thaw}:namespaces'
/** How long a dead letter stays, its record with it. */
export const DEAD_KEPT_MS = 14 * 24 * 3_600_000
export const DONE = '{thaw}:done'
const CANCEL = '{thaw}:cancel'
const LEAVE = '{thaw}:leave'
const WOKEN = '{thaw}:woken'
export const DUE = '{thaw}:due'
export const OUTBOX = '{thaw}:outbox'
const PAGE = 500
/** A query looks at no more than this many records before it answers. */
const SCAN_MAX = 50_000
const DUE_SETTLED_MS = 60_000

export class InvocationStore {
  readonly #redis: RedisStore
  /** How long records and results of calls that are over stay. */
  readonly keptMs: number
  readonly #namespaces = new Set<string>()
  readonly #use: QueueUse | null
  readonly #onForgotten: (what: Forgotten) => void

  /** `use` null: namespaces have no bounds. `onForgotten` gets what was removed to make room for newer calls; its files are to be removed, too. */
  constructor(
    redis: RedisStore,
    keptMs = KEPT_MS,
    use: QueueUse | null = null,
    onForgotten: (what: Forgotten) => void = () => {},
  ) {
    this.#redis = redis
    this.keptMs = keptMs
    this.#use = use
    this.#onForgotten = onForgotten
  }

  /** The queue is due when the call is, the call can be asked for, and its job is there: all of it or nothing. `key`: the scope of
   *  its idempotency key. Throws QuotaExceeded when the namespace has too much queued. */
  async accept(
    envelope: Envelope,
    queueKey: string,
    keepMs: number,
    nowMs: number,
    key: readonly string[] | null = null,
  ): Promise<void> {
    const { id, version, notBeforeMs, acceptedAtMs } = envelope
    const keys = [recordKey(id), indexKey(version.namespace), DUE]
    const listed = envelope.awaited ? '' : (timeOfId(id) ?? acceptedAtMs)
    const args = [`@${queueKey}`, keepMs, listed, id, notBeforeMs, queueKey]
    // Sent at once: the news of the call goes out right after it.
    const job = jobArgs(envelope, queueKey, nowMs)
    const { namespace } = version
    const bytes = queuedBytesOf(envelope, job[1] as string)
    this.#use?.expect(namespace, bytes)
    const counted = [bytes, this.#use?.queuedBound(namespace) ?? '', key === null ? '' : `:${digestOf(key)}`]
    const accepted = this.#redis.script(ACCEPT, keys, [...args, ...job, ...counted])
    if (!this.#namespaces.has(version.namespace)) {
      await Promise.all([accepted, this.#redis.command('SADD', NAMESPACES, version.namespace)])
      this.#namespaces.add(version.namespace)
    }
    const queued = await accepted
    if (typeof queued === 'number' && this.#use !== null) throw this.#use.refused(namespace, queued)
  }

  /** Marks it running; answers the record instead when the call is over, `taken` when another has the job. */
  async begin(running: InvocationRecord, hold: JobHold, keepMs: number): Promise<InvocationRecord | 'taken' | null> {
    const keys = [recordKey(running.id), `${queuePrefixOf(hold.queueKey)}${running.id}:lock`]
    const over = await this.#redis.script(BEGIN, keys, [JSON.stringify(running), keepMs, hold.token])
    return over === null || over === 'taken' ? over : (JSON.parse(over as string) as InvocationRecord)
  }

  /** Writes what became of an attempt, and moves the job on with it. May be repeated. */
  async settle(settlement: Settlement): Promise<Settled> {
    const { record, result, hold, move, keptMs, failed, dead, notify } = settlement
    const { id } = record
    const functionKey = `${record.namespace}/${record.function}`
    const { queueKey, token } = hold
    const queue = queuePrefixOf(queueKey)
    const locks = [`${queue}${id}:lock`, `${queue}active`]
    const keys = [recordKey(id), resultKey(id), ...locks, triesKey(id), deadKey(id), deadListKey(functionKey)]
    const { atMs, delayMs } = 'atMs' in move ? move : { atMs: 0, delayMs: 0 }
    const texts = { record: JSON.stringify(record), result: jsonOr(result), dead: jsonOr(dead) }
    const args = [
      texts.record,
      keptMs,
      texts.result,
      token,
      id,
      isOpen(record.state) ? '' : DONE,
      isOpen(record.state) ? queueKey : '',
      jsonOr(failed),
      texts.dead,
      scoreOf(record),
      jsonOr(notify),
      queue,
      move.how,
      atMs,
      delayMs,
      record.namespace,
      keptBytesOf(record, texts, result, dead),
      this.#use?.keptBound(record.namespace) ?? '',
    ]
    const answer = await this.#redis.script(SETTLE, [...keys, OUTBOX, DUE], args)
    return this.#wasWritten(record.namespace, answer) || answer === 1 ? 'written' : answer === 0 ? 'taken' : 'jobless'
  }

  /** Takes away the job of a call that is over. */
  async finish(id: string, { queueKey, token }: JobHold): Promise<void> {
    const queue = queuePrefixOf(queueKey)
    await this.#redis.script(FINISH, [`${queue}${id}:lock`], [queue, id, token])
  }

  /** Ends a call that no process runs and removes its job from whichever queue it is in. `notify`: for the outbox. False: one runs it,
   *  or it is over. */
  async endWaiting(record: InvocationRecord, queueKeys: readonly string[], notify: unknown): Promise<boolean> {
    const outbox = notify === null ? null : { record, notify }
    const { namespace } = record
    const text = JSON.stringify(record)
    const bytes = keptBytesOf(record, { record: text, result: '', dead: '' }, null, null)
    const counted = [namespace, bytes, this.#use?.keptBound(namespace) ?? '']
    const args = [text, this.keptMs, DONE, record.id, jsonOr(outbox), ...counted, ...queueKeys.map(queuePrefixOf)]
    const answer = await this.#redis.script(CANCELLED, [recordKey(record.id), OUTBOX], args)
    return this.#wasWritten(namespace, answer)
  }

  /** True: the answer says that it was written, with what was forgotten for it. */
  #wasWritten(namespace: string, answer: unknown): boolean {
    if (!Array.isArray(answer)) return false
    this.#use?.freed(namespace)
    if (answer.length === 0) return true
    const gone = answer as string[]
    const of = (kind: string) => gone.filter((text) => text.startsWith(kind)).map((text) => text.slice(1))
    const bodies = of('b')
    const count = bodies.length + of('k').length
    this.#use?.forgot(namespace, count)
    this.#onForgotten({ namespace, count, bodies, results: of('r') })
    return true
  }

  /** null: the key is ours now. */
  async claim(scope: readonly string[], claim: Claim): Promise<Claim | null> {
    const earlier = await this.#redis.script(CLAIM, [claimKey(scope)], [JSON.stringify(claim), KEY_KEPT_MS])
    return earlier === null ? null : (JSON.parse(earlier as string) as Claim)
  }

  /** The call it was claimed for was refused. */
  async unclaim(scope: readonly string[], claim: Claim): Promise<void> {
    await this.#redis.script(UNCLAIM, [claimKey(scope)], [JSON.stringify(claim)])
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

  async forgetResult(id: string): Promise<void> {
    await this.#redis.script(FORGET_RESULT, [resultKey(id), recordKey(id)], [id, ENDED_BYTES])
  }

  /** Newest first. `next`: the search ended before its time; go on after this id. */
  async records(query: RecordQuery): Promise<RecordPage> {
    const oldest = query.sinceMs === undefined ? '-inf' : String(query.sinceMs)
    const state = query.state === undefined ? '' : `"state":"${query.state}"`
    const name = query.function === undefined ? '' : `"${query.function}"`
    const found: InvocationRecord[] = []
    let newest = query.after === undefined ? '+inf' : String(timeOfId(query.after) ?? '+inf')
    let after = query.after ?? null
    // Not by a running offset: calls that are accepted meanwhile would shift it. Only within one millisecond there is one.
    let offset = 0
    for (let scanned = 0; scanned < SCAN_MAX; ) {
      const queued = query.state === 'queued' ? '1' : ''
      const args = [newest, oldest, offset, PAGE, state, name, recordKey(''), queued]
      const answer = await this.#redis.script(PAGE_OF, [indexKey(query.namespace)], args)
      const [texts, count, lastId, lastScore] = answer as [string[], number, string | null, string | null]
      for (const text of texts) {
        const record = recordIn(text)
        if (record === null || !matches(record, query) || (after !== null && record.id >= after)) continue
        found.push(record)
        if (found.length >= query.limit) return { records: found, next: null }
      }
      if (count < PAGE || lastId === null || lastScore === null) return { records: found, next: null }
      offset = lastScore === newest ? offset + count : 0
      newest = lastScore
      after = offset === 0 ? lastId : after
      scanned += count
    }
    return { records: found, next: after }
  }

  /** At most about so many entries. */
  async outbox(limit: number): Promise<Finished[]> {
    const found: Finished[] = []
    let cursor = '0'
    do {
      const [next, flat] = (await this.#redis.command('HSCAN', OUTBOX, cursor, 'COUNT', limit)) as [string, string[]]
      for (let i = 0; i + 1 < flat.length; i += 2) {
        const entry = finishedIn(flat[i + 1]!)
        // An entry that cannot be read is dropped; it must not keep others waiting.
        if (entry === null) await this.leaveOutbox(flat[i]!)
        else found.push(entry)
      }
      cursor = next
    } while (cursor !== '0' && found.length < limit)
    return found.slice(0, limit)
  }

  async leaveOutbox(id: string): Promise<void> {
    await this.#redis.command('HDEL', OUTBOX, id)
  }

  /** Those that ever had a call. */
  async namespaces(): Promise<string[]> {
    return (await this.#redis.command('SMEMBERS', NAMESPACES)) as string[]
  }

  /** Those that may hold something. */
  async queueKeys(): Promise<string[]> {
    return (await this.#redis.command('ZRANGE', DUE, 0, -1)) as string[]
  }

  /** Takes entries older than `olderThanMs` (since the epoch) from the list whose records are gone. */
  async trimIndex(namespace: string, olderThanMs: number): Promise<void> {
    let from: unknown = '-inf'
    while (typeof from === 'string') {
      const args = [from, olderThanMs, PAGE, recordKey('')]
      const next: unknown = await this.#redis.script(TRIM_INDEX, [indexKey(namespace)], args)
      // More than a page within one millisecond would bring the same score again.
      from = next === from ? `(${next}` : next
    }
  }

  /** Takes queues that hold nothing from the due index. */
  async settleDue(nowMs: number): Promise<void> {
    await this.#redis.script(SETTLE_DUE, [DUE], [nowMs - DUE_SETTLED_MS])
  }

  announceDue(queueKey: string): void {
    this.#redis.command('PUBLISH', WOKEN, queueKey).catch(() => {})
  }

  async announceCancel(id: string): Promise<void> {
    await this.#redis.command('PUBLISH', CANCEL, id)
  }

  async announceLeave(id: string): Promise<void> {
    await this.#redis.command('PUBLISH', LEAVE, id)
  }

  /** `onJoined`: news may have been missed. The returned function stops. */
  follow(on: {
    done(id: string): void
    cancel(id: string): void
    leave(id: string): void
    due(queueKey: string): void
    joined(): void
  }): () => void {
    const leave = [
      this.#redis.subscribe(DONE, on.done, on.joined),
      this.#redis.subscribe(CANCEL, on.cancel),
      this.#redis.subscribe(LEAVE, on.leave),
      this.#redis.subscribe(WOKEN, on.due),
    ]
    return () => {
      for (const stop of leave) stop()
    }
  }
}

function parseRecord(text: string): InvocationRecord {
  if (!text.startsWith('@')) return JSON.parse(text) as InvocationRecord
  return queuedRecord(readEnvelope(JSON.parse(text.slice(1))))
}

/** null: only a newer release can read it; it hides no others. */
function recordIn(text: string): InvocationRecord | null {
  try {
    return parseRecord(text)
  } catch {
    return null
  }
}

function finishedIn(text: string): Finished | null {
  try {
    const entry = JSON.parse(text) as Partial<Finished>
    return typeof entry.record?.id === 'string' ? (entry as Finished) : null
  } catch {
    return null
  }
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

/** What `ADD_JOB` wants to know, behind the queue and the id. */
export function jobArgs(envelope: Envelope, queueKey: string, nowMs: number): (string | number)[] {
  const { notBeforeMs, priority } = envelope
  const delayMs = Math.max(0, notBeforeMs - nowMs)
  const opts = { ...(delayMs > 0 ? { delay: delayMs } : {}), ...(priority > 0 ? { priority } : {}) }
  return [queuePrefixOf(queueKey), envelopeText(envelope), JSON.stringify(opts), nowMs, delayMs, priority]
}
