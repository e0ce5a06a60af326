// What is said of the Redis behind the queue, from its own settings.
import { describe, expect, test } from 'vitest'
import { readServerPolicy } from '../../../../worker/queue/server-policy.ts'
import type { RedisStore } from '../../../../worker/store/connect.ts'
import { StoreError } from '../../../../worker/store/errors.ts'

function serverWith(settings: Record<string, string>): RedisStore {
  return { command: async () => Object.entries(settings).flat() } as unknown as RedisStore
}

describe('a server', () => {
  test.each([
    [{ appendonly: 'yes', appendfsync: 'always' }, 'disk'],
    [{ appendonly: 'yes', appendfsync: 'everysec' }, 'memory'],
    [{ appendonly: 'no', appendfsync: 'always' }, 'memory'],
    [{ appendonly: 'yes', appendfsync: 'everysec', 'min-replicas-to-write': '1' }, 'replica'],
    [{ appendonly: 'yes', appendfsync: 'always', 'min-replicas-to-write': '1' }, 'disk'],
  ] as const)('with %j keeps what it acknowledged on: %s', async (settings, durability) => {
    expect(await readServerPolicy(serverWith(settings))).toEqual({ durability, refused: '' })
  })

  test('that may throw calls away is refused', async () => {
    const policy = await readServerPolicy(serverWith({ 'maxmemory-policy': 'allkeys-lru' }))
    expect(policy.refused).toContain('set maxmemory-policy noeviction')
  })

  test('that does not tell is trusted least; one that does not answer is asked again', async () => {
    const failing = (code: 'REDIS_REFUSED' | 'REDIS_AWAY') =>
      ({ command: () => Promise.reject(new StoreError(code, 'no')) }) as unknown as RedisStore
    expect(await readServerPolicy(failing('REDIS_REFUSED'))).toEqual({ durability: 'memory', refused: '' })
    await expect(readServerPolicy(failing('REDIS_AWAY'))).rejects.toMatchObject({ code: 'REDIS_AWAY' })
  })
})
