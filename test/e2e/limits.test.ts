// Limits and metering through the front door: proven by what happens to the function, never by reading a control file back.
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { HostReport } from '../../runtime/api.ts'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { recordOf } from '../support/records.ts'

let platform: Platform
const PROBE = join(ROOT, 'test', 'fixtures', 'functions', 'probe.ts')
const MORTAL = join(ROOT, 'test', 'fixtures', 'functions', 'mortal.ts')
beforeAll(async () => {
  platform = await startPlatform()
  await platform.deploy(PROBE, '--memory', '128m', '--timeout', '20s')
})
afterAll(() => platform.stop())

const problemOf = async (path: string, headers: Record<string, string>): Promise<Record<string, unknown>> => {
  const response = await platform.request(path, { headers })
  expect(response.headers.get('content-type')).toContain('application/problem+json')
  return { ...((await response.json()) as Record<string, unknown>), httpStatus: response.status }
}

describe('memory', () => {
  test('64m kills an allocation of 80 MB with limit and peak in the answer, passes 30 MB, and the next call works', async () => {
    const headers = { 'fn-limit-memory': '64m', 'fn-limit-memory-swap': '64m' }
    const found = await problemOf('/fn/probe/use/80', headers)
    expect(found).toMatchObject({ httpStatus: 502, code: 'FUNCTION_OUT_OF_MEMORY', component: 'function' })
    const record = await recordOf(platform, found)
    expect(record.limits.memory).toBe(64 * 1024 ** 2)
    expect(record.error.data).toMatchObject({ limitBytes: 64 * 1024 ** 2 })
    const fine = await platform.request('/fn/probe/use/30', { headers })
    expect(await fine.text()).toBe(`used ${30 * 1024 ** 2}`)
    expect((await recordOf(platform, fine)).metering.memoryPeakBytes).toBeGreaterThan(30 * 1024 ** 2)
    expect((await platform.request('/fn/probe/use/80')).status).toBe(200)
  })

  test('a limit below what the sandbox holds takes another sandbox, never a kill', async () => {
    await platform.deploy(PROBE, '--name', 'holder', '--memory', '160m')
    const first = await platform.request('/fn/holder/alloc/90')
    expect(first.status).toBe(200)
    const pid = ((await platform.json('/fn/holder/state')) as { pid: number; bornAt: number }).bornAt
    const lowered = await platform.request('/fn/holder/state', { headers: { 'fn-limit-memory': '64m' } })
    expect(lowered.status).toBe(200)
    expect(((await lowered.json()) as { bornAt: number }).bornAt).not.toBe(pid)
  })

  test('409 when even a fresh sandbox uses more than asked for', async () => {
    // A bare sandbox holds about 16 MiB: without ballast the outcome would hang on a page or two.
    await platform.deploy(MORTAL, '--name', 'heavy', '--env', 'BALLAST=24')
    expect((await platform.request('/fn/heavy/')).status).toBe(200)
    const found = await problemOf('/fn/heavy/', { 'fn-limit-memory': '16m' })
    expect(found).toMatchObject({ httpStatus: 409, code: 'LIMIT_BELOW_USE' })
    expect((await platform.request('/fn/heavy/')).status).toBe(200)
  })
})

