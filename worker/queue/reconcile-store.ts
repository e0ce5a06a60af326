// Finds calls whose record and job disagree, by walking over the keys in pages, and puts one right at a time. Decides nothing.
import type { InvocationFailure } from '../api.ts'
import { namespaceOf } from '../registry/names.ts'
import type { RedisStore } from '../store/connect.ts'
import type { Envelope } from './envelope.ts'
import {
  AWAITED_KEPT_MS,
  DEAD_KEPT_MS,
  DONE,
  DUE,
  deadKey,
  deadListKey,
  indexKey,
  recordKey,
  timeOfId,
  triesKey,
} from './invocation-store.ts'
import { QUEUES_PREFIX, queuePrefixOf } from './job-scripts.ts'
import { JOB_GONE, lostLetter, lostRecord, waitingRecord } from './lost-calls.ts'
import type { JobClass, Mending, RecordClass } from './reconcile-policy.ts'
import { LOOK, MEND } from './reconcile-scripts.ts'

/** A record and a job, as they were seen. */
export interface Pair {
  readonly queueKey: string
  readonly id: string
  readonly record: RecordClass
  readonly job: JobClass
  /** The record's text; '' where there is none. */
  readonly text: string
  /** False: it is in no list, because a caller waited for its answer. */
  readonly listed: boolean
}
export interface Looked {
  readonly pairs: readonly Pair[]
  /** Queues with jobs that were missing in the due index; they are in it now. */
  readonly missingQueues: number
}

const PAGE = 500
const PAIRS_AT_ONCE = 250
const NAME = '[a-z0-9-]+'
const ID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
const RECORD_KEY = new RegExp(`^${recordKey('')}(${ID})$`)
const JOB_KEY = new RegExp(`^${QUEUES_PREFIX}:(${NAME}):(${NAME}~?):(${ID})$`)
const LEASE = '{thaw}:reconciler'
/** An age that no call outlives, for a record whose job cannot be read. */
const LONG_MS = 14 * 24 * 3_600_000

const TAKE_LEASE = `
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`

export class ReconcileStore {
  readonly #redis: RedisStore
  readonly #keptMs: number

  constructor(redis: RedisStore, keptMs: number) {
    this.#redis = redis
    this.#keptMs = keptMs
  }

