// Limits, metering and the freezer on the real kernel, with plain Node processes in the cgroups: effects, not settings.
// On a hybrid host every test runs twice: as it is, and as if there were no v2 tree.
import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type CgroupHost, openCgroupHost, type SandboxCgroup } from '../../runtime/cgroup/cgroup.ts'
import { weightOfShares } from '../../runtime/cgroup/cpu.ts'
import { DEFAULT_LIMITS, type Limits } from '../../runtime/limits/limits.ts'
import { type CgroupChild, makeSandboxCgroup, startInCgroup } from '../support/cgroup-child.ts'
import { cgroupRoots, expectNoLeftovers, type KernelSnapshot, snapshotKernel } from '../support/leftovers.ts'
import { realClock, silentLogger } from '../support/real-clock.ts'
import { timeScale } from '../support/time-scale.ts'
import { until } from '../support/until.ts'

const MIB = 1024 ** 2
const SPIN = 'for (;;) {}'
/** Allocates as many MiB as each line of input says, and answers. */
const ALLOCATE = `const kept = []; process.stdin.on('data', (text) => {
  for (const line of String(text).trim().split('\\n')) if (Number(line)) kept.push(Buffer.alloc(Number(line) * 1048576, 1)); console.log('held') })`

const mountinfo = readFileSync('/proc/self/mountinfo', 'utf8')
const hasV1 = / - cgroup /.test(mountinfo)
const hasV2 = / - cgroup2 /.test(mountinfo)
const withoutV2 = mountinfo
  .split('\n')
  .filter((line) => !line.includes(' - cgroup2 '))
  .join('\n')
const views =
  hasV1 && hasV2
    ? [
        ['hybrid', mountinfo],
        ['v1', withoutV2],
      ]
    : [[hasV2 ? 'v2' : 'v1', mountinfo]]

