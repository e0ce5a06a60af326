// When a sandbox is asked for V8's code cache of what it loaded: once, at rest, whether it is to be frozen soon or not.
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { FakeSandbox } from '../../../support/fake-runtime.ts'
import { versionOf } from '../../../support/samples.ts'
import { TestWorker } from '../../../support/test-worker.ts'
import { until } from '../../../support/until.ts'

let host: TestWorker
beforeEach(() => {
  host = new TestWorker()
})
afterEach(() => host.close())

/** A version with a bundle large enough for a cache; its sandbox has answered one call and rests. */
async function answered(
  freezeGraceMs: number,
): Promise<{ version: ReturnType<typeof versionOf>; sandbox: FakeSandbox }> {
  const large = { ...versionOf('large', { freezeGraceMs }), image: `sha256:${'x'.repeat(20_000)}` }
  host.callNow(large)
  // The store of caches looks into a real folder first.
  await until('a sandbox has the call', () => host.runtime.created.some((one) => one.open.length > 0))
  const sandbox = host.sandbox(0)
  sandbox.cache = Buffer.from('compiled')
  sandbox.call.respond()
  return { version: large, sandbox }
}

test('a sandbox that is not frozen for long hands it over when it has rested half a second', async () => {
  const { sandbox } = await answered(600_000)
  await host.clock.advance(400)
  expect(sandbox.cachesAsked).toBe(0)
  await host.clock.advance(200)
  expect(sandbox.cachesAsked).toBe(1)
  expect(sandbox.freezes).toBe(0)
})

test('one that is called again and again is not disturbed', async () => {
  const { version, sandbox } = await answered(600_000)
  for (let n = 0; n < 10; n++) {
    await host.clock.advance(300)
    host.callNow(version)
    sandbox.call.respond()
  }
  expect(sandbox.cachesAsked).toBe(0)
})

test('one that is frozen sooner hands it over before the freeze, and only once', async () => {
  const { version, sandbox } = await answered(300)
  await host.clock.advance(310)
  expect([sandbox.cachesAsked, sandbox.freezes]).toEqual([1, 1])
  host.callNow(version)
  sandbox.call.respond()
  await host.clock.advance(2000)
  expect([sandbox.cachesAsked, sandbox.freezes]).toEqual([1, 2])
})
