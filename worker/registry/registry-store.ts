// The registry's keys and scripts in Redis: one hash of functions, one of revisions, an epoch, a news channel.
//
//   {thaw}:registry            hash   <namespace>/<name> → StoredFunction (JSON)
//   {thaw}:registry:revisions  hash   <namespace>/<name> → epoch of its last change
//   {thaw}:registry:epoch      number of changes ever made
//   {thaw}:registry:news       channel "<epoch> <namespace>/<name>"
import type { RedisStore } from '../store/connect.ts'
import type { StoredFunction } from './entries.ts'

const FUNCTIONS = '{thaw}:registry'
const REVISIONS = '{thaw}:registry:revisions'
const EPOCH = '{thaw}:registry:epoch'
const NEWS = '{thaw}:registry:news'

const READ_ALL = `
return {redis.call('GET', KEYS[3]) or '0', redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[2])}`

const WRITE = `
local revision = redis.call('HGET', KEYS[2], ARGV[1]) or '0'
if revision ~= ARGV[2] then return {0, revision} end
local epoch = redis.call('INCR', KEYS[3])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[2], ARGV[1], epoch)
redis.call('PUBLISH', ARGV[4], epoch .. ' ' .. ARGV[1])
return {1, epoch}`

// Fills an empty registry from a copy, never one that has seen a change.
const REBUILD = `
if redis.call('EXISTS', KEYS[3]) == 1 or redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
for i = 2, #ARGV - 1, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[1])
end
redis.call('SET', KEYS[3], ARGV[1])
redis.call('PUBLISH', ARGV[#ARGV], ARGV[1] .. ' ')
return 1`

/** Everything at one instant. */
export interface RegistrySnapshot {
  readonly epoch: number
  readonly functions: ReadonlyMap<string, StoredFunction>
  readonly revisions: ReadonlyMap<string, number>
}
export type WriteOutcome = { readonly written: true; readonly epoch: number } | { readonly written: false }

export interface RegistryStore {
  readAll(): Promise<RegistrySnapshot>
  /** Compare-and-set on the function's revision (0: there is none yet). */
  write(key: string, revision: number, content: StoredFunction): Promise<WriteOutcome>
  /** False when Redis was not empty. */
  rebuild(epoch: number, functions: ReadonlyMap<string, StoredFunction>): Promise<boolean>
  /** `onNews` gets the epoch of a change, or null when some may have been missed. */
  follow(onNews: (epoch: number | null) => void): () => void
}

export function createRegistryStore(redis: RedisStore): RegistryStore {
  const keys = [FUNCTIONS, REVISIONS, EPOCH]
  return {
    async readAll() {
      const [epoch, functions, revisions] = (await redis.script(READ_ALL, keys, [])) as [string, string[], string[]]
      return {
        epoch: Number(epoch),
        functions: new Map(pairs(functions).map(([key, json]) => [key, JSON.parse(json) as StoredFunction])),
        revisions: new Map(pairs(revisions).map(([key, revision]) => [key, Number(revision)])),
      }
    },
    async write(key, revision, content) {
      const args = [key, String(revision), JSON.stringify(content), NEWS]
      const [written, epoch] = (await redis.script(WRITE, keys, args)) as [number, number]
      return written === 1 ? { written: true, epoch } : { written: false }
    },
    async rebuild(epoch, functions) {
      const fields = [...functions].flatMap(([key, content]) => [key, JSON.stringify(content)])
      return (await redis.script(REBUILD, keys, [String(epoch), ...fields, NEWS])) === 1
    },
    follow(onNews) {
      return redis.subscribe(
        NEWS,
        (message) => onNews(Number(message.split(' ', 1)[0])),
        () => onNews(null),
      )
    },
  }
}

function pairs(flat: readonly string[]): [string, string][] {
  const result: [string, string][] = []
  for (let i = 0; i + 1 < flat.length; i += 2) result.push([flat[i]!, flat[i + 1]!])
  return result
}
