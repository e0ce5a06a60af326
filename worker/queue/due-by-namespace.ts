// Things that are due at a time, kept in Redis by namespace, so that the many of one namespace do not hide the few of another:
//
//   <list>:due:<ns>     zset  what is due → ms of its time
//   <list>:namespaces   zset  namespace → ms of the first of these
//
// A script that changes when something is due begins with FIRST_OF, has the keys of `dueKeys` first, the namespace as ARGV[1], and
// calls `first()` behind the change.
import type { RedisStore } from '../store/connect.ts'

export const FIRST_OF = `
local function first()
  local row = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  if row[2] then redis.call('ZADD', KEYS[2], row[2], ARGV[1]) else redis.call('ZREM', KEYS[2], ARGV[1]) end
end`

// By script: flat and as text, whatever protocol the connection speaks.
const FIRST_TIMES = `
return redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1, 'WITHSCORES')`

/** KEYS[1] and KEYS[2] of scripts with FIRST_OF. `list`: what the keys begin with. */
export function dueKeys(list: string, namespace: string): [string, string] {
  return [`${list}:due:${namespace}`, namespacesKey(list)]
}

/** Namespaces with the time of their first, soonest first. */
export async function firstTimes(
  redis: RedisStore,
  list: string,
  most: number,
): Promise<{ readonly namespace: string; readonly atMs: number }[]> {
  const flat = (await redis.script(FIRST_TIMES, [namespacesKey(list)], [most])) as string[]
  return pairsOf(flat).map(([namespace, score]) => ({ namespace, atMs: Number(score) }))
}

/** Moves what an earlier release kept in one list (`<list>:due`) to the lists of the namespaces, with a script that moves a page
 *  of KEYS[1], enters the namespaces in KEYS[2], and answers how many it moved. */
export async function divideByNamespace(
  redis: RedisStore,
  list: string,
  script: string,
  args: string[],
): Promise<void> {
  while (((await redis.script(script, [`${list}:due`, namespacesKey(list)], args)) as number) > 0);
}

/** Members and scores as Redis answers them, in pairs. */
export function pairsOf(flat: readonly string[]): [string, string][] {
  return flat.flatMap((text, index): [string, string][] => (index % 2 === 0 ? [[text, flat[index + 1]!]] : []))
}

function namespacesKey(list: string): string {
  return `${list}:namespaces`
}
