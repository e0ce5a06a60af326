import { afterEach, beforeEach, expect, test } from 'vitest'
import type { PlatformEvent } from '../../../../worker/api.ts'
import { Asks } from '../../../../worker/fleet/asks.ts'
import { listenToEvents } from '../../../../worker/fleet/event-relay.ts'
import type { RedisStore } from '../../../../worker/store/connect.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { silentLogger } from '../../../support/real-clock.ts'

/** Channels in memory: a message is delivered at once, and what a listener throws comes back to whoever published. */
class Channels {
  readonly #listeners = new Map<string, (message: string) => void>()
  readonly redis = {
    subscribe: (channel: string, onMessage: (message: string) => void) => {
      this.#listeners.set(channel, onMessage)
      return () => this.#listeners.delete(channel)
    },
    command: async (_publish: string, channel: string, message: string) => this.publish(channel, message),
  } as unknown as RedisStore

  /** The id of the last question. */
  asked = ''

  publish(channel: string, message: string): number {
    this.asked = /^\{"ask":"([^"]+)","from"/.exec(message)?.[1] ?? this.asked
    const listener = this.#listeners.get(channel)
    listener?.(message)
    return listener === undefined ? 0 : 1
  }
}

let channels: Channels
let one: Asks
let two: Asks
const asks = (self: string) => new Asks({ redis: channels.redis, self, clock: new FakeClock(), logger: silentLogger })

beforeEach(() => {
  channels = new Channels()
  one = asks('one')
  two = asks('two')
})
afterEach(() => {
  one.close()
  two.close()
})

const GARBAGE = [
  '',
  'garbage',
  'null',
  '7',
  '[]',
  '{}',
  '{"ask":7}',
  '{"ask":"ID","error":null}',
  '{"ask":"ID","error":{}}',
]

test.each(GARBAGE)('a channel of answers takes %j without harm, and the next answer', async (garbage) => {
  two.serve(async (method, args) => {
    channels.publish('{thaw}:answer:one', garbage.replace('ID', channels.asked))
    return { method, args }
  })
  expect(await one.ask('two', 'greet', { name: 'Ada' }, 1_000)).toEqual({ method: 'greet', args: { name: 'Ada' } })
})

test.each(GARBAGE)('a channel of questions takes %j without harm, and the next question', async (garbage) => {
  two.serve(async () => 'here')
  channels.publish('{thaw}:ask:two', garbage)
  expect(await one.ask('two', 'where', null, 1_000)).toBe('here')
})

test.each(GARBAGE)('a channel of events takes %j without harm, and the next event', (garbage) => {
  const seen: PlatformEvent[] = []
  listenToEvents(channels.redis, 'one', (event) => seen.push(event))
  const event = { type: 'log', line: { line: 'x' } }
  for (const text of [garbage, JSON.stringify({ from: 'two', event })]) channels.publish('{thaw}:events', text)
  channels.publish('{thaw}:events', JSON.stringify({ from: 'one', event }))
  expect(seen).toEqual([event])
})
