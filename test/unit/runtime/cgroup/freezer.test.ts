// The freezer's wait, its ladder and its races, with the kernel and time in the test's hands.
import { describe, expect, test } from 'vitest'
import type { Clock } from '../../../../runtime/api.ts'
import { Freezer, type FreezerDialect } from '../../../../runtime/cgroup/freezer.ts'

/** A kernel that confirms when `confirms(polls)` says so, and a clock that steps by what it is asked to wait, and by `pollMs` at
 *  each look. */
function setUp(confirms: (polls: number, log: readonly string[]) => boolean, pollMs = 0) {
  const log: string[] = []
  let nowMs = 0
  let polls = 0
  const hooks = { onWait: () => {} }
  const clock: Clock = {
    now: () => nowMs,
    monotonicMs: () => nowMs,
    after(ms, fire) {
      const turn = setImmediate(() => {
        nowMs += ms
        hooks.onWait()
        fire()
      })
      return () => clearImmediate(turn)
    },
  }
  const kernel = { refusal: null as string | null }
  const dialect: FreezerDialect = {
    name: 'cgroup.freeze',
    request(frozen) {
      log.push(frozen ? 'freeze' : 'thaw')
      return kernel.refusal
    },
    confirmed: () => {
      nowMs += pollMs
      return confirms(++polls, log)
    },
    close() {},
  }
  const io = { lift: () => void log.push('lift'), restore: () => void log.push('restore') }
  return {
    freezer: new Freezer({ dialect, clock, io, path: '/thaw-t/s' }),
    log,
    hooks,
    kernel,
    nowMs: () => nowMs,
    polls: () => polls,
  }
}

describe('freezer', () => {
  test('a confirmation at once needs no wait', async () => {
    const { freezer, log, polls } = setUp(() => true)
    expect(await freezer.freeze()).toBe(0)
    expect(freezer.frozen).toBe(true)
    expect(log).toEqual(['freeze'])
    expect(polls()).toBe(1)
  })

  test('turns of the event loop come first, as long as most freezes take, then timers of 1 ms', async () => {
    const turns = setUp((polls) => polls === 4, 0.0625)
    expect(await turns.freezer.freeze()).toBe(250)
    const { freezer } = setUp((polls) => polls === 8, 0.0625)
    expect(await freezer.freeze()).toBe(3500)
    expect(freezer.takeDurations()).toEqual({ freezeUs: 3500, thawUs: 0 })
    expect(freezer.takeDurations()).toEqual({ freezeUs: 0, thawUs: 0 })
  })

  test('the turns come to an end where the clock stands still', async () => {
    const { freezer } = setUp((polls) => polls === 210)
    expect(await freezer.freeze()).toBeGreaterThan(1000)
  })

  test('two freezes at a time are one, and both hear of it', async () => {
    const { freezer, log } = setUp((polls) => polls === 2, 0.125)
    const both = [freezer.freeze(), freezer.freeze()]
    expect(await Promise.all(both)).toEqual([250, 250])
    expect(log).toEqual(['freeze'])
  })

  test('a stuck freeze is tried again with the I/O rates lifted, and they are back when it is frozen', async () => {
    const { freezer, log } = setUp((_, log) => log.includes('lift'))
    expect(await freezer.freeze()).toBe(50_000)
    expect(log).toEqual(['freeze', 'lift', 'freeze', 'restore'])
    expect(freezer.frozen).toBe(true)
  })

  test('a freeze that is never confirmed is an error, and the sandbox runs again with its rates', async () => {
    const { freezer, log, nowMs } = setUp(() => false)
    await expect(freezer.freeze()).rejects.toMatchObject({
      code: 'FREEZE_FAILED',
      message: expect.stringContaining('/thaw-t/s'),
    })
    expect(log).toEqual(['freeze', 'lift', 'freeze', 'restore', 'thaw', 'restore'])
    expect(freezer.frozen).toBe(false)
    expect(nowMs()).toBe(100)
  })

  test('a refused request is an error that names the reason', async () => {
    const { freezer, kernel } = setUp(() => true)
    kernel.refusal = 'ENODEV'
    await expect(freezer.freeze()).rejects.toThrow(/ENODEV/)
    expect(freezer.frozen).toBe(false)
  })

  test('a thaw while waiting wins: null, and nothing is asked of the kernel afterwards', async () => {
    const { freezer, log, hooks } = setUp(() => false)
    hooks.onWait = () => void freezer.thaw()
    expect(await freezer.freeze()).toBeNull()
    expect(log).toEqual(['freeze', 'thaw', 'restore'])
    expect(freezer.frozen).toBe(false)
  })

  test('a thaw right after the confirmation wins too', async () => {
    const { freezer, log } = setUp(() => true)
    const freezing = freezer.freeze()
    freezer.thaw()
    expect(await freezing).toBeNull()
    expect(freezer.frozen).toBe(false)
    expect(log.at(-2)).toBe('thaw')
  })

  test('a new freeze after such a thaw is one of its own', async () => {
    const { freezer, log } = setUp((polls) => polls > 5)
    const first = freezer.freeze()
    freezer.thaw()
    const second = freezer.freeze()
    expect(await first).toBeNull()
    expect(await second).toBeTypeOf('number')
    expect(freezer.frozen).toBe(true)
    expect(log.filter((entry) => entry !== 'restore')).toEqual(['freeze', 'thaw', 'freeze'])
  })

  test('thaw of what is not frozen writes nothing', () => {
    const { freezer, log } = setUp(() => true)
    expect(freezer.thaw()).toBe(0)
    expect(log).toEqual([])
  })

  test('thaw never fails, not even when the cgroup is gone', async () => {
    const { freezer, kernel } = setUp(() => true)
    await freezer.freeze()
    kernel.refusal = 'ENODEV'
    expect(() => freezer.thaw()).not.toThrow()
    expect(freezer.frozen).toBe(false)
  })
})
