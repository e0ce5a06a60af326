// The product from end to end on a machine with cgroup v2 alone: through `fn` and HTTP, proven by what happens to the function.
// Runs in the guest, where a call takes 10 to 20 times as long: rates and limits are the kernel's and stay what they are.
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { HostReport } from '../../runtime/api.ts'
import type { SandboxInfo } from '../../worker/api.ts'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { recordOf } from '../support/records.ts'
import { until } from '../support/until.ts'

const MIB = 1024 ** 2
const PROBE = join(ROOT, 'test', 'fixtures', 'functions', 'probe.ts')
let platform: Platform

beforeAll(async () => {
  platform = await startPlatform()
  await platform.deploy(
    PROBE,
    '--memory',
    '128m',
    '--timeout',
    '60s',
    '--init-timeout',
    '60s',
    '--freeze-grace',
    '100ms',
  )
})
afterAll(() => platform.stop())

const sandboxesOf = async (name: string): Promise<SandboxInfo[]> =>
  (await platform.json<SandboxInfo[]>('/v1/sandboxes')).filter((row) => row.function === name)
const whenFrozen = () =>
  until('it is frozen', async () => {
    const states = (await sandboxesOf('probe')).map((row) => row.state)
    return (states.length > 0 && states.every((state) => state === 'frozen')) || states.join(' ')
  })

test('the doctor finds v2, and every limit enforced but those that v2 lacks and those of a disk without bfq', async () => {
  const report = JSON.parse((await platform.fn('doctor', '--json')).stdout) as HostReport
  expect(report.cgroupMode).toBe('v2')
  const refused = Object.entries(report.limits).filter(([, support]) => !support.enforced)
  expect(refused.map(([name]) => name).sort()).toEqual(['blkioWeightDevice', 'memorySwappiness'])
})

test('a deployed function answers, and its call is metered', async () => {
  const response = await platform.request('/fn/probe/burn/200')
  expect([response.status, await response.text()]).toEqual([200, 'burnt 200'])
  const { metering } = await recordOf(platform, response)
  expect(metering.cpuUserUs + metering.cpuSystemUs).toBeGreaterThan(190_000)
  expect(metering.memoryPeakBytes).toBeGreaterThan(10 * MIB)
  expect(metering.tasksPeak).toBeGreaterThan(1)
})

test('an idle sandbox is frozen and uses no CPU; the next call thaws the same one', async () => {
  await whenFrozen()
  const [before] = await sandboxesOf('probe')
  const end = performance.now() + 1500
  await until('a second and a half went by', () => performance.now() > end)
  const [after] = await sandboxesOf('probe')
  expect(after).toMatchObject({ pid: before!.pid, cpuUs: before!.cpuUs })
  const response = await platform.request('/fn/probe/state')
  expect(response.headers.get('fn-start')).toBe('thawed')
  expect((await sandboxesOf('probe'))[0]?.pid).toBe(before!.pid)
  const { metering } = await recordOf(platform, response)
  expect(metering.thawUs).toBeGreaterThan(0)
})

test('64m kills an allocation of 80 MB, passes 30 MB, and the next call works', async () => {
  const headers = { 'fn-limit-memory': '64m', 'fn-limit-memory-swap': '64m' }
  const killed = await platform.request('/fn/probe/use/80', { headers })
  expect(killed.status).toBe(502)
  const problem = (await killed.json()) as Record<string, unknown>
  expect(problem).toMatchObject({ code: 'FUNCTION_OUT_OF_MEMORY', component: 'function' })
  const record = await recordOf(platform, problem)
  expect(record.error.data).toMatchObject({ limitBytes: 64 * MIB })
  expect(record.metering.oomKills).toBe(1)
  const fine = await platform.request('/fn/probe/use/30', { headers })
  expect(await fine.text()).toBe(`used ${30 * MIB}`)
  expect((await platform.request('/fn/probe/use/80')).status).toBe(200)
})

test('a limit below what the sandbox holds takes another sandbox, never a kill', async () => {
  await platform.deploy(PROBE, '--name', 'holder', '--memory', '160m', '--init-timeout', '60s')
  expect((await platform.request('/fn/holder/alloc/90')).status).toBe(200)
  const stateOf = async (response: Response) => (await response.json()) as { bornAt: number }
  const first = await stateOf(await platform.request('/fn/holder/state'))
  const lowered = await platform.request('/fn/holder/state', { headers: { 'fn-limit-memory': '64m' } })
  expect(lowered.status).toBe(200)
  expect((await stateOf(lowered)).bornAt).not.toBe(first.bornAt)
})

test('half a CPU of quota: a spin of two seconds gets about one of CPU', async () => {
  const response = await platform.request('/fn/probe/spin/2000', { headers: { 'fn-limit-cpus': '0.5' } })
  const { metering, runMs } = await recordOf(platform, response)
  const cpus = (metering.cpuUserUs + metering.cpuSystemUs) / 1000 / runMs
  expect(cpus).toBeGreaterThan(0.3)
  expect(cpus).toBeLessThan(0.65)
  expect(metering.throttledUs).toBeGreaterThan(0)
})

test('a write rate of the scratch disk holds for buffered writes, and what was written is counted', async () => {
  await platform.deploy(
    PROBE,
    '--name',
    'disk',
    '--scratch',
    '64m',
    '--device-write-bps',
    '4m',
    '--init-timeout',
    '60s',
  )
  const response = await platform.request('/fn/disk/scratch/16')
  expect(await response.text()).toBe('written')
  const { metering, runMs } = await recordOf(platform, response)
  expect(metering.ioWriteBytes).toBeGreaterThan(15 * MIB)
  // 16 MiB at 4 MiB/s: 4 s of the kernel's own rate
  expect(runMs).toBeGreaterThan(3400)
  const free = await platform.request('/fn/disk/scratch/16', { headers: { 'fn-limit-device-write-bps': '2m' } })
  expect((await recordOf(platform, free)).runMs).toBeGreaterThan(1.5 * runMs)
})

test('a burst of processes ends at the pids limit', async () => {
  const response = await platform.request('/fn/probe/forks/30', { headers: { 'fn-limit-pids': '20' } })
  const outcomes = (await response.json()) as string[]
  expect(outcomes.filter((outcome) => outcome === 'EAGAIN').length).toBeGreaterThan(0)
})

test('an asynchronous call is answered too', async () => {
  const accepted = await platform.request('/fn/probe/status/200', { headers: { prefer: 'respond-async' } })
  expect(accepted.status).toBe(202)
  const location = accepted.headers.get('location') ?? ''
  const result = await platform.request(`${location}/result?wait=60s`)
  expect(await result.text()).toBe('status 200')
})
