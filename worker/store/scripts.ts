// Lua on one connection of Redis: the server is sent a script's text once, then its hash.
import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'

export type RedisArgument = string | number | Buffer

/** Runs a script, atomically. Rejects as the client does. */
export type RunScript = (lua: string, keys: readonly string[], args: readonly RedisArgument[]) => Promise<unknown>

export function createScripts(client: Redis): RunScript {
  const digests = new Map<string, string>()
  /** Scripts this connection's server has been sent. */
  const sent = new Set<string>()
  client.on('ready', () => sent.clear())
  const digestOf = (lua: string): string => {
    const known = digests.get(lua)
    if (known !== undefined) return known
    const digest = createHash('sha1').update(lua).digest('hex')
    digests.set(lua, digest)
    return digest
  }
  return async (lua, keys, args) => {
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
}
