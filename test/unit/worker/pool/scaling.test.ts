// How many sandboxes a version gets: the rules as tables, what is learned of a call's work, and both together over simulated cores.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CpuShare } from '../../../../worker/pool/cpu-share.ts'
import { LastServed, SERVED_MS } from '../../../../worker/pool/last-served.ts'
import { launchesAtOnce, launchesWanted, type ScalingView, usefulSandboxes } from '../../../../worker/pool/scaling.ts'
import type { FakeCall } from '../../../support/fake-runtime.ts'
import { ZERO_METERING } from '../../../support/fake-runtime.ts'
import { versionOf } from '../../../support/samples.ts'
import { TestWorker } from '../../../support/test-worker.ts'

const view = (changes: Partial<ScalingView>): ScalingView => ({
  waiting: 0,
  starting: 0,
  live: 0,
  sandboxConcurrency: 1,
  concurrency: 100,
  cores: 2,
  sinceProgressMs: 0,
  runMs: null,
  cpuFraction: null,
  longestWaitMs: 0,
  othersRunning: 0,
  startMs: 100,
  ...changes,
})

describe('how many sandboxes to start', () => {
  const cases: [string, Partial<ScalingView>, number][] = [
    ['nobody waits: none', { waiting: 0 }, 0],
    ['one waits and there is none: one', { waiting: 1 }, 1],
    ['32 wait and there is none: one a core', { waiting: 32 }, 2],
    ['those being started are enough for those that wait', { waiting: 1, starting: 1 }, 0],
    ['one waits beside a busy one: one more, a core is free', { waiting: 1, live: 1 }, 1],
    ['one waits beside a busy one, others have the cores: not yet', { waiting: 1, live: 1, othersRunning: 2 }, 0],
    [
      'one waits beside a busy one for as long as a start is worth: one more',
      { waiting: 1, live: 1, othersRunning: 2, longestWaitMs: 25 },
      1,
    ],
    ['one waits and there is none, others have the cores: one', { waiting: 1, othersRunning: 9 }, 1],
    [
      'nothing is known yet and one a core is being started: none',
      { waiting: 32, starting: 2, sinceProgressMs: 999 },
      0,
    ],
    ['short calls that use the CPU: no more than cores', { waiting: 30, live: 2, runMs: 0.3, cpuFraction: 0.8 }, 0],
    ['long calls that use the CPU: no more than useful', { waiting: 30, live: 3, runMs: 900, cpuFraction: 0.7 }, 0],
    [
      'long calls that wait for something: up to a core each time',
      { waiting: 30, live: 2, runMs: 900, cpuFraction: 0.02 },
      2,
    ],
    [
      'short calls that wait, and few of them: the queue is faster',
      { waiting: 4, live: 2, runMs: 5, cpuFraction: 0.02 },
      0,
    ],
    ['no call ends for longer than a launch takes: more', { waiting: 30, live: 2, sinceProgressMs: 101 }, 2],
    ['no call ends, but not for long: none', { waiting: 30, live: 2, sinceProgressMs: 99 }, 0],
    ['never above the function’s concurrency', { waiting: 30, live: 1, concurrency: 1 }, 0],
    ['calls that overlap share sandboxes', { waiting: 32, sandboxConcurrency: 32 }, 1],
    ['concurrency is counted in places', { waiting: 30, live: 2, concurrency: 20, sandboxConcurrency: 10 }, 0],
  ]
  for (const [title, changes, wanted] of cases) {
    test(title, () => expect(launchesWanted(view(changes))).toBe(wanted))
  }

  test('a function that all but sleeps has a useful number of sandboxes far above the cores', () => {
    expect(usefulSandboxes(2, 1)).toBe(2)
    expect(usefulSandboxes(2, 0.95)).toBe(2)
    expect(usefulSandboxes(2, 0.85)).toBe(3)
    expect(usefulSandboxes(2, 0.5)).toBe(4)
    expect(usefulSandboxes(2, 3.5)).toBe(2)
    expect(usefulSandboxes(2, 0)).toBe(200)
  })
})