describe('CPU', () => {
  test('half a CPU of quota: a spin of one second of wall time gets about half a second of CPU', async () => {
    let cpus = 0
    // A machine that is short of CPU gives less than the quota; once in a few seconds it is not.
    for (let attempt = 0; attempt < 5 && cpus <= 0.35; attempt++) {
      const response = await platform.request('/fn/probe/spin/1000', { headers: { 'fn-limit-cpus': '0.5' } })
      expect(response.status).toBe(200)
      const { metering, runMs } = await recordOf(platform, response)
      cpus = (metering.cpuUserUs + metering.cpuSystemUs) / 1000 / runMs
      expect(cpus).toBeLessThan(0.65)
      if (cpus > 0.35) expect(metering.throttledUs).toBeGreaterThan(0)
    }
    expect(cpus).toBeGreaterThan(0.35)
    const free = await platform.request('/fn/probe/spin/300')
    expect((await recordOf(platform, free)).metering.throttledUs).toBe(0)
  })

  test('more CPUs than there are, asked for at deploy or by a call, is a 400 that says how many there are', async () => {
    const { cores } = await platform.json<HostReport>('/v1/doctor')
    const words = `cpus: 99: there ${cores === 1 ? 'is 1 CPU' : `are ${cores} CPUs`} here; ask for 0.01 to ${cores}`
    const deploy = await platform.fn('deploy', PROBE, '--name', 'vast', '--cpus', '99')
    expect([deploy.code, deploy.stderr]).toEqual([1, expect.stringContaining(words)])
    for (const headers of [{}, { prefer: 'respond-async' }]) {
      const call = await problemOf('/fn/probe/status/200', { 'fn-limit-cpus': '99', ...headers })
      expect(call).toMatchObject({ httpStatus: 400, code: 'LIMIT_UNSUPPORTED', detail: words })
    }
    const invoke = await platform.fn('invoke', 'probe', '--cpus', '99')
    expect([invoke.code, invoke.stderr]).toEqual([1, expect.stringContaining(words)])
  })
})

describe('tasks and disks', () => {
  test('pids stops a burst of processes, and the function goes on', async () => {
    const response = await platform.request('/fn/probe/forks/30', { headers: { 'fn-limit-pids': '20' } })
    const outcomes = (await response.json()) as string[]
    expect(outcomes.filter((outcome) => outcome === 'EAGAIN').length).toBeGreaterThan(0)
    expect((await platform.request('/fn/probe/status/200')).status).toBe(200)
  })

  test('/tmp ends at its size with ENOSPC', async () => {
    await platform.deploy(PROBE, '--name', 'small-tmp', '--tmpfs', '8m')
    expect((await platform.request('/fn/small-tmp/write/4')).status).toBe(200)
    const full = await platform.request('/fn/small-tmp/write/16')
    expect([full.status, await full.text()]).toEqual([507, 'ENOSPC'])
  })

  test('a scratch disk is bounded, and its write rate holds for buffered writes too', async () => {
    await platform.deploy(PROBE, '--name', 'disk', '--scratch', '64m', '--device-write-bps', '8m')
    const response = await platform.request('/fn/disk/scratch/16')
    expect(await response.text()).toBe('written')
    const record = await recordOf(platform, response)
    expect(record.metering.ioWriteBytes).toBeGreaterThan(15 * 1024 ** 2)
    // 16 MiB at 8 MiB/s: the kernel's own rate, 2 s; a buffered write that escaped would take milliseconds
    expect(record.runMs).toBeGreaterThan(1600)
    expect(record.runMs).toBeLessThan(4000)
    await platform.deploy(PROBE, '--name', 'small-disk', '--scratch', '8m')
    expect((await platform.request('/fn/small-disk/scratch/32')).status).toBe(507)
  })
})

