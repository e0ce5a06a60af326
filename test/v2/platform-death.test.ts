// A killed platform on a machine with cgroup v2 alone: what its guard leaves, and what the next start finds. Runs in the guest.
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { leftovers } from '../support/platform-leftovers.ts'
import { until } from '../support/until.ts'

const PROBE = join(ROOT, 'test', 'fixtures', 'functions', 'probe.ts')
let platform: Platform

beforeAll(async () => {
  platform = await startPlatform()
  await platform.deploy(PROBE, '--init-timeout', '60s')
})
afterAll(() => platform.stop())

test('killed, the platform leaves nothing once its guard is through; started again, its functions are there', async () => {
  await platform.kill9()
  await until('nothing is left', () => {
    const left = leftovers(platform.id, platform.stateDir)
    return left.length === 0 || left.join('\n')
  })
  await platform.restart()
  expect(await (await platform.request('/fn/probe/status/200')).text()).toBe('status 200')
})