describe('launches at once', () => {
  const cases: [string, [cores: number, othersServed: boolean, fromStem: boolean], number][] = [
    ['one a core', [4, false, false], 4],
    ['one more when it is from a stem', [4, false, true], 5],
    ['a core is left to functions that are being served', [4, true, false], 3],
    ['even then one more from a stem', [4, true, true], 4],
    ['at least one, on a single core', [1, true, false], 1],
  ]
  for (const [title, args, most] of cases) test(title, () => expect(launchesAtOnce(...args)).toBe(most))
})

describe('whether others are being served', () => {
  test('nobody is before the first call', () => expect(new LastServed().others('a', 0)).toBe(false))
  test('is told from the last two functions served, for a while', () => {
    const served = new LastServed()
    served.note('a', 0)
    expect(served.others('a', 0)).toBe(false)
    expect(served.others('b', SERVED_MS - 1)).toBe(true)
    expect(served.others('b', SERVED_MS)).toBe(false)
    served.note('b', 100)
    expect(served.others('b', 101)).toBe(true)
    served.note('b', 400)
    expect(served.others('b', 401)).toBe(true)
    expect(served.others('b', SERVED_MS)).toBe(false)
    expect(served.others('a', SERVED_MS)).toBe(true)
  })
})

describe('the share of a call that is work for a core', () => {
  const shareOf = (...looks: [tookMs: number, cpuMs: number, waitedMs: number][]) => {
    const share = new CpuShare()
    for (const [tookMs, cpuMs, waitedMs] of looks) share.learn({ tookMs, cpuMs, waitedMs })
    return share.fraction
  }
  test('is unknown before a call ended', () => expect(shareOf()).toBeNull())
  test('of a call that only computes is one, however long it stood in line', () => {
    expect(shareOf([10, 10, 0])).toBe(1)
    expect(shareOf([60, 10, 50])).toBe(1)
  })
  test('of a call that sleeps is small, however long it stood in line', () => {
    expect(shareOf([1000, 10, 0])).toBeCloseTo(0.01)
    expect(shareOf([1500, 10, 500])).toBeCloseTo(0.01)
  })
  test('counts long calls for more than short ones', () => {
    const mixed = Array.from({ length: 20 }, (_, index): [number, number, number] =>
      index % 2 === 0 ? [1, 1, 0] : [100, 1, 0],
    )
    expect(shareOf(...mixed)).toBeLessThan(0.05)
  })
  test('follows a function that changes, also after a long quiet time', () => {
    const later = Array.from({ length: 30 }, (): [number, number, number] => [1000, 1000, 0])
    expect(shareOf([3_600_000, 1000, 0], ...later)).toBeGreaterThan(0.9)
  })
  test('is above one for threads', () => expect(shareOf([10, 35, 0])).toBe(3.5))
  test('a wait that is overstated, or negative, leaves something of the call', () => {
    expect(shareOf([100, 0, 500])).toBe(0)
    expect(shareOf([100, 20, 500])).toBe(1)
    expect(shareOf([100, 20, -50])).toBe(0.2)
  })
  test('learns nothing from a call that took no time', () => expect(shareOf([0, 0, 0])).toBeNull())
})

