// CPU limits through real sandboxes, proven by the CPU time the kernel gave.
import { describe, expect, test } from 'vitest'
import { weightOfShares } from '../../runtime/cgroup/cpu.ts'
import { DEFAULT_LIMITS } from '../../runtime/limits/limits.ts'
import { begin, call, EVALUATOR, evaluate } from '../support/kernel-runtime.ts'
import { elapse, metered, ticksOf, useSandboxes } from '../support/kernel-sandboxes.ts'
import { until } from '../support/until.ts'

const sandboxes = useSandboxes()
/** Spins until the sandbox is destroyed; a turn before, so that its start is told. */
const SPIN = `async () => { await new Promise((resolve) => setImmediate(resolve)); for (;;); }`
const SPIN_MS = `async (request) => { const end = performance.now() + Number(await request.text()); while (performance.now() < end); return new Response('spun') }`

describe('CPU time', () => {
  test('shares of 256 and 1024 on one CPU divide it 1 : 4, or as the v2 weights made of them', async () => {
    const [small, large] = await Promise.all([
      sandboxes.start(SPIN, { cpuShares: 256, cpusetCpus: '0' }),
      sandboxes.start(SPIN, { cpuShares: 1024, cpusetCpus: '0' }),
    ])
    await Promise.all([begin(small).started, begin(large).started])
    const from = [small.cpuUs(), large.cpuUs()] as const
    const used = (): [number, number] => [small.cpuUs() - from[0], large.cpuUs() - from[1]]
    // By CPU time, not by the clock: what else runs on this machine takes its part of both.
    await until('both have used 3 s of CPU', () => used()[0] + used()[1] > 3_000_000, 40_000)
    const [first, second] = used()
    // v2 has weights; those of 256 and 1024 shares are not 1 : 4 but nearly so.
    const expected =
      sandboxes.platform.runtime.host.cgroupMode === 'v2' ? weightOfShares(1024) / weightOfShares(256) : 4
    expect(second / first).toBeGreaterThan(expected * 0.85)
    expect(second / first).toBeLessThan(expected * 1.15)
  })

  test('half a CPU of quota is half a CPU-second a second, and the time held back is reported', async () => {
    const sandbox = await sandboxes.start(SPIN_MS, { cpus: 0.5 })
    const shares: number[] = []
    let throttledUs = 0
    // A busy machine may give less than the quota, never more: the best of a few seconds is what the limit gives.
    for (let n = 0; n < 6 && Math.max(0, ...shares) < 0.45; n++) {
      const startMs = performance.now()
      const { metering } = await metered(sandbox, () => call(sandbox, '/', Buffer.from('1500')))
      shares.push((metering.cpuUserUs + metering.cpuSystemUs) / 1000 / (performance.now() - startMs))
      throttledUs += metering.throttledUs
    }
    expect(Math.max(...shares)).toBeGreaterThan(0.45)
    expect(Math.max(...shares)).toBeLessThan(0.55)
    expect(throttledUs).toBeGreaterThan(100_000)
  })

  test('a quota of one call is gone with the next', async () => {
    const sandbox = await sandboxes.start(SPIN_MS)
    expect(sandbox.applyLimits({ ...DEFAULT_LIMITS, cpus: 0.2 })).toEqual({ applied: true })
    const held = await metered(sandbox, () => call(sandbox, '/', Buffer.from('500')))
    expect(sandbox.applyLimits(DEFAULT_LIMITS)).toEqual({ applied: true })
    const free = await metered(sandbox, () => call(sandbox, '/', Buffer.from('500')))
    expect(held.metering.throttledUs).toBeGreaterThan(50_000)
    expect(free.metering.throttledUs).toBe(0)
  })

  test('a sandbox pinned to one CPU runs nowhere else', async () => {
    const sandbox = await sandboxes.start(EVALUATOR, { cpusetCpus: '1' })
    const status = String(await evaluate(sandbox, `fs.readFileSync('/proc/self/status', 'utf8')`))
    expect(status).toMatch(/^Cpus_allowed_list:\s1$/m)
    expect(await evaluate(sandbox, 'os.availableParallelism()')).toBe(1)
  })
})

describe('a frozen sandbox', () => {
  test('uses no CPU at all over 5 s although its timers are due and its threads spin', async () => {
    const sandbox = await sandboxes.start(`async () => {
      setInterval(() => {}, 1)
      new (require('node:worker_threads').Worker)('for (;;);', { eval: true })
      await new Promise((resolve) => setTimeout(resolve, 100))
      return new Response('ok')
    }`)
    await call(sandbox)
    await sandbox.freeze()
    const before = { cpuUs: sandbox.cpuUs(), ticks: ticksOf(sandbox.pid) }
    await elapse(5000)
    expect({ cpuUs: sandbox.cpuUs(), ticks: ticksOf(sandbox.pid) }).toEqual(before)
    sandbox.thaw()
    await until('it runs again', () => sandbox.cpuUs() > before.cpuUs)
  })
})
