// The one door to Redis: a connection that comes back by itself, commands that fail fast while it is away, Lua scripts,
// and channels. It knows no keys of functions or queues.
import { createHash } from 'node:crypto'
import { Redis, type RedisOptions } from 'ioredis'
import type { Logger } from '../../runtime/api.ts'
import { createChannels } from './channels.ts'
import { StoreError } from './errors.ts'

export type RedisTarget = { readonly socketPath: string } | { readonly url: string }
export type RedisArgument = string | number | Buffer

export interface RedisStore {
  /** The client itself, for a library that brings its own commands. Do not close it. */
  readonly client: Redis
  /** True while Redis answers. */
  available(): boolean
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
  /** Called each time the connection becomes usable (not for the present state). The returned function unsubscribes. */
  onAvailable(listener: () => void): () => void
  /** Resolves when usable or after `ms`, to whether it is usable. */
  waitAvailable(ms: number): Promise<boolean>
  close(): Promise<void>
}

const COMMAND_DEADLINE_MS = 5_000
const PING_INTERVAL_MS = 500
const RECONNECT_MAX_MS = 1_000

/** Connects in the background and for ever. Never throws: ask `available`. Owns two connections until `close`. */
export function connectRedis(target: RedisTarget, logger: Logger): RedisStore {
  const client = open(target)
  const listeners = new Set<() => void>()
  let closed = false
  let outage = false
  let unanswered = false
  let pingTimer: NodeJS.Timeout | null = null
  let gathering = false
  /** Scripts this connection's server has been sent. */
  const sent = new Set<string>()

  client.on('error', (error: Error) => {
    if (outage || closed) return
    outage = true
    logger.warn({ reason: error.message }, 'redis is away')
  })
  client.on('ready', () => {
    unanswered = false
    sent.clear()
    if (outage) logger.info({}, 'redis is back')
    outage = false
    for (const listener of [...listeners]) listener()
  })

  // After a missed deadline the connection may look alive: only an answer proves it.
  const ping = (): void => {
    if (pingTimer !== null || closed) return
    pingTimer = setTimeout(() => {
      pingTimer = null
      client.ping().then(
        () => {
          if (!unanswered) return
          unanswered = false
          for (const listener of [...listeners]) listener()
        },
        () => unanswered && ping(),
      )
    }, PING_INTERVAL_MS)
    pingTimer.unref()
  }
  const guard = async (run: () => Promise<unknown>): Promise<unknown> => {
    if (client.status !== 'ready') throw new StoreError('REDIS_AWAY', 'redis is away')
    try {
      return await run()
    } catch (error) {
      const reason = error as Error
      if (reason.message === 'Command timed out') {
        unanswered = true
        ping()
      }
      if (reason.name === 'ReplyError')
        throw new StoreError('REDIS_REFUSED', `redis refused: ${reason.message}`, { cause: error })
      throw new StoreError('REDIS_AWAY', `redis is away: ${reason.message}`, { cause: error })
    }
  }
  const onAvailable = (listener: () => void): (() => void) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  }
  const available = (): boolean => !closed && client.status === 'ready' && !unanswered
  const channels = createChannels(() => open(target), logger)

  return {
    client,
    available,
    command: (name, ...args) => guard(() => client.call(name, ...args)),
    script: (lua, keys, args) => guard(() => runScript(client, sent, lua, keys, args)),
    gather() {
      if (gathering || client.status !== 'ready') return
      gathering = true
      const { stream } = client
      stream.cork()
      setImmediate(() => {
        gathering = false
        stream.uncork()
      })
    },
    subscribe: channels.subscribe,
    onAvailable,
    waitAvailable: (ms) => waitFor(available, onAvailable, ms),
    async close() {
      closed = true
      if (pingTimer !== null) clearTimeout(pingTimer)
      channels.close()
      client.disconnect()
    },
  }
}

const DIGESTS = new Map<string, string>()

function digestOf(lua: string): string {
  const known = DIGESTS.get(lua)
  if (known !== undefined) return known
  const digest = createHash('sha1').update(lua).digest('hex')
  DIGESTS.set(lua, digest)
  return digest
}

async function runScript(
  client: Redis,
  sent: Set<string>,
  lua: string,
  keys: readonly string[],
  args: readonly RedisArgument[],
): Promise<unknown> {
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
  } satisfies RedisOptions
  return 'socketPath' in target ? new Redis({ ...options, path: target.socketPath }) : new Redis(target.url, options)
}

function waitFor(
  available: () => boolean,
  onAvailable: (listener: () => void) => () => void,
  ms: number,
): Promise<boolean> {
  if (available()) return Promise.resolve(true)
  return new Promise((resolve) => {
    const leave = onAvailable(() => {
      leave()
      clearTimeout(timer)
      resolve(true)
    })
    const timer = setTimeout(() => {
      leave()
      resolve(available())
    }, ms)
  })
}
