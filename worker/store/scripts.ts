// Lua on one connection of Redis: the server is sent a script's text once, then its hash.
import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'

export type RedisArgument = string | number | Buffer

/** Runs a script, atomically. Rejects as the client does. */
export type RunScript = (lua: string, keys: readonly string[], args: readonly RedisArgument[]) => Promise<unknown>

/** Redis 7 and later: a script that may use memory beyond `maxmemory` (https://redis.io/docs/latest/develop/programmability/lua-api/). */
const ALLOW_OOM = '#!lua flags=allow-oom\n'
/** For servers before 7, which do not know that line: a script that has written once, even nothing, is run to its end. */
const WRITTEN_ONCE = "redis.call('DEL', '{thaw}:nothing')\n"
const NO_SHEBANG = /Error compiling script.*'#'/s

/** The script as one that Redis runs although it is full: for what ends calls and keeps running ones. Never for what accepts more. */
export function alsoWhenFull(lua: string): string {
  return ALLOW_OOM + lua
}

export function createScripts(client: Redis): RunScript {
  const digests = new Map<string, string>()
  /** Scripts this connection's server has been sent. */
  const sent = new Set<string>()
  let isOld = false
  client.on('ready', () => {
    sent.clear()
    isOld = false
  })
  const digestOf = (lua: string): string => {
    const known = digests.get(lua)
    if (known !== undefined) return known
    const digest = createHash('sha1').update(lua).digest('hex')
    digests.set(lua, digest)
    return digest
  }
  const send: RunScript = async (lua, keys, args) => {
    if (!sent.has(lua)) {
      // Commands of one connection run in order: whoever comes behind finds it there.
      sent.add(lua)
      return await client.eval(lua, keys.length, ...keys, ...args)
    }
    try {
      return await client.evalsha(digestOf(lua), keys.length, ...keys, ...args)
    } catch (error) {
      if (!(error as Error).message.startsWith('NOSCRIPT')) throw error
      return await client.eval(lua, keys.length, ...keys, ...args)
    }
  }
  return async (lua, keys, args) => {
    const isMarked = lua.startsWith(ALLOW_OOM)
    if (isMarked && isOld) return await send(plain(lua), keys, args)
    try {
      return await send(lua, keys, args)
    } catch (error) {
      if (!isMarked || !NO_SHEBANG.test((error as Error).message)) throw error
      isOld = true
      return await send(plain(lua), keys, args)
    }
  }
}

function plain(lua: string): string {
  return WRITTEN_ONCE + lua.slice(ALLOW_OOM.length)
}
