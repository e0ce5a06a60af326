// Whether Redis is there: what its connection says and, once a command was not answered in time, a ping's answer. Sends nothing else.
import type { Redis } from 'ioredis'
import type { Logger } from '../../runtime/api.ts'

export interface Presence {
  /** True while Redis answers. */
  available(): boolean
  /** Called each time it becomes available (not for the present state). The returned function unsubscribes. */
  onAvailable(listener: () => void): () => void
  /** Resolves when available or after `ms`, to whether it is. */
  waitAvailable(ms: number): Promise<boolean>
  /** A command had no answer in time: the connection may look alive, only an answer proves it. */
  missed(): void
  /** From here on it is not available. */
  close(): void
}

const PING_INTERVAL_MS = 500

/** Follows the client's connection until `close`, and logs that it went and came back, once each. */
export function watchPresence(client: Redis, logger: Logger): Presence {
  const listeners = new Set<() => void>()
  let closed = false
  let outage = false
  let unanswered = false
  let pingTimer: NodeJS.Timeout | null = null
  const tell = (): void => {
    for (const listener of [...listeners]) listener()
  }
  client.on('error', (error: Error) => {
    if (outage || closed) return
    outage = true
    logger.warn({ reason: error.message }, 'redis is away')
  })
  client.on('ready', () => {
    unanswered = false
    if (outage) logger.info({}, 'redis is back')
    outage = false
    tell()
  })
  const answered = (): void => {
    if (!unanswered) return
    unanswered = false
    tell()
  }
  const ping = (): void => {
    if (pingTimer !== null || closed) return
    pingTimer = setTimeout(() => {
      pingTimer = null
      client.ping().then(answered, () => unanswered && ping())
    }, PING_INTERVAL_MS)
    pingTimer.unref()
  }
  const available = (): boolean => !closed && client.status === 'ready' && !unanswered
  const onAvailable = (listener: () => void): (() => void) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  }
  return {
    available,
    onAvailable,
    waitAvailable: (ms) => waitFor(available, onAvailable, ms),
    missed() {
      unanswered = true
      ping()
    },
    close() {
      closed = true
      if (pingTimer !== null) clearTimeout(pingTimer)
    },
  }
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
