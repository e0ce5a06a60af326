// The one door to Redis: a connection that comes back by itself, and commands that fail fast while it is away. Whether it is there:
// presence.ts; Lua: scripts.ts; channels: channels.ts. It knows no keys of functions or queues.
import { Redis, type RedisOptions } from 'ioredis'
import type { Logger } from '../../runtime/api.ts'
import { createChannels } from './channels.ts'
import { StoreError } from './errors.ts'
import { type Presence, watchPresence } from './presence.ts'
import { createScripts, type RedisArgument } from './scripts.ts'

export type RedisTarget = { readonly socketPath: string } | { readonly url: string }

export interface RedisStore extends Pick<Presence, 'available' | 'onAvailable' | 'waitAvailable'> {
  /** The client itself, for a library that brings its own commands. Do not close it. */
  readonly client: Redis
  /** One command. Rejects with StoreError REDIS_AWAY (no connection or no answer within the deadline) | REDIS_REFUSED. */
  command(name: string, ...args: readonly RedisArgument[]): Promise<unknown>
  /** One Lua script, atomic. Rejects as `command` does. The server is sent its text once a connection, then its hash. */
  script(lua: string, keys: readonly string[], args: readonly RedisArgument[]): Promise<unknown>
  /** What is sent from now to the end of this turn of the event loop leaves in one write, the client's own commands included,
   *  so that the server puts it on disk with one sync. The order stays. */
  gather(): void
  /** Calls `onMessage` for each message; `onJoined` each time the subscription (again) stands, since news may have been missed
   *  before it. The returned function leaves the channel. */
  subscribe(channel: string, onMessage: (message: string) => void, onJoined?: () => void): () => void
  close(): Promise<void>
}

const COMMAND_DEADLINE_MS = 5_000
const RECONNECT_MAX_MS = 1_000

/** Connects in the background and for ever. Never throws: ask `available`. Owns two connections until `close`. */
export function connectRedis(target: RedisTarget, logger: Logger): RedisStore {
  const client = open(target)
  // ORDER: whoever is told that Redis is back must not meet a script the new connection was never sent.
  const runScript = createScripts(client)
  const presence = watchPresence(client, logger)
  const channels = createChannels(() => open(target), logger)
  const guard = async (run: () => Promise<unknown>): Promise<unknown> => {
    if (client.status !== 'ready') throw new StoreError('REDIS_AWAY', 'redis is away')
    try {
      return await run()
    } catch (error) {
      const { name, message } = error as Error
      if (message === 'Command timed out') presence.missed()
      if (name === 'ReplyError') throw new StoreError('REDIS_REFUSED', `redis refused: ${message}`, { cause: error })
      throw new StoreError('REDIS_AWAY', `redis is away: ${message}`, { cause: error })
    }
  }
  return {
    client,
    available: presence.available,
    command: (name, ...args) => guard(() => client.call(name, ...args)),
    script: (lua, keys, args) => guard(() => runScript(lua, keys, args)),
    gather: createGather(client),
    subscribe: channels.subscribe,
    onAvailable: presence.onAvailable,
    waitAvailable: presence.waitAvailable,
    async close() {
      presence.close()
      channels.close()
      client.disconnect()
    },
  }
}

function createGather(client: Redis): () => void {
  let gathering = false
  return () => {
    if (gathering || client.status !== 'ready') return
    gathering = true
    const { stream } = client
    stream.cork()
    setImmediate(() => {
      gathering = false
      stream.uncork()
    })
  }
}

/** After a failover the name may stand for another server: this one has become a replica, and a new connection finds the primary.
 *  Not at each of many errors. */
function reconnectFromReplica(): (error: Error) => boolean {
  let lastMs = Number.NEGATIVE_INFINITY
  return ({ message }) => {
    const nowMs = performance.now()
    if (!message.startsWith('READONLY') || nowMs - lastMs < RECONNECT_MAX_MS) return false
    lastMs = nowMs
    return true
  }
}

/** Options shared by all connections: reconnect for ever, never queue while away, never send anything twice. */
function open(target: RedisTarget): Redis {
  const options = {
    retryStrategy: (attempt) => Math.min(RECONNECT_MAX_MS, 20 * 2 ** Math.min(attempt, 10)),
    enableOfflineQueue: false,
    // Commands in flight when the connection breaks are rejected at once; their callers decide whether to repeat them.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    commandTimeout: COMMAND_DEADLINE_MS,
    connectTimeout: COMMAND_DEADLINE_MS,
    // ioredis awaits none of its own SUBSCRIBEs: one that fails would end the process. channels.ts joins again by itself.
    autoResubscribe: false,
    maxLoadingRetryTime: 1_000,
    reconnectOnError: reconnectFromReplica(),
  } satisfies RedisOptions
  return 'socketPath' in target ? new Redis({ ...options, path: target.socketPath }) : new Redis(target.url, options)
}
