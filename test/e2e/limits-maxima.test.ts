// Function ≤ namespace ≤ host: the operator's highest limits, at deploy, per call, and for functions deployed before they fell.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { recordOf } from '../support/records.ts'

const PROBE = join(ROOT, 'test', 'fixtures', 'functions', 'probe.ts')
const MIB = 1024 ** 2
let stateDir: string
let platform: Platform
beforeAll(async () => {
  stateDir = mkdtempSync(join(tmpdir(), 'thaw-state-'))
  const first = await startPlatform({ stateDir })
  await first.deploy(PROBE, '--name', 'large', '--memory', '192m', '--cpus', '0.5')
  await first.stop()
  const env = { FN_HOST_MAX_MEMORY: '128m', FN_NAMESPACE_MAX_CPUS: '0.5', FN_HOST_MAX_CPUS: '1' }
  platform = await startPlatform({ stateDir, env })
})
afterAll(async () => {
  await platform.stop()
  rmSync(stateDir, { recursive: true, force: true })
})

test('a deploy above the host’s or the namespace’s maximum is refused with the maximum and its setting', async () => {
  const memory = await platform.fn('deploy', PROBE, '--name', 'greedy', '--memory', '129m')
  expect(memory.code).toBe(1)
  expect(memory.stderr).toMatch(/129m is above the host's maximum 128m \(FN_HOST_MAX_MEMORY\)/)
  const cpus = await platform.fn('deploy', PROBE, '--name', 'greedy', '--cpus', '0.75')
  expect(cpus.code).toBe(1)
  expect(cpus.stderr).toMatch(/0.75 is above the namespace's maximum 0.5 \(FN_NAMESPACE_MAX_CPUS\)/)
})

test('what a deploy does not ask for comes down to the maximum, and a call cannot ask for more', async () => {
  await platform.deploy(PROBE, '--name', 'modest')
  let throttledUs = 0
  // A machine that is short of CPU gives less than the quota; once in a few seconds it is not.
  for (let attempt = 0; attempt < 10 && throttledUs === 0; attempt++) {
    const { limits, metering } = await recordOf(platform, await platform.request('/fn/modest/spin/400'))
    expect(limits).toMatchObject({ memory: 128 * MIB, cpus: 0.5 })
    throttledUs = metering.throttledUs
  }
  expect(throttledUs).toBeGreaterThan(0)
  const refused = await platform.request('/fn/modest/status/200', { headers: { 'fn-limit-cpus': '0.6' } })
  expect(refused.status).toBe(400)
})

test('a function from before the maximum fell is refused with the maximum, and works when deployed again with less', async () => {
  const refused = await platform.request('/fn/large/status/200')
  expect(refused.status).toBe(400)
  expect(await refused.json()).toMatchObject({
    code: 'LIMIT_INVALID',
    detail: expect.stringMatching(/192m is above the host's maximum 128m \(FN_HOST_MAX_MEMORY\)/),
  })
  await platform.deploy(PROBE, '--name', 'large', '--memory', '96m')
  expect((await platform.request('/fn/large/status/200')).status).toBe(200)
})
