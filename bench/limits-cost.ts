// What limits and metering cost a call: the same sandbox called with neither and with both, in turn, so that what disturbs the
// machine disturbs both. Without HTTP and pool, whose noise is larger than what is measured. `node bench/limits-cost.ts [calls]`.
import { DEFAULT_LIMITS, type Limits } from '../runtime/limits/limits.ts'
import { call, startTestRuntime } from '../test/support/kernel-runtime.ts'
import { type Latency, latencyOf } from './latency.ts'

export interface LimitsCost {
  /** A call with neither, and with limits that every call changes and metering; ms. */
  readonly off: Latency
  readonly on: Latency
  /** On above off, p50, µs. */
  readonly differenceUs: number
  /** The writes and the reads alone, µs at p50. */
  readonly applyUs: number
  readonly meterUs: number
  /** CPU time of the worker for writes and reads together, µs a call, in rounds of nothing else: what a busy machine cannot blur. */
  readonly cpuUs: number
}

const MIB = 1024 ** 2
const SCRATCH = 16 * MIB
const CPU_ROUNDS = 20_000
/** In turn, so that every call writes all of them: shares, quota, memory, swap, tasks; with a scratch disk a rate too. */
const setsWith = (scratch: boolean): readonly Limits[] =>
  [96, 112].map((megabytes, index) => ({
    ...DEFAULT_LIMITS,
    cpuShares: 512 + index,
    cpus: 1.5 + index / 10,
    memory: megabytes * MIB,
    memorySwap: 2 * megabytes * MIB,
    pids: 48 + index,
    ...(scratch ? { scratch: SCRATCH, deviceWriteBps: [{ device: null, rate: (8 + index) * MIB }] } : {}),
  }))

/** Needs root and an OCI runtime; leaves nothing. */
export async function measureLimitsCost(calls: number, scratch = false): Promise<LimitsCost> {
  const platform = await startTestRuntime()
  try {
    const sandbox = await platform.start(`async () => new Response('ok')`, scratch ? { scratch: SCRATCH } : {})
    const sets = setsWith(scratch)
    const off: number[] = []
    const on: number[] = []
    const apply: number[] = []
    const meter: number[] = []
    for (let n = -200; n < calls; n++) {
      const from = performance.now()
      await call(sandbox)
      const between = performance.now()
      sandbox.applyLimits(sets[n & 1]!)
      const applied = performance.now()
      sandbox.beginMetering()
      const begun = performance.now()
      await call(sandbox)
      const ended = performance.now()
      sandbox.endMetering(true)
      const done = performance.now()
      if (n < 0) continue
      off.push(between - from)
      on.push(done - between)
      apply.push(applied - between)
      meter.push(begun - applied + (done - ended))
    }
    const cpuUs = cpuUsOf(CPU_ROUNDS, (n) => {
      sandbox.applyLimits(sets[n & 1]!)
      sandbox.beginMetering()
      sandbox.endMetering(true)
    })
    const [without, with_] = [latencyOf(off), latencyOf(on)]
    return {
      off: without,
      on: with_,
      differenceUs: (with_.p50 - without.p50) * 1000,
      applyUs: latencyOf(apply).p50 * 1000,
      meterUs: latencyOf(meter).p50 * 1000,
      cpuUs,
    }
  } finally {
    await platform.close()
  }
}

function cpuUsOf(rounds: number, work: (n: number) => void): number {
  for (let n = 0; n < rounds / 10; n++) work(n)
  const before = process.cpuUsage()
  for (let n = 0; n < rounds; n++) work(n)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / rounds
}

if (process.argv[1] === import.meta.filename) {
  const us = (ms: number) => `${(ms * 1000).toFixed(0)} µs`
  for (const scratch of [false, true]) {
    const cost = await measureLimitsCost(Number(process.argv[2] ?? 3000), scratch)
    console.log(scratch ? 'six limits, one of them a disk rate' : 'five limits')
    console.log(
      `  off p50 ${us(cost.off.p50)} p99 ${us(cost.off.p99)}; on p50 ${us(cost.on.p50)} p99 ${us(cost.on.p99)}`,
    )
    console.log(
      `  on above off ${cost.differenceUs.toFixed(0)} µs, ${(cost.on.p50 / cost.off.p50).toFixed(2)} ×; writes ${cost.applyUs.toFixed(0)} µs, metering ${cost.meterUs.toFixed(0)} µs; CPU of both ${cost.cpuUs.toFixed(1)} µs a call`,
    )
  }
}