describe('what is refused', () => {
  test.each([
    [{ 'fn-limit-memory': '1g' }, 'memory'],
    [{ 'fn-limit-memory': '4m' }, 'memory'],
    [{ 'fn-limit-memory': 'lots' }, 'memory'],
    [{ 'fn-limit-cpu-shares': '1' }, 'cpuShares'],
    [{ 'fn-limit-pids': '0' }, 'pids'],
    [{ 'fn-limit-pids': '100000' }, 'pids'],
    [{ 'fn-limit-blkio-weight': '5000' }, 'blkioWeight'],
    [{ 'fn-limit-tmpfs': '8m' }, 'tmpfs'],
    [{ 'fn-limit-nonsense': '8m' }, 'nonsense'],
    [{ 'fn-limit-memory': '64m', 'fn-limit-memory-swap': '32m' }, 'memorySwap'],
    [{ 'fn-limit-device-write-bps': '8m' }, 'scratch'],
    [{ 'fn-timeout': '2h' }, 'imeout'],
  ] as const)('%o is a 400 that names the limit', async (headers, named) => {
    const found = await problemOf('/fn/probe/status/200', headers)
    expect(found.httpStatus).toBe(400)
    expect(String(found.detail)).toContain(named)
  })

  test('a limit this host cannot enforce is refused at deploy, and the doctor says what would turn it on', async () => {
    const { limits } = await platform.json<HostReport>('/v1/doctor')
    expect(limits.memory).toMatchObject({ enforced: true })
    const doctor = await platform.fn('doctor', '--json')
    expect(doctor.code).toBe(0)
    expect(Object.keys(JSON.parse(doctor.stdout).limits ?? JSON.parse(doctor.stdout))).toContain('blkioWeight')
    const deploy = (...args: string[]) =>
      platform.fn('deploy', PROBE, '--name', 'weighty', '--blkio-weight', '100', ...args)
    const result = await deploy('--scratch', '16m')
    if (limits.blkioWeight?.enforced) expect(result.code).toBe(0)
    else {
      expect(limits.blkioWeight?.fix).toBeTruthy()
      expect(result.code).toBe(1)
      expect(result.stderr).toContain('blkioWeight')
    }
    // Without a scratch disk it would need a disk of the host that knows weights.
    const bare = await deploy()
    if (limits.blkioWeightDevice?.enforced) expect(bare.code).toBe(0)
    else {
      expect(bare.code).toBe(1)
      expect(bare.stderr).toContain('--scratch')
    }
  })

  test('a call may lower the I/O weight only where the scratch disk is shared', async () => {
    const headers = { 'fn-limit-blkio-weight': '50' }
    await platform.deploy(PROBE, '--name', 'own-disk', '--scratch', '8m')
    const refused = await problemOf('/fn/own-disk/status/200', headers)
    expect(refused.httpStatus).toBe(400)
    expect(String(refused.detail)).toContain('--blkio-weight')
    const { limits } = await platform.json<HostReport>('/v1/doctor')
    if (limits.blkioWeight?.enforced)
      expect((await platform.request('/fn/weighty/status/200', { headers })).status).toBe(200)
  })

  test('memorySwap below memory and a device limit without a disk are refused at deploy', async () => {
    const swap = await platform.fn('deploy', PROBE, '--name', 'bad-swap', '--memory', '64m', '--memory-swap', '32m')
    expect(swap.code).toBe(1)
    expect(swap.stderr).toContain('memorySwap')
    const disk = await platform.fn('deploy', PROBE, '--name', 'bad-disk', '--device-write-bps', '8m')
    expect(disk.code).toBe(1)
    expect(disk.stderr).toContain('--scratch')
  })
})

describe('totals', () => {
  test('of a function’s calls are in /metrics, and are the sum of their records', async () => {
    await platform.deploy(PROBE, '--name', 'counted', '--scratch', '16m')
    let cpuUs = 0
    let written = 0
    for (const path of ['burn/30', 'burn/20', 'scratch/2']) {
      const { metering } = await recordOf(platform, await platform.request(`/fn/counted/${path}`))
      cpuUs += metering.cpuUserUs + metering.cpuSystemUs
      written += metering.ioWriteBytes
    }
    const text = await (await platform.request('/metrics')).text()
    const total = (name: string, labels: string): number => {
      const line = text
        .split('\n')
        .find((candidate) => candidate.startsWith(`${name}{namespace="default",function="counted"${labels}}`))
      return Number(line?.split(' ').at(-1))
    }
    const cpu =
      total('thaw_function_cpu_seconds_total', ',mode="user"') +
      total('thaw_function_cpu_seconds_total', ',mode="system"')
    expect(cpu).toBeCloseTo(cpuUs / 1e6, 6)
    expect(total('thaw_function_io_bytes_total', ',direction="write"')).toBe(written)
    expect(total('thaw_function_oom_kills_total', '')).toBe(0)
  })
})

describe('fn invoke', () => {
  test('takes the limits of one call and reports its metering', async () => {
    const result = await platform.fn('invoke', 'probe', '--path', '/use/20', '--memory', '96m', '--meter')
    expect(result.code).toBe(0)
    expect(result.stdout).toContain(`used ${20 * 1024 ** 2}`)
    expect(result.stderr).toMatch(/memory/i)
    expect(result.stderr).toMatch(/cpu/i)
    const failed = await platform.fn('invoke', 'probe', '--path', '/use/200', '--memory', '64m')
    expect(failed.code).toBe(3)
    expect(failed.stderr).toContain('FUNCTION_OUT_OF_MEMORY')
  })
})
