// Long-idle sandboxes give their memory back: to the compressed swap of `fn up --zram`, which is gone after a stop and after a
// kill -9. Swap is the whole machine's; this file makes a small one for itself.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { HostReport } from '../../runtime/api.ts'
import type { SandboxInfo } from '../../worker/api.ts'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'

const PROBE = join(ROOT, 'test', 'fixtures', 'functions', 'probe.ts')
const MIB = 1024 ** 2
const note = () => `/run/thaw/${platform.id}/zram`
const swaps = () => readFileSync('/proc/swaps', 'utf8')
let platform: Platform
beforeAll(async () => {
  platform = await startPlatform({ args: ['--zram', '256m'], env: { FN_RECLAIM_AFTER: '300ms' } })
})
afterAll(() => platform.stop())

test('a frozen sandbox is seen to shrink, and its next call is right', async () => {
  expect((await platform.json<HostReport>('/v1/doctor')).swapBytes).toBeGreaterThan(250 * MIB)
  await platform.deploy(PROBE, '--freeze-grace', '50ms', '--memory', '128m')
  const sandbox = async () =>
    (await platform.json<SandboxInfo[]>('/v1/sandboxes')).find((row) => row.function === 'probe')!
  expect(await (await platform.request('/fn/probe/alloc/40')).text()).toBe('held 1')
  const held = (await sandbox()).memoryBytes
  expect(held).toBeGreaterThan(40 * MIB)
  await until('its memory fell', async () => {
    const { state, memoryBytes } = await sandbox()
    return (
      (state === 'frozen' && memoryBytes < held / 3) ||
      `${state}, ${Math.round(memoryBytes / MIB)} MiB of ${Math.round(held / MIB)}`
    )
  })
  const response = await platform.request('/fn/probe/alloc/1')
  expect(response.headers.get('fn-start')).toBe('thawed')
  expect(await response.text()).toBe('held 2')
})

test('the compressed swap goes with the platform, however it ends', async () => {
  const device = `/dev/${readFileSync(note(), 'utf8').trim()}`
  expect(swaps()).toContain(`${device} `)
  await platform.kill9()
  await until('the guard has switched it off', () => !existsSync(note()) && !swaps().includes(`${device} `))
  await platform.restart()
  const next = `/dev/${readFileSync(note(), 'utf8').trim()}`
  expect(swaps()).toContain(`${next} `)
  await platform.stop()
  expect(swaps()).not.toContain(`${next} `)
})
