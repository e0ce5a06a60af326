// Which reading of the counters is whose: of calls in turn, and of calls that overlap in one sandbox.
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { FakeSandbox } from '../../support/fake-runtime.ts'
import { versionOf } from '../../support/samples.ts'
import { TestWorker } from '../../support/test-worker.ts'

let host: TestWorker
beforeEach(() => {
  host = new TestWorker()
})
afterEach(() => host.close())

const usage = (cpuUserUs: number) => ({
  ...{ cpuUserUs, cpuSystemUs: 0, throttledUs: 0, oomKills: 0, pageFaults: 0 },
  ...{ ioReadBytes: 0, ioWriteBytes: 0, ioReadOps: 0, ioWriteOps: 0 },
})

test('a waiting call that gets the sandbox in the turn its last call ended shares that reading; a later one is read anew', async () => {
  const one = versionOf('one', { concurrency: 1 })
  const sandbox = await host.warm(one)
  sandbox.beginnings = []
  host.callNow(one)
  host.callNow(one)
  sandbox.call.respond()
  sandbox.call.respond()
  host.callNow(one)
  expect(sandbox.beginnings).toEqual([{ atOnce: false }, { atOnce: true }, { atOnce: false }])
})

/** Three calls of a sandbox that serves many at once. */
async function threeCalls(): Promise<{ sandbox: FakeSandbox; ids: string[] }> {
  const shared = versionOf('shared', { sandboxConcurrency: 8 })
  const sandbox = await host.warm(shared)
  sandbox.meterings = []
  sandbox.metering = { ...sandbox.metering, freezeUs: 60, unshared: usage(40) }
  const ids = [host.callNow(shared), host.callNow(shared), host.callNow(shared)].map((seen) => seen.invocation.id)
  return { sandbox, ids }
}

test('calls that overlap share a reading for five milliseconds, the last of them reads again, and each closes its own accounting', async () => {
  const { sandbox } = await threeCalls()
  const calls = [...sandbox.open]
  for (const call of calls) call.respond()
  expect(sandbox.meterings).toEqual([{ exact: false }, { exact: false }])
  expect(sandbox.leavings).toBe(1)
})

test('after five milliseconds a reading is not shared any more', async () => {
  const { sandbox } = await threeCalls()
  const calls = [...sandbox.open]
  calls[0]!.respond()
  await host.clock.advance(6)
  calls[1]!.respond()
  expect(sandbox.meterings).toHaveLength(2)
  expect(sandbox.leavings).toBe(0)
})

test('what a shared reading tells once stands in one record only', async () => {
  const { sandbox, ids } = await threeCalls()
  for (const call of [...sandbox.open]) call.respond()
  const records = await Promise.all(ids.map((id) => host.worker.record(id)))
  expect(records.map((record) => record?.metering?.freezeUs)).toEqual([60, 0, 60])
  expect(records.map((record) => record?.metering?.unshared?.cpuUserUs)).toEqual([40, 0, 40])
})
