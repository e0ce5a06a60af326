import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { isAway, laneTrouble, whyRedisIsAway } from '../../../../cli/up/redis-reach.ts'

const server = createServer((socket) => socket.end())
const folder = mkdtempSync(join(tmpdir(), 'thaw-reach-'))
let port: number
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})
afterAll(async () => {
  await new Promise((resolve) => server.close(resolve))
  rmSync(folder, { recursive: true })
})

test('a Redis that answers and may not be used is not said to be away', () => {
  const lane = (available: boolean, refusal: string | null, full: string | null = null) => ({
    available: () => available,
    refusal: () => refusal,
    full: () => full,
  })
  expect(laneTrouble(lane(true, null), 'nothing works')).toBeNull()
  const away = laneTrouble(lane(false, null), 'nothing works') ?? ''
  expect([away, isAway(away)]).toEqual(['Redis is away: nothing works', true])
  const full = laneTrouble(lane(false, null), 'nothing works', 'its disk is full') ?? ''
  expect([full, isAway(full)]).toEqual(['Redis is away (its disk is full): nothing works', true])
  const noRoom = laneTrouble(lane(true, null, 'Redis is full'), 'nothing works') ?? ''
  expect([noRoom, isAway(noRoom)]).toEqual([expect.stringMatching(/^Redis is full: no more asynchronous calls/), false])
  const refused = laneTrouble(lane(false, 'it may evict calls'), 'nothing works') ?? ''
  expect([refused, isAway(refused)]).toEqual(['it may evict calls', false])
})

test('what listens and does not serve is told from what is not there, without showing the password', async () => {
  const there = await whyRedisIsAway(`redis://me:secret@127.0.0.1:${port}/3`)
  expect(there).toContain(`redis://127.0.0.1:${port} is reached, but is no Redis`)
  expect(there).not.toContain('secret')
})

test.each([
  ['a socket', () => `unix://${join(folder, 'redis.sock')}`, () => `unix://${join(folder, 'redis.sock')} (ENOENT)`],
  ['a port', () => 'redis://me:secret@127.0.0.1:1', () => 'redis://127.0.0.1:1 (ECONNREFUSED)'],
  ['an address of IPv6', () => 'rediss://[::1]:1', () => 'rediss://[::1]:1 (E'],
])('%s where nothing is: place, reason and way out', async (_what, url, words) => {
  const why = await whyRedisIsAway(url())
  expect(why).toContain(`nothing answers at ${words()}`)
  expect(why).toMatch(/\); start Redis there, or name another: REDIS_URL$/)
  expect(why).not.toContain('secret')
})
