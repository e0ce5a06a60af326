// The freezer of real sandboxes: a thousand cycles, a kill while frozen, a freeze held up by slow I/O, and memory taken back.
import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { begin, call, EVALUATOR, evaluate } from '../support/kernel-runtime.ts'
import { MIB, metered, useSandboxes } from '../support/kernel-sandboxes.ts'
import { withSwapFile } from '../support/swap.ts'
import { timeScale } from '../support/time-scale.ts'
import { until } from '../support/until.ts'

const sandboxes = useSandboxes()
const OK = `async () => new Response('ok')`
const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!

describe('freezing and thawing', () => {
  test('a thousand times: no slower at the end, no memory, no descriptor more, and it still answers', async () => {
    const sandbox = await sandboxes.start(OK)
    await call(sandbox)
    const descriptors = () => readdirSync('/proc/self/fd').length
    const cycle = async (): Promise<number> => {
      const us = await sandbox.freeze()
      expect(us).not.toBeNull()
      sandbox.thaw()
      return us!
    }
    const first: number[] = []
    for (let n = 0; n < 100; n++) first.push(await cycle())
    const before = { memory: sandbox.memoryBytes(), descriptors: descriptors() }
    for (let n = 0; n < 800; n++) await cycle()
    const last: number[] = []
    for (let n = 0; n < 100; n++) last.push(await cycle())
    // Noise of a shared machine, not drift, is what the factor allows.
    expect(median(last)).toBeLessThan(4 * median(first) + 500)
    expect(sandbox.memoryBytes()).toBeLessThan(before.memory + 2 * MIB)
    expect(descriptors()).toBeLessThanOrEqual(before.descriptors + 2)
    expect(await call(sandbox)).toMatchObject({ text: 'ok', fault: null })
  })

  test('with a call between, fifty times: each answer is right', async () => {
    const sandbox = await sandboxes.start(`(() => { let n = 0; return async () => new Response(String(++n)) })()`)
    for (let n = 1; n <= 50; n++) {
      await sandbox.freeze()
      sandbox.thaw()
      expect((await call(sandbox)).text).toBe(String(n))
    }
  })

  test('a frozen sandbox is killed, and gone, without having run again', async () => {
    const sandbox = await sandboxes.start(
      `async () => { for (let n = 0; n < 3; n++) new (require('node:worker_threads').Worker)('for (;;);', { eval: true }); return new Response('ok') }`,
    )
    await call(sandbox)
    await sandbox.freeze()
    const frozenUs = sandbox.cpuUs()
    sandbox.kill({ code: 'KILLED', message: 'by the test' })
    expect((await sandbox.stopped).fault).toMatchObject({ code: 'KILLED', message: 'by the test' })
    await sandbox.destroy()
    // What dying itself costs, not what three spinning threads would have used.
    expect(sandbox.cpuUs() - frozenUs).toBeLessThan(100_000 * timeScale)
  })

  test('a sandbox held back in direct writes freezes all the same, and its rate holds afterwards', async () => {
    const sandbox = await sandboxes.start(EVALUATOR, {
      scratch: 32 * MIB,
      deviceWriteBps: [{ device: null, rate: MIB }],
    })
    const write = (megabytes: number) => `(() => {
      const fd = fs.openSync('/scratch/file', fs.constants.O_CREAT | fs.constants.O_WRONLY | fs.constants.O_DIRECT)
      const block = Buffer.from(new WebAssembly.Memory({ initial: 16 }).buffer)
      const from = performance.now()
      for (let n = 0; n < ${megabytes}; n++) fs.writeSync(fd, block, 0, 1048576, n * 1048576)
      return performance.now() - from
    })()`
    const { answer } = begin(sandbox, '/', Buffer.from(write(3)))
    await until('it writes', () => sandbox.cpuUs() > 0)
    let last = -1
    await until('it waits for its turn', () => {
      const now = sandbox.cpuUs()
      const still = now === last
      last = now
      return still
    })
    expect(await sandbox.freeze()).toBeGreaterThan(0)
    expect(sandbox.state).toBe('frozen')
    sandbox.thaw()
    expect((await answer).fault).toBeNull()
    expect(Number(await evaluate(sandbox, write(2)))).toBeGreaterThan(1600)
  })
})

describe('the memory of a frozen sandbox', () => {
  const HELD = `(() => { globalThis.held = Buffer.alloc(24 * 1048576, 7); return 0 })()`

  test('goes to swap in the background, and the first call after is right', async () => {
    await withSwapFile(200 * MIB, async () => {
      const sandbox = await sandboxes.start(EVALUATOR)
      await evaluate(sandbox, HELD)
      await sandbox.freeze()
      const reclaimed = await sandbox.reclaim()
      expect(reclaimed!.beforeBytes).toBeGreaterThan(24 * MIB)
      expect(reclaimed!.afterBytes).toBeLessThan(reclaimed!.beforeBytes / 3)
      expect(sandbox.memoryBytes()).toBeLessThan(reclaimed!.beforeBytes / 3)
      expect(sandbox.state).toBe('frozen')
      sandbox.thaw()
      const { value, metering } = await metered(sandbox, () => evaluate(sandbox, `held.every((byte) => byte === 7)`))
      expect(value).toBe(true)
      expect(metering.pageFaults).toBeGreaterThan(0)
      await sandbox.destroy()
    })
  })

  test('is left alone while it runs, and a sandbox destroyed meanwhile is gone', async () => {
    const sandbox = await sandboxes.start(EVALUATOR)
    expect(await sandbox.reclaim()).toBeNull()
    await sandbox.freeze()
    const reclaim = sandbox.reclaim()
    await sandbox.destroy()
    expect(await reclaim).toBeNull()
  })

  test('without swap gives back page cache only, never harms, and the next call works', async () => {
    const sandbox = await sandboxes.start(EVALUATOR)
    await evaluate(sandbox, HELD)
    await sandbox.freeze()
    const reclaimed = await sandbox.reclaim()
    expect(reclaimed!.afterBytes).toBeLessThanOrEqual(reclaimed!.beforeBytes + MIB)
    sandbox.thaw()
    expect(await evaluate(sandbox, `held.every((byte) => byte === 7)`)).toBe(true)
  })
})
