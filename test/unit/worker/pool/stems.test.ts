// Stems in the pool, on a fake runtime and a still clock: when they are made, who becomes of them, and that none is lost.
import { afterEach, describe, expect, test } from 'vitest'
import type { SandboxInfo } from '../../../../worker/api.ts'
import { BURST_MS } from '../../../../worker/pool/stem-policy.ts'
import { limitsWith } from '../../../support/fake-runtime.ts'
import { versionOf } from '../../../support/samples.ts'
import { TestWorker } from '../../../support/test-worker.ts'

const MIB = 1024 ** 2
const SETTLED_MS = 1000
let host: TestWorker
afterEach(() => host.close())

/** A worker whose stems are there. */
async function start(options: ConstructorParameters<typeof TestWorker>[0] = {}): Promise<void> {
  host = new TestWorker({ stems: 2, ...options })
  await host.clock.advance(SETTLED_MS)
}

const stems = (): SandboxInfo[] => host.worker.sandboxes(null).filter(({ state }) => state === 'stem')

describe('stems', () => {
  test('are made one at a time, frozen and empty, and belong to no namespace', async () => {
    host = new TestWorker({ stems: 2 })
    let making = 0
    let most = 0
    host.runtime.onCreate = async () => {
      most = Math.max(most, ++making)
      await new Promise((resolve) => setImmediate(resolve))
      making--
    }
    await host.clock.advance(SETTLED_MS)
    expect(most).toBe(1)
    expect(stems()).toMatchObject([
      { function: '', namespace: '', version: 0, calls: 0 },
      { function: '', namespace: '', version: 0, calls: 0 },
    ])
    expect(host.runtime.live.map(({ state, code }) => [state, code])).toEqual([
      ['frozen', null],
      ['frozen', null],
    ])
    expect(host.worker.stats()).toMatchObject({ sandboxes: { stem: 2 }, memoryBytes: 32 * MIB })
    expect(host.worker.sandboxes('default')).toEqual([])
  })

  test('are not made when the setting is 0', async () => {
    await start({ stems: 0 })
    await host.warm(versionOf('hello'))
    await host.clock.advance(SETTLED_MS)
    expect(stems()).toEqual([])
  })

  test('one becomes the sandbox of the function that is called, with its limits, and another takes its place', async () => {
    await start()
    const [first] = host.runtime.live
    const limits = limitsWith({ cpuShares: 77, pids: 33 })
    const seen = await host.call(versionOf('hello', { limits }))
    expect(first).toMatchObject({ state: 'running', limits, code: { functionName: 'hello' } })
    first!.call.respond()
    expect(seen.start).toBe('stem')
    expect(await seen.invocation.done).toMatchObject({ start: 'stem', state: 'succeeded' })
    expect(stems()).toHaveLength(1)
    await host.clock.advance(SETTLED_MS)
    expect(stems()).toHaveLength(2)
    expect(host.worker.stats().memoryBytes).toBe((16 + 32) * MIB)
  })

  test('one is never two functions’, nor goes back when its function gives it up', async () => {
    await start()
    const [first, second] = host.runtime.live
    await host.warm(versionOf('one', { keepAliveMs: 10_000 }))
    await host.warm(versionOf('two', { keepAliveMs: 10_000 }))
    expect([first!.code?.functionName, second!.code?.functionName]).toEqual(['one', 'two'])
    await host.clock.advance(20_000)
    expect([first!.destroyed, second!.destroyed]).toEqual([true, true])
    for (const { code } of host.runtime.live) expect(code).toBeNull()
  })

  test('none is made while a sandbox starts, nor right after it', async () => {
    await start()
    const created = () => host.runtime.created.length
    let finish = () => {}
    host.runtime.onCreate = () => new Promise((resolve) => (finish = resolve))
    await host.call(versionOf('a', { writableRootBytes: MIB }))
    await host.call(versionOf('b'))
    await host.clock.advance(5000)
    expect([created(), stems().length]).toEqual([2, 1])
    host.runtime.onCreate = async () => {}
    finish()
    await host.clock.advance(50)
    expect([created(), stems().length]).toEqual([3, 1])
    for (const { call } of host.runtime.live.filter(({ code }) => code !== null)) call.respond()
    await host.clock.advance(SETTLED_MS)
    expect([created(), stems().length]).toEqual([4, 2])
  })

  test('none is made while calls take all cores, but for ever it does not wait', async () => {
    await start({ cores: 2 })
    for (const name of ['a', 'b']) await host.call(versionOf(name))
    await host.clock.advance(1800)
    expect(stems()).toEqual([])
    await host.clock.advance(SETTLED_MS)
    expect(stems()).toHaveLength(2)
  })

  test('starts that go on while calls take all cores do not keep them away for ever', async () => {
    await start({ cores: 2 })
    for (const name of ['a', 'b']) await host.call(versionOf(name))
    const made = host.runtime.created.length
    for (let second = 0; second < 6; second++) {
      await host.warm(versionOf(`c${second}`))
      await host.clock.advance(1000)
    }
    // Six were started; whatever else was created was made to be ready for them.
    expect(host.runtime.created.length - made).toBeGreaterThan(6)
    expect(stems().length).toBeGreaterThan(0)
  })

  test('one is made as soon as a call has left a core', async () => {
    await start({ cores: 2 })
    for (const name of ['a', 'b']) await host.call(versionOf(name))
    await host.clock.advance(500)
    expect(stems()).toEqual([])
    host.runtime.live.find(({ code }) => code?.functionName === 'a')!.call.respond()
    await host.clock.advance(300)
    expect(stems()).toHaveLength(2)
  })

  test('a burst raises their number, and they go again when nobody comes', async () => {
    await start()
    for (const name of ['a', 'b', 'c', 'd', 'e']) await host.warm(versionOf(name))
    await host.clock.advance(SETTLED_MS)
    expect(stems()).toHaveLength(5)
    await host.clock.advance(BURST_MS)
    await host.warm(versionOf('f'))
    await host.clock.advance(BURST_MS)
    await host.warm(versionOf('a'))
    await host.clock.advance(SETTLED_MS)
    expect(stems().length).toBeLessThan(5)
  })

  test('another class of memory has its own, once a function of it was started', async () => {
    await start()
    const big = versionOf('big', { limits: limitsWith({ memory: 512 * MIB, memorySwap: 1024 * MIB }) })
    const seen = await host.call(big)
    const sandbox = host.runtime.created.at(-1)!
    sandbox.call.respond()
    expect(seen.start).toBe('cold')
    await host.clock.advance(SETTLED_MS)
    expect(
      host.runtime.live.filter(({ spec, code }) => code === null && spec.limits.memory === 512 * MIB),
    ).toHaveLength(2)
  })

  test('what is fixed at creation makes a function start cold', async () => {
    await start()
    const seen = await host.call(versionOf('rooted', { writableRootBytes: MIB }))
    host.runtime.created.at(-1)!.call.respond()
    expect(seen.start).toBe('cold')
    expect(await host.worker.coldReason(versionOf('rooted', { writableRootBytes: MIB }))).toContain('writableRoot')
    expect(await host.worker.coldReason(versionOf('hello'))).toBeNull()
  })

  test('add-on layers make a function start cold', async () => {
    await start()
    const version = versionOf('native')
    const image = { digest: version.image, layers: ['sha256:x'], source: Buffer.from('x'), sourceMap: null, config: {} }
    host.runtime.images.stored.set(version.image, image)
    const seen = await host.call(version)
    host.runtime.created.at(-1)!.call.respond()
    expect(seen.start).toBe('cold')
    expect(stems()).toHaveLength(2)
    expect(await host.worker.coldReason(version)).toContain('packages and files that ship with the code')
  })

  test('one that has died is replaced, and nobody gets it', async () => {
    await start()
    const [first] = host.runtime.live
    first!.kill({ code: 'EXITED', message: 'killed from outside' })
    await host.clock.advance(SETTLED_MS)
    expect(first!.destroyed).toBe(true)
    expect(stems()).toHaveLength(2)
    const seen = await host.call(versionOf('hello'))
    host.runtime.live.find(({ open }) => open.length > 0)!.call.respond()
    expect(seen.start).toBe('stem')
  })

  test('one that dies while the code is loaded costs its function nothing: a sandbox of its own is made', async () => {
    await start()
    const [first] = host.runtime.live
    first!.onLoad = async () => first!.kill({ code: 'EXITED', message: 'killed from outside' })
    const seen = await host.call(versionOf('hello'))
    host.runtime.live.find(({ open }) => open.length > 0)!.call.respond()
    expect([seen.start, seen.status]).toEqual(['cold', 200])
    expect(first!.destroyed).toBe(true)
  })

  test('one whose use is above the function’s limit is given up for a sandbox of its own', async () => {
    await start()
    const [first] = host.runtime.live
    first!.usedBytes = 500 * MIB
    const seen = await host.call(versionOf('hello'))
    host.runtime.live.find(({ open }) => open.length > 0)!.call.respond()
    expect([seen.start, first!.destroyed]).toEqual(['cold', true])
  })

  test('they are the first to go when room is needed, and take nobody’s', async () => {
    await start({ memoryBytes: 400 * MIB })
    expect(stems().length).toBeGreaterThan(0)
    const big = versionOf('big', { limits: limitsWith({ memory: 400 * MIB, memorySwap: 400 * MIB }) })
    const sandbox = await host.warm(big)
    expect(sandbox.destroyed).toBe(false)
    expect(stems()).toEqual([])
    await host.clock.advance(50)
    expect(host.worker.stats().memoryBytes).toBe(400 * MIB)
  })

  test('an operator can kill one, not thaw it', async () => {
    await start()
    const [{ id }] = stems() as [SandboxInfo]
    await expect(host.worker.act(id, 'thaw')).rejects.toMatchObject({ code: 'SANDBOX_STATE' })
    await host.worker.act(id, 'kill')
    await host.clock.advance(SETTLED_MS)
    expect(stems().map((stem) => stem.id)).not.toContain(id)
    expect(stems()).toHaveLength(2)
  })

  test('none is made while the worker drains, and close destroys all', async () => {
    await start()
    await host.worker.drain(100)
    await host.worker.act(stems()[0]!.id, 'kill')
    await host.clock.advance(SETTLED_MS)
    expect(stems()).toHaveLength(1)
    await host.worker.close()
    expect(host.runtime.live).toEqual([])
  })

  test('a creation that fails is tried again later, not at once', async () => {
    host = new TestWorker({ stems: 1 })
    let tries = 0
    host.runtime.onCreate = async () => {
      if (++tries < 3) throw new Error('no')
    }
    await host.clock.advance(500)
    expect(tries).toBe(1)
    await host.clock.advance(5000)
    expect([tries, stems().length]).toEqual([3, 1])
    expect(host.worker.stats().memoryBytes).toBe(16 * MIB)
  })
})