describe('a function that computes', () => {
  let host: TestWorker
  beforeEach(() => {
    host = new TestWorker()
  })
  afterEach(() => host.close())
  const version = versionOf('busy', { keepAliveMs: 60_000 })

  async function callUsing(cpuMs: number): Promise<void> {
    await host.call(version)
    const sandbox = host.runtime.live.find((one) => one.open.length > 0)!
    sandbox.metering = { ...ZERO_METERING, cpuUserUs: cpuMs * 1000, cpuSystemUs: 0 }
    await host.clock.advance(1)
    sandbox.call.respond()
  }

  test('is known by its calls’ CPU time, as is every start before; its sandboxes, later ones too, let others that wake go first', async () => {
    await host.call(version)
    expect(host.sandbox(0).computing).toBe(true)
    host.sandbox(0).call.respond()
    await callUsing(1)
    expect(host.sandbox(0).computing).toBe(false)
    for (let n = 0; n < 30; n++) await callUsing(50)
    expect(host.sandbox(0).computing).toBe(true)
    host.sandbox(0).kill({ code: 'EXITED', message: 'gone' })
    await callUsing(50)
    expect(host.sandbox(1).computing).toBe(true)
  })

  test('is forgotten to be one only when its calls have become clearly shorter', async () => {
    await callUsing(50)
    for (let n = 0; n < 60; n++) await callUsing(4)
    expect(host.sandbox(0).computing).toBe(true)
    for (let n = 0; n < 60; n++) await callUsing(1)
    expect(host.sandbox(0).computing).toBe(false)
  })
})

describe('a burst on simulated cores', () => {
  const CORES = 2
  const CALLS = 100
  let host: TestWorker
  beforeEach(() => {
    host = new TestWorker({ cores: CORES })
  })
  afterEach(() => host.close())

  /** Plays all calls at once, ms by ms; the cores are divided among calls that compute. Most sandboxes there were. */
  async function play(work: { readonly cpuMs: number; readonly sleepMs: number }, tellsWait = true): Promise<number> {
    const { cpuMs, sleepMs } = work
    const left = new Map<FakeCall, { cpuMs: number; sleepMs: number }>()
    const calls = Array.from({ length: CALLS }, () => host.callNow(versionOf('burst')))
    for (let ms = 0; ms < 20_000 && calls.some((call) => call.ends === 0); ms++) {
      await host.clock.advance(1)
      const open = host.runtime.created.flatMap((sandbox) => sandbox.open.map((call) => ({ sandbox, call })))
      for (const { call } of open) if (!left.has(call)) left.set(call, { cpuMs, sleepMs })
      const computing = open.filter(({ call }) => left.get(call)!.cpuMs > 0)
      const share = Math.min(1, CORES / computing.length)
      for (const { sandbox, call } of open) {
        const rest = left.get(call)!
        if (rest.cpuMs > 0) {
          rest.cpuMs -= share
          sandbox.usedCpuUs += share * 1000
          if (sandbox.waitedUs !== null) sandbox.waitedUs = tellsWait ? sandbox.waitedUs + (1 - share) * 1000 : null
        } else rest.sleepMs--
        if (rest.cpuMs > 0.001 || rest.sleepMs > 0) continue
        sandbox.metering = { ...ZERO_METERING, cpuUserUs: cpuMs * 1000, cpuSystemUs: 0 }
        call.respond()
      }
    }
    expect(calls.map((call) => call.status)).toEqual(calls.map(() => 200))
    return host.runtime.created.length
  }

  test('calls that only compute get about a sandbox a core', async () => {
    expect(await play({ cpuMs: 10, sleepMs: 0 })).toBeLessThanOrEqual(CORES + 1)
  })
  test('calls that compute for longer than a start takes get no more either', async () => {
    expect(await play({ cpuMs: 150, sleepMs: 0 })).toBeLessThanOrEqual(CORES + 1)
  })
  test('calls that wait for something else get what their wait is worth', async () => {
    expect(await play({ cpuMs: 2, sleepMs: 200 })).toBeGreaterThanOrEqual(10)
  })
  test('calls that do both get something between', async () => {
    const sandboxes = await play({ cpuMs: 20, sleepMs: 60 })
    expect(sandboxes).toBeGreaterThan(CORES + 1)
    expect(sandboxes).toBeLessThanOrEqual(4 * CORES + 1)
  })
  test('a kernel that does not tell how long they stood in line costs sandboxes, not calls', async () => {
    expect(await play({ cpuMs: 10, sleepMs: 0 }, false)).toBeLessThan(CALLS / 2)
  })
})
