// The pool on a fake runtime and a still clock: frozen sandboxes give their memory back when they were idle for long.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { versionOf } from '../../../support/samples.ts'
import { TestWorker } from '../../../support/test-worker.ts'

const MIB = 1024 ** 2
const AFTER_MS = 10_000
let host: TestWorker
beforeEach(() => {
  host = new TestWorker({ reclaimAfterMs: AFTER_MS })
})
afterEach(() => host.close())

describe('a sandbox frozen for long', () => {
  test('has its memory reclaimed once, and is charged with what is left', async () => {
    const sandbox = await host.warm(versionOf('hello'))
    await host.clock.advance(600)
    expect(sandbox.state).toBe('frozen')
    expect([sandbox.reclaims, host.worker.stats().memoryBytes]).toEqual([0, 16 * MIB])
    await host.clock.advance(AFTER_MS)
    expect([sandbox.reclaims, host.worker.stats().memoryBytes]).toEqual([1, 4 * MIB])
    await host.clock.advance(3 * AFTER_MS)
    expect(sandbox.reclaims).toBe(1)
  })

  test('is left alone when a call comes first, and reclaimed after its next freeze', async () => {
    const sandbox = await host.warm(versionOf('hello'))
    await host.clock.advance(600)
    await host.clock.advance(AFTER_MS - 2000)
    await host.call(versionOf('hello'))
    expect(sandbox.thaws).toBe(1)
    await host.clock.advance(2500)
    expect(sandbox.reclaims).toBe(0)
    sandbox.call.respond()
    await host.clock.advance(600 + AFTER_MS)
    expect(sandbox.reclaims).toBe(1)
  })

  test('waits for its turn: one at a time', async () => {
    const one = await host.warm(versionOf('one'))
    const two = await host.warm(versionOf('two'))
    let finish: () => void = () => {}
    one.reclaim = () => new Promise((resolve) => (finish = () => resolve(null)))
    await host.clock.advance(600)
    await host.clock.advance(AFTER_MS + 100)
    expect(two.reclaims).toBe(0)
    finish()
    await host.clock.advance(500)
    expect(two.reclaims).toBe(1)
  })
})
