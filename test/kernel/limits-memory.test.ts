// Memory, swap and task limits through real sandboxes, proven by who dies and who does not.
import { describe, expect, test } from 'vitest'
import type { Sandbox } from '../../runtime/api.ts'
import { DEFAULT_LIMITS, type Limits } from '../../runtime/limits/limits.ts'
import { call, EVALUATOR, evaluate } from '../support/kernel-runtime.ts'
import { MIB, metered, useSandboxes } from '../support/kernel-sandboxes.ts'
import { withSwapFile } from '../support/swap.ts'

const sandboxes = useSandboxes()
const SMALL = { memory: 64 * MIB, memorySwap: 64 * MIB }
/** Touches every page of so many MB and lets go of them again. */
const use = (sandbox: Sandbox, megabytes: number) =>
  call(sandbox, '/', Buffer.from(`Buffer.alloc(${megabytes} * 1048576, 1).length`))
const start = (limits: Partial<Limits>) => sandboxes.start(EVALUATOR, limits)

describe('memory', () => {
  test('64m without swap: 40 MB pass, 80 MB kill with limit and peak, and the neighbour feels nothing', async () => {
    const [sandbox, neighbour] = await Promise.all([start(SMALL), start(SMALL)])
    await evaluate(neighbour, `(globalThis.kept = Buffer.alloc(20 * 1048576, 7), 0)`)
    expect(await use(sandbox, 40)).toMatchObject({ fault: null, reusable: true })
    const killed = await use(sandbox, 80)
    expect(killed.reusable).toBe(false)
    expect(killed.fault).toMatchObject({ code: 'OUT_OF_MEMORY', data: { limitBytes: 64 * MIB } })
    const peak = Number(killed.fault?.data?.peakBytes)
    expect(peak).toBeGreaterThan(60 * MIB)
    expect(peak).toBeLessThanOrEqual(64 * MIB)
    expect((await sandbox.stopped).fault.code).toBe('OUT_OF_MEMORY')
    expect(await evaluate(neighbour, `kept.every((byte) => byte === 7)`)).toBe(true)
    const { metering } = await metered(neighbour, () => use(neighbour, 1))
    expect(metering.oomKills).toBe(0)
  })

  test('peak memory of a call is its own, not that of the call before', async () => {
    const sandbox = await start({ memory: 128 * MIB })
    const large = await metered(sandbox, () => use(sandbox, 60))
    const small = await metered(sandbox, () => use(sandbox, 1))
    expect(large.metering.memoryPeakBytes).toBeGreaterThan(60 * MIB)
    expect(small.metering.memoryPeakBytes).toBeLessThan(large.metering.memoryPeakBytes + 2 * MIB)
    const fresh = await start({ memory: 128 * MIB })
    const alone = await metered(fresh, () => use(fresh, 1))
    expect(alone.metering.memoryPeakBytes).toBeLessThan(60 * MIB)
  })
})

describe('memory and swap together, on a host with swap', () => {
  test('64m + 64m of swap hold 100 MB and end at 140; without swap the end is at 80', async () => {
    await withSwapFile(400 * MIB, async () => {
      const limits = { memory: 64 * MIB, memorySwap: 128 * MIB }
      const [swapping, dying, strict] = await Promise.all([start(limits), start(limits), start(SMALL)])
      const held = await metered(swapping, () => use(swapping, 100))
      expect(held.value.fault).toBeNull()
      expect(held.metering.swapPeakBytes).toBeGreaterThan(30 * MIB)
      expect(held.metering.memoryPeakBytes).toBeLessThanOrEqual(64 * MIB)
      expect((await use(dying, 140)).fault).toMatchObject({ code: 'OUT_OF_MEMORY' })
      expect((await use(strict, 80)).fault).toMatchObject({ code: 'OUT_OF_MEMORY' })
      await Promise.all([swapping, dying, strict].map((sandbox) => sandbox.destroy()))
    })
  })
})

describe('memorySwappiness', () => {
  test('of 0 swaps nothing out: the end is at the memory limit although there is swap left; v2, which has none, refuses it', async () => {
    const enforced = sandboxes.platform.runtime.host.limits.memorySwappiness?.enforced
    if (!enforced) {
      const asked = { memorySwappiness: 0 }
      const refuse = () => sandboxes.platform.runtime.checkLimits(asked, { ...DEFAULT_LIMITS, ...asked })
      expect(refuse).toThrow(/swappiness/)
      return
    }
    await withSwapFile(400 * MIB, async () => {
      const limits = { memory: 64 * MIB, memorySwap: 192 * MIB }
      const [never, often] = await Promise.all([
        start({ ...limits, memorySwappiness: 0 }),
        start({ ...limits, memorySwappiness: 100 }),
      ])
      expect((await use(often, 100)).fault).toBeNull()
      expect((await use(never, 100)).fault).toMatchObject({ code: 'OUT_OF_MEMORY' })
      await Promise.all([never, often].map((sandbox) => sandbox.destroy()))
    })
  })
})

describe('tasks', () => {
  test('a fork bomb ends at the limit, its sandbox can still be killed, and a neighbour goes on', async () => {
    const [bomb, neighbour] = await Promise.all([start({ pids: 40 }), start({})])
    bomb.beginMetering()
    // A shell that starts itself twice, again and again; what it cannot start it tries again.
    await evaluate(
      bomb,
      `(child.spawn('/bin/sh', ['-c', 'b() { b | b & }; while :; do b; done'], { stdio: 'ignore' }), 0)`,
    )
    for (let n = 0; n < 20; n++) expect(await use(neighbour, 1)).toMatchObject({ fault: null })
    const metering = bomb.endMetering(true)
    expect(metering.tasksPeak).toBeLessThanOrEqual(40)
    expect(metering.tasksPeak).toBeGreaterThan(30)
    await bomb.destroy()
    expect(await use(neighbour, 1)).toMatchObject({ fault: null })
  })
})

describe('limits fixed at creation', () => {
  test('open files end at the ulimit, files at their size', async () => {
    const sandbox = await start({
      ulimits: [
        { name: 'nofile', soft: 64, hard: 64 },
        { name: 'fsize', soft: MIB, hard: MIB },
      ],
    })
    const many = `(() => { for (let n = 0; n < 100; n++) fs.openSync('/dev/null', 'r') })()`
    expect(await evaluate(sandbox, many)).toBe('EMFILE')
    const other = await start({ ulimits: [{ name: 'fsize', soft: MIB, hard: MIB }] })
    expect(
      await evaluate(
        other,
        `child.spawnSync('/bin/sh', ['-c', 'head -c 3000000 /dev/zero > /tmp/f']).signal ?? fs.statSync('/tmp/f').size <= 1048576`,
      ),
    ).toBeTruthy()
    expect(await evaluate(other, `fs.statSync('/tmp/f').size <= 1048576`)).toBe(true)
  })
})