describe.each(views as [string, string][])('cgroups of the kernel, %s', (mode, view) => {
  const platformId = `test-${mode}-${process.pid}`
  const roots = cgroupRoots().filter((root) => view.includes(` ${root} `))
  let before: KernelSnapshot
  let host: CgroupHost
  let sandboxes: { cgroup: SandboxCgroup; child: CgroupChild }[] = []
  let count = 0

  /** A cgroup with limits in force and a process inside. */
  async function sandbox(source: string, limits: Partial<Limits> = {}) {
    const id = `s${++count}`
    makeSandboxCgroup(host.path(id), roots)
    const cgroup = host.attach(id, { ...DEFAULT_LIMITS, ...limits }, null)
    cgroup.enforceQuota()
    const child = await startInCgroup(host.path(id), source, roots)
    sandboxes.push({ cgroup, child })
    return { cgroup, child }
  }

  /** CPU used in about `ms` of time, µs. */
  async function cpuWithin(cgroup: SandboxCgroup, ms: number): Promise<number> {
    const from = cgroup.cpuUs()
    await pause(ms)
    return cgroup.cpuUs() - from
  }

  beforeAll(() => {
    before = snapshotKernel(platformId)
  })
  beforeEach(() => {
    host = openCgroupHost({ platformId, mountinfo: view, logger: silentLogger, clock: realClock })
  })
  afterEach(async () => {
    for (const { cgroup } of sandboxes.splice(0)) {
      cgroup.kill()
      expect(await cgroup.waitEmpty(5000)).toBe(true)
      await cgroup.remove()
    }
    await host.close()
    expectNoLeftovers(before, platformId)
  })
  afterAll(() => expectNoLeftovers(before, platformId))

  test('the mode is found, and what it can enforce', () => {
    expect(host.mode).toBe(mode)
    const support = host.support(true)
    for (const name of ['cpuShares', 'cpus', 'cpusetCpus', 'memory', 'pids', 'deviceWriteBps'] as const) {
      expect(support[name], name).toMatchObject({ enforced: true })
    }
  })

  test('a frozen sandbox uses no CPU, and a thawed one goes on', async () => {
    const { cgroup } = await sandbox(SPIN)
    expect(await cpuWithin(cgroup, 30)).toBeGreaterThan(0)
    expect(await cgroup.freeze()).toBeGreaterThan(0)
    expect(cgroup.frozen).toBe(true)
    expect(await cpuWithin(cgroup, 60)).toBe(0)
    expect(cgroup.thaw()).toBeGreaterThanOrEqual(0)
    expect(await cpuWithin(cgroup, 60)).toBeGreaterThan(0)
  })

  test('200 freezes and thaws in a row are all confirmed, and the process lives', async () => {
    const { cgroup, child } = await sandbox(
      `setInterval(() => {}, 1); process.stdin.on('data', () => console.log('alive'))`,
    )
    for (let cycle = 0; cycle < 200; cycle++) {
      expect(await cgroup.freeze()).not.toBeNull()
      cgroup.thaw()
    }
    child.say('?')
    expect(await child.line()).toBe('alive')
  })

  test('a thaw that comes during the freeze wins, and nothing freezes later', async () => {
    const { cgroup } = await sandbox(SPIN)
    const freezing = cgroup.freeze()
    cgroup.thaw()
    expect(await freezing).toBeNull()
    expect(cgroup.frozen).toBe(false)
    expect(await cpuWithin(cgroup, 60)).toBeGreaterThan(0)
  })

  test('a frozen sandbox can be killed, with everything it forked', async () => {
    const { cgroup, child } = await sandbox(`
      for (let i = 0; i < 4; i++) require('child_process').spawn('sleep', ['1000'])
      console.log('forked')`)
    await child.line()
    await cgroup.freeze()
    cgroup.kill()
    expect(await child.ended).toBe('SIGKILL')
    expect(await cgroup.waitEmpty(5000)).toBe(true)
  })

  test('metering counts the CPU of a spin, and only that', async () => {
    const { cgroup, child } = await sandbox(`process.stdin.on('data', () => {
      const from = process.cpuUsage(); let now
      do { now = process.cpuUsage(from) } while (now.user + now.system < 150000)
      console.log('spun') })`)
    cgroup.beginMetering()
    child.say('go')
    await child.line()
    const metering = cgroup.endMetering(true)
    const cpuUs = metering.cpuUserUs + metering.cpuSystemUs
    expect(cpuUs).toBeGreaterThan(140_000)
    expect(cpuUs).toBeLessThan(150_000 + 150_000 * timeScale)
    expect(metering).toMatchObject({ exact: true, oomKills: 0 })
    cgroup.beginMetering()
    const idle = cgroup.endMetering(true)
    expect(idle.cpuUserUs + idle.cpuSystemUs).toBeLessThan(20_000 * timeScale)
  })

  test('the memory peak is that of the call, not of an earlier one', async () => {
    const { cgroup, child } = await sandbox(`process.stdin.on('data', (text) => {
      const size = Number(text); const map = size && Buffer.alloc(size * 1048576, 1)
      console.log('held', map.length); })`)
    cgroup.beginMetering()
    child.say('40')
    await child.line()
    const first = cgroup.endMetering(true)
    expect(first.memoryPeakBytes).toBeGreaterThan(40 * MIB)
    expect(first.pageFaults).toBeGreaterThan(0)
    expect(first.tasksPeak === null || first.tasksPeak > 1).toBe(true)
    const used = cgroup.memoryBytes()
    cgroup.beginMetering()
    expect(cgroup.endMetering(true).memoryPeakBytes).toBeLessThan(used + 8 * MIB)
  })

  test('a process above its memory limit is killed by the kernel, and the kill is counted', async () => {
    const { cgroup, child } = await sandbox(ALLOCATE, { memory: 48 * MIB, memorySwap: 48 * MIB })
    cgroup.beginMetering()
    child.say('200')
    expect(await child.ended).toBe('SIGKILL')
    const metering = cgroup.endMetering(true)
    expect(metering.oomKills).toBe(1)
    expect(cgroup.oomKills()).toBe(1)
    expect(metering.memoryPeakBytes).toBeLessThanOrEqual(48 * MIB)
  })

  test('a memory limit below what is in use is refused and kills nobody; a fitting one holds at once', async () => {
    const { cgroup, child } = await sandbox(ALLOCATE)
    child.say('60')
    await child.line()
    const refused = cgroup.applyLimits({ ...DEFAULT_LIMITS, memory: 32 * MIB, memorySwap: 32 * MIB })
    expect(refused).toMatchObject({ applied: false, limit: 'memory', asked: 32 * MIB })
    expect(refused.applied === false && refused.inUse).toBeGreaterThan(60 * MIB)
    expect(cgroup.applyLimits({ ...DEFAULT_LIMITS, memory: 96 * MIB, memorySwap: 96 * MIB })).toEqual({ applied: true })
    expect(cgroup.oomKills()).toBe(0)
    child.say('100')
    expect(await child.ended).toBe('SIGKILL')
  })

  test('limits go down and up again, in both orders the kernel insists on', async () => {
    const { cgroup } = await sandbox('setInterval(() => {}, 1000)')
    const steps = [
      [64, 64],
      [256, 512],
      [96, -1],
      [32, 48],
      [512, 512],
      [128, 256],
    ] as const
    for (const [memory, swap] of steps) {
      const memorySwap = swap === -1 ? -1 : swap * MIB
      expect(cgroup.applyLimits({ ...DEFAULT_LIMITS, memory: memory * MIB, memorySwap })).toEqual({ applied: true })
    }
  })

  test('shares of 256 and 1024 divide one CPU about 1 to 4, or as the v2 weights made of them', async () => {
    const small = await sandbox(SPIN, { cpuShares: 256, cpusetCpus: '0' })
    const large = await sandbox(SPIN, { cpuShares: 1024, cpusetCpus: '0' })
    const from = [small.cgroup.cpuUs(), large.cgroup.cpuUs()] as const
    const used = () => [small.cgroup.cpuUs() - from[0], large.cgroup.cpuUs() - from[1]] as const
    // By CPU time, not by the clock: what else runs here takes its part of both.
    await until('both have used 2.5 s of CPU', () => used()[0] + used()[1] > 2_500_000, 40_000)
    const ratio = used()[1] / used()[0]
    const expected = mode === 'v2' ? weightOfShares(1024) / weightOfShares(256) : 4
    expect(ratio).toBeGreaterThan(expected * 0.75)
    expect(ratio).toBeLessThan(expected * 1.3)
  })

  test('a quota holds the sandbox back, and the time held back is counted', async () => {
    const { cgroup } = await sandbox(SPIN, { cpus: 0.2 })
    cgroup.beginMetering()
    const startMs = performance.now()
    await pause(1000)
    const elapsedUs = (performance.now() - startMs) * 1000
    const metering = cgroup.endMetering(true)
    expect((metering.cpuUserUs + metering.cpuSystemUs) / elapsedUs).toBeLessThan(0.32)
    expect(metering.throttledUs).toBeGreaterThan(0)
  })

  test('a task above the pids limit cannot be made', async () => {
    const { child } = await sandbox(
      `const { spawn } = require('child_process'); let failed = 0; let done = 0
       for (let i = 0; i < 40; i++) { const c = spawn('sleep', ['1000']); c.on('error', (e) => { failed++; tell(e.code) }); c.on('spawn', () => tell()) }
       function tell() { if (++done === 40) console.log(failed > 0 ? 'refused' : 'all made') }`,
      { pids: 30 },
    )
    expect(await child.line()).toBe('refused')
  })

  test('fewer tasks than there are is refused', async () => {
    const { cgroup } = await sandbox('setInterval(() => {}, 1000)')
    expect(cgroup.applyLimits({ ...DEFAULT_LIMITS, pids: 2 })).toMatchObject({
      applied: false,
      limit: 'pids',
      asked: 2,
    })
  })

  test('a CPU this host does not have is refused with path and value', async () => {
    const { cgroup } = await sandbox('setInterval(() => {}, 1000)')
    expect(() => cgroup.applyLimits({ ...DEFAULT_LIMITS, cpusetCpus: '8000' })).toThrow(/"8000" to .*cpuset\.cpus/)
  })

  test('a sweep kills and removes what a dead platform left, frozen or not', async () => {
    const running = await sandbox(SPIN)
    const frozen = await sandbox(SPIN)
    await frozen.cgroup.freeze()
    sandboxes = []
    expect(await host.sweep()).toBe(2)
    expect(await running.child.ended).toBe('SIGKILL')
    expect(await frozen.child.ended).toBe('SIGKILL')
    expect(await host.sweep()).toBe(0)
    await running.cgroup.remove()
    await frozen.cgroup.remove()
  })
})
