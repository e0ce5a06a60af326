import { EventEmitter } from 'node:events'
import type { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { createChannels } from '../../../../worker/store/channels.ts'
import { silentLogger } from '../../../support/real-clock.ts'

test('what one listener cannot take is said in the log, and reaches the others', () => {
  const client = Object.assign(new EventEmitter(), { status: 'connecting', disconnect: () => {} })
  const said: object[] = []
  const logger = { ...silentLogger, error: (fields: object) => void said.push(fields) }
  const channels = createChannels(() => client as unknown as Redis, logger)
  const seen: string[] = []
  channels.subscribe('news', (message) => void JSON.parse(message))
  channels.subscribe('news', (message) => seen.push(message))
  client.emit('message', 'news', 'garbage')
  client.emit('message', 'news', '{}')
  expect(seen).toEqual(['garbage', '{}'])
  expect(said).toEqual([{ channel: 'news', reason: expect.stringContaining('garbage') }])
  channels.close()
})
