// Publish/subscribe over a connection of its own, opened with the first subscription and joined again after every break.
import type { Redis } from 'ioredis'
import type { Logger } from '../../runtime/api.ts'

interface Subscription {
  readonly onMessage: (message: string) => void
  readonly onJoined: (() => void) | undefined
}
export interface Channels {
  subscribe(channel: string, onMessage: (message: string) => void, onJoined?: () => void): () => void
  close(): void
}

export function createChannels(open: () => Redis, logger: Logger): Channels {
  const subscriptions = new Map<string, Set<Subscription>>()
  let connection: Redis | null = null
  let closed = false

  const join = async (client: Redis, channels: readonly string[]): Promise<void> => {
    if (closed || channels.length === 0 || client.status !== 'ready') return
    try {
      await client.subscribe(...channels)
    } catch (error) {
      // A break is repaired by the next `ready`; a missed deadline on a live connection is not.
      if (closed || client.status !== 'ready') return
      logger.warn({ reason: (error as Error).message }, 'cannot subscribe; connecting again')
      client.disconnect(true)
      return
    }
    for (const channel of channels) for (const entry of subscriptions.get(channel) ?? []) entry.onJoined?.()
  }

  const connect = (): Redis => {
    const client = open()
    client.on('error', () => {})
    client.on('ready', () => void join(client, [...subscriptions.keys()]))
    client.on('message', (channel: string, message: string) => {
      for (const entry of [...(subscriptions.get(channel) ?? [])]) {
        try {
          entry.onMessage(message)
        } catch (error) {
          // Anybody on this Redis may publish anything: what one listener cannot take is no end of the process.
          logger.error({ channel, reason: (error as Error).message }, 'a message could not be taken')
        }
      }
    })
    return client
  }

  return {
    subscribe(channel, onMessage, onJoined) {
      const entry: Subscription = { onMessage, onJoined }
      const entries = subscriptions.get(channel) ?? new Set()
      entries.add(entry)
      subscriptions.set(channel, entries)
      connection ??= connect()
      void join(connection, [channel])
      return () => {
        entries.delete(entry)
        if (entries.size > 0) return
        subscriptions.delete(channel)
        if (connection?.status === 'ready') connection.unsubscribe(channel).catch(() => {})
      }
    },
    close() {
      closed = true
      connection?.disconnect()
    },
  }
}
