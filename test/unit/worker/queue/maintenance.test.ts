// What the sweep takes for a job that nobody runs, and what it leaves alone because its answer may be on its way.
import { beforeEach, describe, expect, test } from 'vitest'
import type { Attempt } from '../../../../worker/queue/attempt.ts'
import { Maintenance, type MaintenanceOptions } from '../../../../worker/queue/maintenance.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { silentLogger } from '../../../support/real-clock.ts'

const QUEUE = 'default/hello'
let clock: FakeClock
let fetching: boolean
let activeInRedis: string[]
let requeued: string[]
let running: Map<string, Attempt>
let wentBack: boolean
let forwarded: string[]
/** Sweeps between their question and their answer, now and at most. */
let inside: number
let most: number

beforeEach(() => {
  clock = new FakeClock()
  fetching = true
  activeInRedis = []
  requeued = []
  running = new Map()
  wentBack = false
  forwarded = []
  inside = 0
  most = 0
})

function maintenance(): Maintenance {
  const parts = {
    store: { queueKeys: async () => [QUEUE], settleDue: async () => {} },
    jobs: {
      lockMs: 15_000,
      clockWentBack: () => wentBack,
      bringForward: async (queueKey: string) => forwarded.push(queueKey),
      activeIds: async () => {
        most = Math.max(most, ++inside)
        return [...activeInRedis]
      },
      requeue: async (_: string, ids: readonly string[]) => {
        inside--
        requeued.push(...ids)
        activeInRedis = activeInRedis.filter((id) => !ids.includes(id))
        return ids.length
      },
    },
    dispatcher: { isFetching: () => fetching, wake: () => {} },
  }
  const rest = { active: running, clock, logger: silentLogger, soleOwner: true, available: () => true, keptMs: 1000 }
  return new Maintenance({ ...parts, ...rest, bodiesDir: '', resultsDir: '' } as unknown as MaintenanceOptions)
}

describe('an active job that is not ours', () => {
  test('goes back at once while no answer is awaited', async () => {
    fetching = false
    activeInRedis = ['lost']
    await maintenance().sweep()
    expect(requeued).toEqual(['lost'])
  })

  test('may be on its way while an answer is awaited: two sweeps right after each other leave it alone', async () => {
    activeInRedis = ['on-its-way']
    const kept = maintenance()
    await kept.sweep()
    await clock.advance(200)
    await kept.sweep()
    expect(requeued).toEqual([])
  })

  test('goes back when it is still there after longer than any answer is waited for', async () => {
    activeInRedis = ['lost']
    const kept = maintenance()
    await kept.sweep()
    await clock.advance(10_000)
    await kept.sweep()
    expect(requeued).toEqual(['lost'])
  })

  test('is suspected anew after it was ours in between', async () => {
    activeInRedis = ['again']
    const kept = maintenance()
    await kept.sweep()
    running.set('again', {} as Attempt)
    await clock.advance(10_000)
    await kept.sweep()
    running.clear()
    await kept.sweep()
    expect(requeued).toEqual([])
  })
})

test('sweeps follow one another: none takes away what the one before has let run', async () => {
  fetching = false
  activeInRedis = ['lost']
  const kept = maintenance()
  await Promise.all([kept.sweep(), kept.sweep()])
  expect([most, requeued]).toEqual([1, ['lost']])
})

test('a sweep looks at delayed calls when the date went back, and at no other time', async () => {
  const kept = maintenance()
  await kept.sweep()
  expect(forwarded).toEqual([])
  wentBack = true
  await kept.sweep()
  expect(forwarded).toEqual([QUEUE])
})
