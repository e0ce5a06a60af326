// Block I/O rates, their metering, and the freezer against tasks they hold back, on a loop disk of the test's own.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type CgroupHost, openCgroupHost, type SandboxCgroup } from '../../runtime/cgroup/cgroup.ts'
import { DEFAULT_LIMITS, type Limits } from '../../runtime/limits/limits.ts'
import { type CgroupChild, makeSandboxCgroup, startInCgroup } from '../support/cgroup-child.ts'
import { expectNoLeftovers, type KernelSnapshot, snapshotKernel } from '../support/leftovers.ts'
import { type LoopDisk, makeLoopDisk } from '../support/loop-disk.ts'
import { realClock, silentLogger } from '../support/real-clock.ts'
import { timeScale } from '../support/time-scale.ts'

const MIB = 1024 ** 2
/** How much faster a read without a limit is at least than one that the limits here make. */
const FASTER = timeScale > 1 ? 1 : 4
const platformId = `test-io-${process.pid}`

/** For each line of input reads that many KiB from the disk, anew and past any cache, and answers with the ms it took. */
function reader(device: string): string {
  return `const fs = require('fs'); process.stdin.on('data', (text) => {
    const kib = Number(text); if (!kib) return
    const fd = fs.openSync('${device}', fs.constants.O_RDONLY | fs.constants.O_DIRECT)
    const block = Buffer.from(new WebAssembly.Memory({ initial: 4 }).buffer)
    const from = performance.now()
    for (let at = 0; at < kib * 1024; at += 65536) fs.readSync(fd, block, 0, 65536, at)
    fs.closeSync(fd); console.log(performance.now() - from) })`
}

describe('block I/O of a sandbox', () => {
  let before: KernelSnapshot
  let host: CgroupHost
  let disk: LoopDisk
  let cgroup: SandboxCgroup
  let child: CgroupChild

  beforeEach(async () => {
    before = snapshotKernel(platformId)
    host = openCgroupHost({ platformId, logger: silentLogger, clock: realClock })
    disk = makeLoopDisk(16 * MIB, platformId)
    makeSandboxCgroup(host.path('s'))
    cgroup = host.attach('s', DEFAULT_LIMITS, disk.number)
    child = await startInCgroup(host.path('s'), reader(disk.device))
  })
  afterEach(async () => {
    cgroup.kill()
    expect(await cgroup.waitEmpty(10_000)).toBe(true)
    await cgroup.remove()
    disk.remove()
    await host.close()
    expectNoLeftovers(before, platformId)
  })

  async function read(kib: number): Promise<number> {
    child.say(String(kib))
    return Number(await child.line())
  }
  const limited = (rate: number): Limits => ({
    ...DEFAULT_LIMITS,
    scratch: 16 * MIB,
    deviceReadBps: [{ device: null, rate }],
  })

  test('bytes read are counted without any limit, once, not again on the disk below', async () => {
    cgroup.beginMetering()
    await read(2048)
    const metering = cgroup.endMetering(true)
    expect(metering.ioReadBytes).toBe(2 * MIB)
    expect(metering.ioReadOps).toBeGreaterThan(0)
    expect(metering.ioWriteBytes).toBe(0)
  })

  test('a read rate of one call holds, half the rate takes twice as long, and without it nothing is held back', async () => {
    const freeMs = await read(2048)
    cgroup.applyLimits(limited(4 * MIB))
    const fullMs = await read(2048)
    cgroup.applyLimits(limited(2 * MIB))
    const halfMs = await read(2048)
    cgroup.applyLimits(DEFAULT_LIMITS)
    const againMs = await read(2048)
    // The rates are the kernel's: half a second, and a whole one. What a busy machine adds is in all four.
    expect(fullMs).toBeGreaterThan(500 * 0.85)
    expect(halfMs).toBeGreaterThan(1000 * 0.85)
    expect(Math.max(freeMs, againMs)).toBeLessThan(halfMs / FASTER)
  })

  test('a device named by its path is limited like the scratch disk', async () => {
    const freeMs = await read(1024)
    cgroup.applyLimits({ ...DEFAULT_LIMITS, deviceReadBps: [{ device: disk.device, rate: 2 * MIB }] })
    const limitedMs = await read(1024)
    expect(limitedMs).toBeGreaterThan(500 * 0.85)
    expect(limitedMs).toBeGreaterThan(FASTER * freeMs)
  })

  test('a sandbox held back in a slow read can be frozen, and the rate holds after the thaw', async () => {
    cgroup.applyLimits(limited(65_536))
    child.say('256')
    await pauseUntilReading(cgroup)
    expect(await cgroup.freeze()).toBeGreaterThan(0)
    expect(cgroup.frozen).toBe(true)
    cgroup.thaw()
    cgroup.applyLimits(DEFAULT_LIMITS)
    expect(Number(await child.line())).toBeGreaterThan(0)
  })

  test('a sandbox held back in a slow read dies when it is killed', async () => {
    cgroup.applyLimits(limited(16_384))
    child.say('1024')
    await pauseUntilReading(cgroup)
    cgroup.kill()
    expect(await child.ended).toBe('SIGKILL')
  })

  test('a device that is no disk is refused by name', () => {
    const limits = { ...DEFAULT_LIMITS, deviceReadBps: [{ device: '/dev/null', rate: MIB }] }
    expect(() => cgroup.applyLimits(limits)).toThrow(expect.objectContaining({ code: 'LIMIT_UNSUPPORTED' }))
  })
})

/** The child is in its read when its CPU counter has stopped moving. */
async function pauseUntilReading(cgroup: SandboxCgroup): Promise<void> {
  for (let from = -1; from !== cgroup.cpuUs(); ) {
    from = cgroup.cpuUs()
    await new Promise<void>((resolve) => void realClock.after(30, resolve))
  }
}