  /** True: `who` may walk for the next `ms`, and no other. */
  async lease(who: string, ms: number): Promise<boolean> {
    return (await this.#redis.script(TAKE_LEASE, [LEASE], [who, ms])) === 1
  }

  /** One page of the keys that there are; `cursor` '0' begins, and '0' in the answer ends. */
  async page(cursor: string): Promise<{ readonly cursor: string } & Looked> {
    const answer = await this.#redis.command('SCAN', cursor, 'MATCH', '{thaw}:*', 'COUNT', PAGE)
    const [next, keys] = answer as [string, string[]]
    const asked = keys.flatMap((key): [string, string][] => {
      const record = RECORD_KEY.exec(key)
      if (record !== null) return [['', record[1]!]]
      const job = JOB_KEY.exec(key)
      return job === null ? [] : [[`${job[1]}/${job[2]}`, job[3]!]]
    })
    return { cursor: next, ...(await this.look(asked)) }
  }

  /** Of queues ('': the record says it) and ids, those pairs that disagree. */
  async look(asked: readonly (readonly [queueKey: string, id: string])[]): Promise<Looked> {
    const pairs: Pair[] = []
    let missingQueues = 0
    for (let from = 0; from < asked.length; ) {
      const some = asked.slice(from, from + PAIRS_AT_ONCE).flat()
      const args = [recordKey(''), `${QUEUES_PREFIX}:`, ...some]
      const answer = await this.#redis.script(LOOK, [DUE, indexKey('')], args)
      const [reached, missing, rows] = answer as [
        number,
        number,
        [string, string, RecordClass, JobClass, string, string][],
      ]
      for (const [queueKey, id, record, job, text, listed] of rows)
        pairs.push({ queueKey, id, record, job, text, listed: listed === '1' })
      missingQueues += missing
      from += Math.max(1, reached)
    }
    return { pairs, missingQueues }
  }

  /** Puts a pair right. False: it is no longer as it was seen. `envelope`: what its job carries, where that can be read. */
  async mend(pair: Pair, mending: Mending, envelope: Envelope | null, nowMs: number): Promise<boolean> {
    return await this.#mend(pair, mending, '', this.#changes(pair, mending, envelope, nowMs), nowMs)
  }

  /** Ends a call whose job cannot be run, and which `token` holds. False: another does, or its record has changed. */
  async endUnreadable(
    queueKey: string,
    id: string,
    token: string,
    error: InvocationFailure,
    nowMs: number,
  ): Promise<boolean> {
    const text = ((await this.#redis.command('GET', recordKey(id))) as string | null) ?? ''
    const listed = !queueKey.endsWith('~')
    const pair: Pair = { queueKey, id, record: 'accepted', job: 'hollow', text, listed }
    return await this.#mend(pair, 'end', token, this.#end(pair, error, nowMs), nowMs)
  }

  #changes(pair: Pair, mending: Mending, envelope: Envelope | null, nowMs: number): Changes {
    if (mending === 'drop') return NOTHING
    if (mending === 'end') return this.#end(pair, JOB_GONE, nowMs)
    const dueAtMs = envelope === null || pair.record === 'running' ? 0 : envelope.notBeforeMs
    const where = dueAtMs > nowMs && mending === 'requeue' ? 'delayed' : 'front'
    const base = { ...NOTHING, where, atMs: where === 'delayed' ? dueAtMs : 0 }
    if (pair.record === 'running') return { ...base, record: JSON.stringify(waitingRecord(pair.text)) }
    if (pair.record !== 'none') return base
    const awaited = pair.queueKey.endsWith('~')
    const ageMs = envelope === null ? LONG_MS : Math.max(0, envelope.expiresAtMs - nowMs)
    const keptMs = ageMs + (awaited ? AWAITED_KEPT_MS : 2 * this.#keptMs)
    return { ...base, record: `@${pair.queueKey}`, keptMs, score: awaited ? '' : scoreOf(pair.id, nowMs) }
  }

  #end(pair: Pair, error: InvocationFailure, nowMs: number): Changes {
    const record = lostRecord(pair.id, pair.queueKey, pair.text, error, nowMs)
    const isShown = pair.listed && !pair.queueKey.endsWith('~')
    const base = { ...NOTHING, record: JSON.stringify(record) }
    if (!isShown) return { ...base, keptMs: AWAITED_KEPT_MS }
    const { failed, dead } = lostLetter(record, nowMs)
    const keptMs = Math.max(DEAD_KEPT_MS, this.#keptMs)
    const score = scoreOf(pair.id, nowMs)
    return { ...base, keptMs, score, failed: JSON.stringify(failed), dead: JSON.stringify(dead) }
  }

  async #mend(pair: Pair, mending: Mending, token: string, changes: Changes, nowMs: number): Promise<boolean> {
    const { id, queueKey, text, job, record } = pair
    const functionKey = queueKey.replace(/~$/, '')
    const namespace = namespaceOf(functionKey)
    const keys = [recordKey(id), indexKey(namespace), DUE, triesKey(id), deadKey(id), deadListKey(functionKey)]
    const counts = record === 'running' || job === 'unlocked' ? '1' : ''
    const { where, atMs, keptMs, score, failed, dead } = changes
    const head = [id, queuePrefixOf(queueKey), text, job, token, mending, queueKey, changes.record, keptMs, score]
    const tail = [where, atMs, counts, failed, dead, scoreOf(id, nowMs), DONE]
    return (await this.#redis.script(MEND, keys, [...head, ...tail])) === 1
  }
}

/** What is written together with the job's own move. */
interface Changes {
  readonly record: string
  /** 0: the record is kept as long as before. */
  readonly keptMs: number
  readonly score: number | ''
  readonly where: string
  readonly atMs: number
  readonly failed: string
  readonly dead: string
}
const NOTHING: Changes = { record: '', keptMs: 0, score: '', where: 'front', atMs: 0, failed: '', dead: '' }

function scoreOf(id: string, nowMs: number): number {
  return timeOfId(id) ?? nowMs
}
