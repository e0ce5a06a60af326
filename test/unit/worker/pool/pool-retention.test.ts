// The pool on a fake runtime and a still clock: sandboxes kept, given up and made ahead by what is known of a function's calls.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { versionOf } from '../../../support/samples.ts'
import { TestWorker } from '../../../support/test-worker.ts'

const MINUTE = 60_000
let host: TestWorker
beforeEach(() => {
  host = new TestWorker()
})
afterEach(() => host.close())

/** Calls every `gapMinutes`, so often; then half a minute. */
async function timer(version: ReturnType<typeof versionOf>, gapMinutes: number, times: number): Promise<void> {
  for (let turn = 0; turn < times; turn++) {
    if (turn > 0) await host.clock.advance(gapMinutes * MINUTE)
    const call = await host.call(version)
    const sandbox = host.runtime.created.findLast((one) => one.open.length === 1)!
    sandbox.call.respond()
    await host.clock.advance(0)
    expect(call.status).toBe(200)
  }
}

const held = () => host.worker.sandboxes(null).length

describe('a function called every half an hour', () => {
  const version = versionOf('timer')
  test('has no sandbox between its calls and one made just ahead of the next', async () => {
    await timer(version, 30, 12)
    await host.clock.advance(20 * MINUTE)
    expect(held()).toBe(0)
    const created = host.runtime.created.length
    await host.clock.advance(10 * MINUTE - 1000)
    expect([held(), host.runtime.created.length]).toEqual([1, created + 1])
    await host.clock.advance(1000)
    const call = await host.call(version)
    host.sandbox(created).call.respond()
    await host.clock.advance(0)
    expect(call.start).not.toBe('cold')
  })
  test('is let go when its calls end', async () => {
    await timer(version, 30, 12)
    await host.clock.advance(120 * MINUTE)
    expect(held()).toBe(0)
  })
})

test('a function of which little is known is kept for ten minutes', async () => {
  await host.warm(versionOf('new'))
  await host.clock.advance(10 * MINUTE - 1)
  expect(held()).toBe(1)
  await host.clock.advance(1)
  expect(held()).toBe(0)
})

test('a keepAlive of its own overrides what is known', async () => {
  await timer(versionOf('own', { keepAliveMs: MINUTE }), 30, 12)
  const created = host.runtime.created.length
  await host.clock.advance(30 * MINUTE - 1)
  expect([held(), host.runtime.created.length]).toEqual([0, created])
})

test('minWarm sandboxes stay whatever is known', async () => {
  await timer(versionOf('steady', { minWarm: 1 }), 30, 12)
  await host.clock.advance(20 * MINUTE)
  expect(held()).toBe(1)
})

test('a version that is retired has none made ahead', async () => {
  await timer(versionOf('old'), 30, 12)
  await host.worker.retire(() => 'gone')
  const created = host.runtime.created.length
  await host.clock.advance(90 * MINUTE)
  expect([held(), host.runtime.created.length]).toEqual([0, created])
})
