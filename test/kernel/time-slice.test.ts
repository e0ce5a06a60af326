// Time slices on real sandboxes: who has which, and that a long one gives nobody a larger share of the CPU.
import { expect, test } from 'vitest'
import { setTimeSlice, timeSliceUs } from '../../runtime/host/time-slice.ts'
import { begin, call, EVALUATOR, evaluate } from '../support/kernel-runtime.ts'
import { useSandboxes } from '../support/kernel-sandboxes.ts'
import { until } from '../support/until.ts'

const sandboxes = useSandboxes()
const LONG_US = 10_000
const SPIN_MS = 1200
/** Spins until the sandbox is destroyed; a turn before, so that its start is told. */
const SPIN = `async () => { await new Promise((resolve) => setImmediate(resolve)); for (;;); }`
/** Kernels before 6.12 know no slices. */
function isKnownHere(): boolean {
  const known = setTimeSlice(process.pid, LONG_US, { inherited: true })
  setTimeSlice(process.pid, 0, { inherited: true })
  return known
}

test('a sandbox has the slice of one that computes for as long as it is said to', async () => {
  const own = timeSliceUs(process.pid)
  const sandbox = await sandboxes.start(EVALUATOR)
  expect(timeSliceUs(sandbox.pid)).toBe(own)
  sandbox.setComputing(true)
  if (isKnownHere()) expect(timeSliceUs(sandbox.pid)).toBeGreaterThan(own ?? 0)
  else expect(timeSliceUs(sandbox.pid)).toBe(own)
  sandbox.setComputing(false)
  expect(timeSliceUs(sandbox.pid)).toBe(own)
  await sandbox.destroy()
  sandbox.setComputing(true)
})

test('on one core, two that compute have the same share whatever their slices', async () => {
  const [long, short] = await Promise.all([
    sandboxes.start(SPIN, { cpusetCpus: '0' }),
    sandboxes.start(SPIN, { cpusetCpus: '0' }),
  ])
  long.setComputing(true)
  await Promise.all([begin(long).started, begin(short).started])
  const from = [long.cpuUs(), short.cpuUs()] as const
  const used = (): [number, number] => [long.cpuUs() - from[0], short.cpuUs() - from[1]]
  // By CPU time, not by the clock: what else runs on this machine takes its part of both.
  await until('both have used 1.5 s of CPU', () => used()[0] + used()[1] > 1_500_000, 40_000)
  const [longUs, shortUs] = used()
  expect(longUs / shortUs).toBeGreaterThan(0.8)
  expect(longUs / shortUs).toBeLessThan(1.25)
})

test('a sandbox tells how long it stood ready beside another on its core', async () => {
  const [one, other] = await Promise.all([
    sandboxes.start(EVALUATOR, { cpusetCpus: '0' }),
    sandboxes.start(EVALUATOR, { cpusetCpus: '0' }),
  ])
  const before = one.coreWaitUs()
  expect(before).not.toBeNull()
  const spin = `{ const end = Date.now() + ${SPIN_MS}; while (Date.now() < end); }`
  await Promise.all([evaluate(one, spin), evaluate(other, spin)])
  const waited = one.coreWaitUs()! - before!
  // Half the time on a core that nobody else wants, more where others do.
  expect(waited).toBeGreaterThan(0.3 * SPIN_MS * 1000)
  const asleep = one.coreWaitUs()!
  expect((await call(other)).fault).toBeNull()
  expect(one.coreWaitUs()! - asleep).toBeLessThan(0.3 * SPIN_MS * 1000)
  await one.destroy()
  expect(one.coreWaitUs()).toBeNull()
})
