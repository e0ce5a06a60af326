// What the Redis behind the queue promises: how durable an acknowledged write is, and whether it may throw keys away.
import type { RedisStore } from '../store/connect.ts'

export interface ServerPolicy {
  /** `disk`: every acknowledged write is synced; `replica`: the server takes no write unless a replica follows it closely
   *  (min-replicas-to-write); `memory`: it may be lost with the server. */
  readonly durability: 'disk' | 'replica' | 'memory'
  /** Why calls are not accepted at all; empty when they are. */
  readonly refused: string
}

export async function readServerPolicy(redis: RedisStore): Promise<ServerPolicy> {
  let reply: unknown
  try {
    reply = await redis.command('CONFIG', 'GET', 'append*', 'maxmemory-policy', 'min-replicas-to-write')
  } catch (error) {
    // Hosted servers forbid CONFIG: promise the least.
    if ((error as { code?: string }).code === 'REDIS_REFUSED') return { durability: 'memory', refused: '' }
    throw error
  }
  const flat = reply as string[]
  const settings = new Map<string, string>()
  for (let i = 0; i + 1 < flat.length; i += 2) settings.set(flat[i]!, flat[i + 1]!)
  const policy = settings.get('maxmemory-policy') ?? 'noeviction'
  const synced = settings.get('appendonly') === 'yes' && settings.get('appendfsync') === 'always'
  return {
    durability: synced ? 'disk' : Number(settings.get('min-replicas-to-write') ?? 0) > 0 ? 'replica' : 'memory',
    refused: evictionRefusal(policy) ?? '',
  }
}

/** Why nothing is entrusted to a server with this `maxmemory-policy`; null: it throws nothing away. */
export function evictionRefusal(policy: string): string | null {
  if (policy === 'noeviction') return null
  return `redis may evict accepted calls (maxmemory-policy ${policy}); set maxmemory-policy noeviction`
}
