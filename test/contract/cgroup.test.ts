// Every cgroup mode keeps the same promises. The fakes are plain files; test/kernel/cgroup.test.ts holds the real kernel to them.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type CgroupHost, openCgroupHost, type SandboxCgroup } from '../../runtime/cgroup/cgroup.ts'
import { DEFAULT_LIMITS, type Limits } from '../../runtime/limits/limits.ts'
import { FakeCgroupfs } from '../support/fake-cgroupfs.ts'
import { silentLogger } from '../support/real-clock.ts'

const MIB = 1024 ** 2
const PARENT = '/thaw-fake'
const PATH = `${PARENT}/s1`

describe.each(['v1', 'hybrid', 'v2'] as const)('cgroups in mode %s', (mode) => {
  let fake: FakeCgroupfs
  let host: CgroupHost
  let cgroup: SandboxCgroup
  const limits: Limits = { ...DEFAULT_LIMITS, cpus: 0.5 }
  /** The value in force, by the name v1 or v2 gives it. */
  const inForce = (v1: string, v2: string): string => fake.read(PATH, mode === 'v2' ? v2 : v1)

  beforeEach(() => {
    fake = new FakeCgroupfs(mode)
    fake.make(PARENT)
    const { root, mountinfo, clock } = fake
    host = openCgroupHost({ platformId: 'fake', root, mountinfo, clock, swaps: 'Filename', logger: silentLogger })
    fake.make(PATH)
    cgroup = host.attach('s1', limits, '7:0')
  })
  afterEach(() => fake.dispose())

  test('the host knows its mode, and prefers the v2 freezer where there is a v2 tree', () => {
    expect(host.mode).toBe(mode)
    expect(host.freezer).toBe(mode === 'v1' ? 'freezer.state (v1)' : 'cgroup.freeze (v2)')
    expect(host.path('abc')).toBe('/thaw-fake/abc')
  })

  test('attach writes the limits in the dialect of the host', () => {
    expect(inForce('cpu.shares', 'cpu.weight')).toBe(mode === 'v2' ? '100' : '1024')
    expect(inForce('memory.limit_in_bytes', 'memory.max')).toBe(String(128 * MIB))
    expect(inForce('memory.memsw.limit_in_bytes', 'memory.swap.max')).toBe(String((mode === 'v2' ? 128 : 256) * MIB))
    expect(inForce('pids.max', 'pids.max')).toBe('64')
    expect(inForce('blkio.bfq.weight', 'io.bfq.weight')).toBe(mode === 'v2' ? 'default 500' : '500')
  })

  test('the CPU quota waits until it is enforced, then follows the limits', () => {
    const quota = () => inForce('cpu.cfs_quota_us', 'cpu.max')
    expect(quota()).toBe(mode === 'v2' ? 'max 100000' : '-1')
    cgroup.enforceQuota()
    expect(quota()).toBe(mode === 'v2' ? '50000 100000' : '50000')
    cgroup.applyLimits({ ...limits, cpus: null })
    expect(quota()).toBe(mode === 'v2' ? 'max 100000' : '-1')
  })

  test('limits of one call are written, and the old ones come back', () => {
    const low = { ...limits, memory: 64 * MIB, memorySwap: 64 * MIB, cpuShares: 512, pids: 32, cpusetCpus: '0' }
    expect(cgroup.applyLimits(low)).toEqual({ applied: true })
    expect(inForce('memory.limit_in_bytes', 'memory.max')).toBe(String(64 * MIB))
    expect(inForce('memory.memsw.limit_in_bytes', 'memory.swap.max')).toBe(mode === 'v2' ? '0' : String(64 * MIB))
    expect(inForce('cpu.shares', 'cpu.weight')).toBe(mode === 'v2' ? '59' : '512')
    expect(inForce('cpuset.cpus', 'cpuset.cpus')).toBe('0')
    expect(cgroup.applyLimits(limits)).toEqual({ applied: true })
    expect(inForce('memory.limit_in_bytes', 'memory.max')).toBe(String(128 * MIB))
    expect(inForce('pids.max', 'pids.max')).toBe('64')
    expect(inForce('cpuset.cpus', 'cpuset.cpus')).toBe(mode === 'v2' ? '' : '0-1')
  })

  test('unlimited swap, reservation and their end are written', () => {
    cgroup.applyLimits({ ...limits, memorySwap: -1, memoryReservation: 32 * MIB })
    expect(inForce('memory.memsw.limit_in_bytes', 'memory.swap.max')).toBe(mode === 'v2' ? 'max' : '-1')
    expect(inForce('memory.soft_limit_in_bytes', 'memory.low')).toBe(String(32 * MIB))
    cgroup.applyLimits(limits)
    expect(inForce('memory.soft_limit_in_bytes', 'memory.low')).toBe(mode === 'v2' ? '0' : '-1')
  })

  test('memory below what is in use is refused, and nothing has changed', () => {
    fake.use(PATH, 80 * MIB)
    const outcome = cgroup.applyLimits({ ...limits, memory: 64 * MIB, cpuShares: 512 })
    expect(outcome).toEqual({ applied: false, limit: 'memory', asked: 64 * MIB, inUse: 80 * MIB })
    expect(inForce('memory.limit_in_bytes', 'memory.max')).toBe(String(128 * MIB))
    expect(inForce('cpu.shares', 'cpu.weight')).toBe(mode === 'v2' ? '100' : '1024')
  })

  test('fewer tasks than there are is refused', () => {
    fake.write(PATH, 'pids.current', '11')
    expect(cgroup.applyLimits({ ...limits, pids: 5 })).toEqual({ applied: false, limit: 'pids', asked: 5, inUse: 11 })
    expect(fake.read(PATH, 'pids.max')).toBe('64')
  })

  test('rates without a device are put on the scratch disk and taken away again', () => {
    const limited = { ...limits, scratch: 64 * MIB, deviceWriteBps: [{ device: null, rate: 8 * MIB }] }
    cgroup.applyLimits(limited)
    expect(inForce('blkio.throttle.write_bps_device', 'io.max')).toBe(`7:0 ${mode === 'v2' ? 'wbps=' : ''}${8 * MIB}`)
    cgroup.applyLimits(limits)
    expect(inForce('blkio.throttle.write_bps_device', 'io.max')).toBe(mode === 'v2' ? '7:0 wbps=max' : '7:0 0')
  })

  test('freeze asks, waits for the confirmation, and is a no-op on a frozen sandbox', async () => {
    expect(cgroup.frozen).toBe(false)
    expect(cgroup.thaw()).toBe(0)
    expect(await cgroup.freeze()).toBeTypeOf('number')
    expect(cgroup.frozen).toBe(true)
    expect(fake.read(PATH, mode === 'v1' ? 'freezer.state' : 'cgroup.freeze')).toBe(mode === 'v1' ? 'FROZEN' : '1')
    expect(await cgroup.freeze()).toBe(0)
    cgroup.thaw()
    expect(cgroup.frozen).toBe(false)
    expect(fake.read(PATH, mode === 'v1' ? 'freezer.state' : 'cgroup.freeze')).toBe(mode === 'v1' ? 'THAWED' : '0')
  })

  if (mode !== 'v1') {
    test('a sandbox whose freeze the kernel does not confirm is not frozen', async () => {
      fake.confirms = false
      await expect(cgroup.freeze()).rejects.toMatchObject({ code: 'FREEZE_FAILED' })
      expect(cgroup.frozen).toBe(false)
      expect(fake.read(PATH, 'cgroup.freeze')).toBe('0')
    })
  }

  const cpu = (us: number) => {
    if (mode === 'v1') fake.write(PATH, 'cpuacct.usage', String(us * 1000))
    else {
      const text = `usage_usec ${us}\nuser_usec ${us / 2}\nsystem_usec ${us / 2}\nthrottled_usec 0`
      fake.writeUnified(PATH, 'cpu.stat', text)
    }
  }

  test('metering is what the counters grew by, and gives freeze times once', async () => {
    cpu(1000)
    cgroup.enforceQuota()
    cpu(1200)
    cgroup.beginMetering()
    cpu(5200)
    fake.write(PATH, mode === 'v2' ? 'memory.events' : 'memory.oom_control', 'oom 7\noom_kill 1')
    const first = cgroup.endMetering(true)
    expect(first.cpuUserUs + first.cpuSystemUs).toBe(4000)
    expect(first).toMatchObject({ exact: true, idleCpuUs: 200, oomKills: 1, pageFaults: 0, freezeUs: 0 })
    cpu(5300)
    await cgroup.freeze()
    cgroup.thaw()
    cgroup.beginMetering()
    const second = cgroup.endMetering(false)
    expect(second).toMatchObject({ exact: false, idleCpuUs: 100, cpuUserUs: 0, cpuSystemUs: 0, oomKills: 0 })
    cgroup.beginMetering()
    expect(cgroup.endMetering(true)).toMatchObject({ freezeUs: 0, thawUs: 0, idleCpuUs: 0 })
  })

  test('time held back by the quota of one call is not the next call’s, though the kernel counts it when the quota ends', () => {
    const throttled = (us: number) =>
      fake.write(PATH, 'cpu.stat', mode === 'v2' ? `usage_usec 0\nthrottled_usec ${us}` : `throttled_time ${us * 1000}`)
    cgroup.enforceQuota()
    cgroup.applyLimits({ ...limits, cpus: 0.2 })
    cgroup.beginMetering()
    throttled(300)
    expect(cgroup.endMetering(true).throttledUs).toBe(300)
    cgroup.applyLimits(limits)
    throttled(350)
    cgroup.beginMetering()
    expect(cgroup.endMetering(true).throttledUs).toBe(0)
  })

  test('overlapping calls share figures that begin with the first', () => {
    cgroup.beginMetering()
    fake.write(PATH, 'memory.stat', 'total_pgfault 99\npgfault 30')
    cpu(1000)
    cgroup.beginMetering()
    expect(cgroup.endMetering(false)).toMatchObject({ pageFaults: 30, unshared: { pageFaults: 30 } })
    fake.write(PATH, 'memory.stat', 'total_pgfault 99\npgfault 37')
    cpu(2000)
    cgroup.beginMetering()
    expect(cgroup.endMetering(false)).toMatchObject({ pageFaults: 37, unshared: { pageFaults: 7 } })
    expect(cgroup.endMetering(false)).toMatchObject({ pageFaults: 37, unshared: { pageFaults: 0 } })
    cgroup.beginMetering()
    const alone = cgroup.endMetering(true)
    expect(alone.pageFaults).toBe(0)
    expect(alone.unshared).toBeUndefined()
  })

  test('remove takes every directory away, and a second one is fine', async () => {
    fake.emptyDirectories(PATH)
    await cgroup.remove()
    expect(fake.exists(PATH)).toBe(false)
    await cgroup.remove()
    expect(cgroup.memoryBytes()).toBe(0)
  })

  test('a limit the kernel refuses is an error with path and value', () => {
    fake.remove(PATH, 'cpuset.cpus')
    expect(() => cgroup.applyLimits({ ...limits, cpusetCpus: '0' })).toThrow(
      expect.objectContaining({ code: 'LIMIT_WRITE', message: expect.stringMatching(/"0" to .*cpuset\.cpus: ENOENT/) }),
    )
  })

  test('attaching to a cgroup that is not there is an error with its path', () => {
    expect(() => host.attach('nobody', limits, null)).toThrow(
      expect.objectContaining({ code: 'CREATE_FAILED', message: expect.stringContaining('/thaw-fake/nobody') }),
    )
  })

  test('support tells of every limit, and how to turn on what is off', () => {
    const support = host.support(false)
    expect(Object.keys(support).sort()).toEqual(Object.keys(DEFAULT_LIMITS).sort())
    for (const entry of Object.values(support)) expect(entry.enforced || entry.fix).toBeTruthy()
    expect(support.memorySwappiness.enforced).toBe(mode !== 'v2')
    expect(support.memory.enforced && support.cpuShares.enforced && support.deviceReadBps.enforced).toBe(true)
    expect(support.scratch.enforced).toBe(false)
    expect(host.support(true).scratch.enforced).toBe(true)
  })
})
