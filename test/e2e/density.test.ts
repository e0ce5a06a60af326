// A hundred different functions on one platform: all of them frozen, each of them there for its next call.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { SandboxInfo } from '../../worker/api.ts'
import { deployMany, manyAnswer, manyName } from '../support/deploy-many.ts'
import { type Platform, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'

const COUNT = 100
const MIB = 1024 ** 2
let platform: Platform
beforeAll(async () => {
  platform = await startPlatform()
})
afterAll(() => platform.stop())

test('a hundred functions are frozen, hold far less than their limits, and any of them answers', async () => {
  await deployMany(platform, { count: COUNT, parallel: 4, settings: { freezeGrace: '10ms', keepAlive: '1h' } })
  const rows = async () =>
    (await platform.json<SandboxInfo[]>('/v1/sandboxes')).filter((row) => row.function.startsWith('many-'))
  await until(
    'all are frozen',
    async () => {
      const frozen = (await rows()).filter((row) => row.state === 'frozen').length
      return frozen === COUNT || `${frozen} frozen`
    },
    60_000,
  )
  const seen = await rows()
  expect(new Set(seen.map((row) => row.function)).size).toBe(COUNT)
  expect(seen.reduce((sum, row) => sum + row.memoryBytes, 0)).toBeLessThan(COUNT * 64 * MIB)
  for (const n of [0, 17, 42, 63, COUNT - 1]) {
    const response = await platform.request(`/fn/${manyName(n)}`)
    expect(await response.text()).toBe(manyAnswer(n))
    expect(response.headers.get('fn-start')).toBe('thawed')
  }
})
