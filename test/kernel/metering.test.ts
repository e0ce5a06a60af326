// Metering adds up: what all calls of a sandbox used, and what it used between them, is what its cgroup used since it was loaded.
import { describe, expect, test } from 'vitest'
import { DEFAULT_LIMITS } from '../../runtime/limits/limits.ts'
import { call, EVALUATOR, evaluate } from '../support/kernel-runtime.ts'
import { elapse, MIB, metered, useSandboxes } from '../support/kernel-sandboxes.ts'

const sandboxes = useSandboxes()

describe('CPU time', () => {
  test('of forty calls and the time between them is the growth of the cgroup’s own total, within 1 %', async () => {
    // Works in the background too, so that there is idle CPU between calls.
    const sandbox = await sandboxes.start(`(() => {
      const burn = (ms) => { const end = performance.now() + ms; while (performance.now() < end); }
      setInterval(() => burn(2), 20)
      return async () => { burn(8); await new Promise((resolve) => setTimeout(resolve, 5)); return new Response('ok') }
    })()`)
    // It runs while we read: what the first and last accounts say lies between two readings, taken before and after.
    const account = () => {
      const beforeUs = sandbox.cpuUs()
      sandbox.beginMetering()
      const { cpuUserUs, cpuSystemUs, idleCpuUs } = sandbox.endMetering(true)
      return { beforeUs, usedUs: cpuUserUs + cpuSystemUs + idleCpuUs, afterUs: sandbox.cpuUs() }
    }
    const loadedUs = sandbox.cpuUs()
    const first = account()
    let sumUs = 0
    let idleUs = 0
    for (let n = 0; n < 40; n++) {
      if (n % 5 === 0) {
        await elapse(40)
        await sandbox.freeze()
        sandbox.thaw()
      }
      if (n % 3 === 0) sandbox.applyLimits({ ...DEFAULT_LIMITS, cpuShares: 512 + n })
      const { metering } = await metered(sandbox, () => call(sandbox))
      sumUs += metering.cpuUserUs + metering.cpuSystemUs + metering.idleCpuUs
      idleUs += metering.idleCpuUs
    }
    const last = account()
    sumUs += last.usedUs
    expect(idleUs).toBeGreaterThan(10_000)
    expect(sumUs).toBeLessThan((last.afterUs - first.beforeUs) * 1.01)
    expect(first.usedUs + sumUs).toBeGreaterThan((last.beforeUs - loadedUs) * 0.99)
  })
})

describe('bytes', () => {
  test('written by several calls are what each of them wrote', async () => {
    const sandbox = await sandboxes.start(EVALUATOR, { scratch: 32 * MIB })
    for (const megabytes of [1, 4, 2]) {
      const { metering } = await metered(sandbox, () =>
        evaluate(sandbox, `fs.writeFileSync('/scratch/f', Buffer.alloc(${megabytes} * 1048576, 1))`),
      )
      expect(metering.ioWriteBytes).toBeGreaterThanOrEqual(megabytes * MIB)
      expect(metering.ioWriteBytes).toBeLessThan((megabytes + 0.5) * MIB)
      expect(metering.ioWriteOps).toBeGreaterThan(0)
    }
    const { metering } = await metered(sandbox, () => evaluate(sandbox, '1'))
    expect(metering).toMatchObject({ ioReadBytes: 0, ioWriteBytes: 0, throttledUs: 0, oomKills: 0 })
  })
})

describe('peaks', () => {
  test('that the kernel keeps since the sandbox began only are marked so', async () => {
    const sandbox = await sandboxes.start(EVALUATOR)
    const { metering } = await metered(sandbox, () => evaluate(sandbox, '1'))
    expect(metering.sinceStart).toContain('tasksPeak')
    const isReset = !metering.sinceStart?.includes('memoryPeakBytes')
    await metered(sandbox, () => evaluate(sandbox, `Buffer.alloc(40 * 1048576, 1).length`))
    await evaluate(sandbox, `globalThis.gc?.(), 0`)
    const before = sandbox.memoryBytes()
    const after = (await metered(sandbox, () => evaluate(sandbox, '1'))).metering.memoryPeakBytes
    if (isReset) expect(after).toBeLessThan(before + 4 * MIB)
    else expect(after).toBeGreaterThan(40 * MIB)
  })
})
