// The registry's keys and scripts in Redis. A change writes a head and the versions that came, never the others; its news names the
// function, so that the other processes read only that.
//
//   {thaw}:registry            hash   <namespace>/<name> → StoredHead (JSON); of earlier releases with all versions in it
//   {thaw}:registry:versions   hash   <namespace>/<name>@<number> → FunctionVersion (JSON)
//   {thaw}:registry:revisions  hash   <namespace>/<name> → epoch of its last change
//   {thaw}:registry:epoch      number of changes ever made
//   {thaw}:registry:news       channel "<epoch> <namespace>/<name>"; without a name: all may have changed
import type { FunctionVersion } from '../api.ts'
import type { RedisStore } from '../store/connect.ts'
import { readHash } from '../store/hash-pages.ts'
import { addTo, assemble, type Change, headOf, type StoredFunction, type StoredHead } from './entries.ts'

const FUNCTIONS = '{thaw}:registry'
const REVISIONS = '{thaw}:registry:revisions'
const EPOCH = '{thaw}:registry:epoch'
const VERSIONS = '{thaw}:registry:versions'
const NEWS = '{thaw}:registry:news'
const KEYS = [FUNCTIONS, REVISIONS, EPOCH, VERSIONS]

// ARGV: key, first number wanted. The versions from there on.
const READ_ONE = `
local head = redis.call('HGET', KEYS[1], ARGV[1])
if not head then return {} end
local found = {head, redis.call('HGET', KEYS[2], ARGV[1]) or '0'}
local decoded = cjson.decode(head)
for number = math.max(tonumber(ARGV[2]), decoded.firstVersion or 1), decoded.lastVersion do
  local version = redis.call('HGET', KEYS[4], ARGV[1] .. '@' .. number)
  if version then found[#found + 1] = version end
end
return found`

// ARGV: key, revision, head, news, count of versions that come, field and text of each, fields of those that go.
const WRITE = `
local revision = redis.call('HGET', KEYS[2], ARGV[1]) or '0'
if revision ~= ARGV[2] then return {0, revision} end
local epoch = redis.call('INCR', KEYS[3])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[2], ARGV[1], epoch)
local added = tonumber(ARGV[5])
for i = 6, 4 + 2 * added, 2 do redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 1]) end
for i = 6 + 2 * added, #ARGV do redis.call('HDEL', KEYS[4], ARGV[i]) end
redis.call('PUBLISH', ARGV[4], epoch .. ' ' .. ARGV[1])
return {1, epoch}`

// Fills an empty registry from a copy, never one that has seen a change. ARGV: epoch, news, key and head of each function, an empty
// text, field and text of each version.
const REBUILD = `
if redis.call('EXISTS', KEYS[3]) == 1 or redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local at = 3
while ARGV[at] ~= '' do
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
  redis.call('HSET', KEYS[2], ARGV[at], ARGV[1])
  at = at + 2
end
for i = at + 1, #ARGV, 2 do redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 1]) end
redis.call('SET', KEYS[3], ARGV[1])
redis.call('PUBLISH', ARGV[2], ARGV[1] .. ' ')
return 1`

/** One function as Redis has it. */
export interface KeptFunction {
  readonly stored: StoredFunction
  readonly revision: number
  /** As an earlier release wrote it: its versions lie in the head, and the next change puts them apart. */
  readonly isInline: boolean
}
export type WriteOutcome = { readonly written: true; readonly epoch: number } | { readonly written: false }

export interface RegistryStore {
  epoch(): Promise<number>
  /** All there is, read in pages. Changes made meanwhile may be in it or not: their news comes. */
  readAll(): Promise<ReadonlyMap<string, KeptFunction>>
  /** One function; of the versions that `known` has, none is read again. null: there is none. */
  read(key: string, known: StoredFunction | undefined): Promise<KeptFunction | null>
  /** Compare-and-set on the function's revision (0: there is none yet). */
  write(key: string, revision: number, change: Change): Promise<WriteOutcome>
  /** False when Redis was not empty. */
  rebuild(epoch: number, functions: Iterable<readonly [string, StoredFunction]>): Promise<boolean>
  /** `onNews` gets epoch and key of a change, or null when some may have been missed. */
  follow(onNews: (news: { readonly epoch: number; readonly key: string } | null) => void): () => void
}

export function createRegistryStore(redis: RedisStore): RegistryStore {
  return {
    async epoch() {
      return Number((await redis.command('GET', EPOCH)) ?? 0)
    },
    async readAll() {
      const heads = new Map<string, StoredHead>()
      const revisions = new Map<string, number>()
      const versions = new Map<string, FunctionVersion[]>()
      // ORDER: versions last: whatever a head names was there before it.
      await readHash(redis, REVISIONS, (key, text) => void revisions.set(key, Number(text)))
      await readHash(redis, FUNCTIONS, (key, text) => void heads.set(key, JSON.parse(text) as StoredHead))
      await readHash(redis, VERSIONS, (field, text) =>
        addTo(versions, field.slice(0, field.indexOf('@')), JSON.parse(text) as FunctionVersion),
      )
      const kept = new Map<string, KeptFunction>()
      for (const [key, head] of heads) kept.set(key, keptOf(head, revisions.get(key) ?? 0, versions.get(key) ?? []))
      return kept
    },
    async read(key, known) {
      const readFrom = async (first: number, rest: readonly FunctionVersion[]) => {
        const [text, revision, ...texts] = (await redis.script(READ_ONE, KEYS, [key, first])) as string[]
        if (text === undefined) return null
        const apart = texts.map((one) => JSON.parse(one) as FunctionVersion)
        const head = JSON.parse(text) as StoredHead
        return { head, kept: keptOf(head, Number(revision), [...rest, ...apart]) }
      }
      const found = await readFrom((known?.lastVersion ?? 0) + 1, known?.versions ?? [])
      // More than there are: some that are known have gone.
      const isWhole = found === null || (found.head.count ?? 0) === found.kept.stored.versions.length
      return (isWhole || found.kept.isInline ? found : await readFrom(1, []))?.kept ?? null
    },
    async write(key, revision, { head, added, dropped }) {
      const fields = added.flatMap((version) => [`${key}@${version.version}`, JSON.stringify(version)])
      const gone = dropped.map((number) => `${key}@${number}`)
      const args = [key, String(revision), JSON.stringify(head), NEWS, added.length, ...fields, ...gone]
      const [written, epoch] = (await redis.script(WRITE, KEYS, args)) as [number, number]
      return written === 1 ? { written: true, epoch } : { written: false }
    },
    async rebuild(epoch, functions) {
      const heads: string[] = []
      const versions: string[] = []
      for (const [key, stored] of functions) {
        heads.push(key, JSON.stringify(headOf(stored)))
        for (const version of stored.versions) versions.push(`${key}@${version.version}`, JSON.stringify(version))
      }
      const args = [String(epoch), NEWS].concat(heads, '', versions)
      return (await redis.script(REBUILD, KEYS, args)) === 1
    },
    follow(onNews) {
      return redis.subscribe(
        NEWS,
        (message) => {
          const space = message.indexOf(' ')
          const key = message.slice(space + 1)
          onNews(key === '' || space < 0 ? null : { epoch: Number(message.slice(0, space)), key })
        },
        () => onNews(null),
      )
    },
  }
}

function keptOf(head: StoredHead, revision: number, apart: readonly FunctionVersion[]): KeptFunction {
  return { stored: assemble(head, apart), revision, isInline: (head.versions?.length ?? 0) > 0 }
}
