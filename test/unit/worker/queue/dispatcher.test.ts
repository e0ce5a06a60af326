// Fairness, bounds and wake-ups of the dispatcher, with queues in memory and a clock of its own.
import { describe, expect, test } from 'vitest'
import { Dispatcher } from '../../../../worker/queue/dispatcher.ts'
import { FakeClock, settle } from '../../../support/fake-clock.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }

/** Queues as lists of job names; jobs run until they are released. */
function setUp(concurrency = 4) {
  const queues = new Map<string, { name: string; dueAtMs: number }[]>()
  const started: string[] = []
  const release = new Map<string, () => void>()
  const state = { available: true, failing: false, asked: 0, pressed: false as boolean | string, waitedMs: 0 }
  const clock = new FakeClock()
  const dispatcher = new Dispatcher<string>({
    concurrency,
    clock,
    logger: silent,
    available: () => state.available,
    pressed: (namespace) => state.pressed === true || state.pressed === namespace,
    async fetch(queueKey) {
      state.asked++
      if (state.failing) throw new Error('away')
      const jobs = queues.get(queueKey) ?? []
      const index = jobs.findIndex((job) => job.dueAtMs <= clock.now())
      if (index >= 0) return { job: jobs.splice(index, 1)[0]!.name, nextAtMs: null }
      const next = Math.min(...jobs.map((job) => job.dueAtMs))
      return { job: null, nextAtMs: jobs.length === 0 ? null : next }
    },
    run(name) {
      started.push(name)
      return new Promise((resolve) => release.set(name, () => resolve(state.waitedMs)))
    },
  })
  const add = (queueKey: string, names: string[], dueAtMs = 0): void => {
    const jobs = queues.get(queueKey) ?? []
    queues.set(queueKey, jobs)
    jobs.push(...names.map((name) => ({ name, dueAtMs })))
    dispatcher.wake(queueKey, dueAtMs)
  }
  const pass = (ms: number): Promise<void> => clock.advance(ms)
  return { dispatcher, add, started, release, state, pass, clock }
}

describe('the dispatcher', () => {
  test('takes nothing before it is started, and everything after', async () => {
    const { dispatcher, add, started } = setUp()
    add('a', ['a1', 'a2'])
    await settle()
    expect(started).toEqual([])
    dispatcher.start()
    await settle()
    expect(started).toEqual(['a1', 'a2'])
  })

  test('runs no more at once than it may, over all queues', async () => {
    const { dispatcher, add, started, release } = setUp(2)
    dispatcher.start()
    add('a', ['a1', 'a2', 'a3'])
    await settle()
    expect(started).toEqual(['a1', 'a2'])
    release.get('a1')!()
    await settle()
    expect(started).toEqual(['a1', 'a2', 'a3'])
  })

  test('runs no more of a queue than its limit', async () => {
    const { dispatcher, add, started, release } = setUp(4)
    dispatcher.limit('a', 1)
    dispatcher.start()
    add('a', ['a1', 'a2'])
    add('b', ['b1'])
    await settle()
    expect(started).toEqual(['a1', 'b1'])
    release.get('a1')!()
    await settle()
    expect(started).toEqual(['a1', 'b1', 'a2'])
  })

  test('serves queues in turn: a long backlog does not keep others waiting', async () => {
    const { dispatcher, add, started, release } = setUp(1)
    add('a', ['a1', 'a2', 'a3'])
    add('b', ['b1', 'b2'])
    dispatcher.start()
    for (let i = 0; i < 5; i++) {
      await settle()
      release.get(started.at(-1)!)!()
    }
    await settle()
    expect(started).toEqual(['a1', 'b1', 'a2', 'b2', 'a3'])
  })

  test('asks a queue again when its next job is due', async () => {
    const { dispatcher, add, started, pass, clock } = setUp()
    dispatcher.start()
    add('a', ['a1'], clock.now() + 500)
    await pass(400)
    expect(started).toEqual([])
    await pass(100)
    expect(started).toEqual(['a1'])
  })

  test('leaves an empty queue alone until it is woken', async () => {
    const { dispatcher, add, state, started, pass } = setUp()
    dispatcher.start()
    dispatcher.wake('a')
    await settle()
    const asked = state.asked
    await pass(60_000)
    expect(state.asked).toBe(asked)
    add('a', ['a1'])
    await settle()
    expect(started).toEqual(['a1'])
  })

  test('does not believe an empty answer that is older than a wake-up', async () => {
    const { dispatcher, add, started } = setUp()
    dispatcher.start()
    dispatcher.wake('a')
    add('a', ['a1'])
    await settle()
    expect(started).toEqual(['a1'])
  })

  test('leaves a paused queue alone no longer than that when the date is set back meanwhile', async () => {
    const { dispatcher, add, started, clock, pass } = setUp()
    dispatcher.start()
    dispatcher.pause('a', 500)
    add('a', ['a1'])
    const now = clock.now.bind(clock)
    clock.now = () => now() - 3_600_000
    await pass(501)
    expect(started).toEqual(['a1'])
  })

  test('leaves a paused queue alone for as long as it was asked to', async () => {
    const { dispatcher, add, started, pass } = setUp()
    dispatcher.start()
    dispatcher.pause('a', 500)
    add('a', ['a1'])
    await pass(499)
    expect(started).toEqual([])
    await pass(1)
    expect(started).toEqual(['a1'])
  })

  test('asks nobody while Redis is away, and all of them when it is back', async () => {
    const { dispatcher, add, state, started } = setUp()
    dispatcher.start()
    state.available = false
    add('a', ['a1'])
    add('b', ['b1'])
    await settle()
    expect(state.asked).toBe(0)
    state.available = true
    dispatcher.wakeAll()
    await settle()
    expect(started).toEqual(['a1', 'b1'])
  })

  test('tries a queue that could not be asked again after a second', async () => {
    const { dispatcher, add, state, started, pass } = setUp()
    dispatcher.start()
    state.failing = true
    add('a', ['a1'])
    await settle()
    state.failing = false
    await pass(999)
    expect(started).toEqual([])
    await pass(1)
    expect(started).toEqual(['a1'])
  })

  test('asks a queue that was woken once, and more at a time only while it has jobs', async () => {
    const { dispatcher, add, state, started } = setUp(20)
    dispatcher.start()
    dispatcher.wake('a')
    await settle()
    expect(state.asked).toBe(1)
    add(
      'a',
      Array.from({ length: 10 }, (_, i) => `a${i}`),
    )
    await settle()
    expect(started.length).toBe(10)
    expect(state.asked).toBeLessThanOrEqual(1 + 10 + 4)
  })

  test('fetches nothing once it is stopped', async () => {
    const { dispatcher, add, started, release } = setUp(1)
    dispatcher.start()
    add('a', ['a1', 'a2'])
    await settle()
    dispatcher.stop()
    release.get('a1')!()
    await settle()
    expect(started).toEqual(['a1'])
  })

  test('leaves slots for others: one queue alone never takes all of them', async () => {
    const { dispatcher, add, started } = setUp(12)
    dispatcher.start()
    add(
      'slow',
      Array.from({ length: 20 }, (_, i) => `slow${i}`),
    )
    await settle()
    expect(started.length).toBe(8)
    add('late', ['late0', 'late1', 'late2'])
    await settle()
    expect(started.slice(8)).toEqual(['late0', 'late1', 'late2'])
  })

  test('starts one of each of a thousand queues in turn though a slow one has a long backlog', async () => {
    const { dispatcher, add, started, release } = setUp(8)
    add(
      'slow',
      Array.from({ length: 100 }, (_, i) => `slow${i}`),
    )
    for (let i = 0; i < 1_000; i++) add(`q${i}`, [`q${i}`])
    dispatcher.start()
    let released = 0
    while (started.filter((name) => name.startsWith('q')).length < 1_000 && released < 1_100) {
      await settle()
      // The slow ones never end.
      for (const name of started.slice(released)) if (!name.startsWith('slow')) release.get(name)!()
      released = started.length
    }
    expect(started.filter((name) => name.startsWith('q')).length).toBe(1_000)
    expect(started.filter((name) => name.startsWith('slow')).length).toBeLessThanOrEqual(6)
  })

  test('runs few while calls press to be accepted, and goes on when they do not', async () => {
    const { dispatcher, add, started, state } = setUp(10)
    dispatcher.start()
    state.pressed = true
    add('a', ['a1', 'a2', 'a3', 'a4'])
    await settle()
    expect(started).toEqual(['a1'])
    state.pressed = false
    dispatcher.wake('a')
    await settle()
    expect(started).toEqual(['a1', 'a2', 'a3', 'a4'])
  })

  test('runs fewer of a queue whose calls wait long in the worker', async () => {
    const { dispatcher, add, started, release, state } = setUp(100)
    dispatcher.start()
    state.waitedMs = 1_000
    add(
      'a',
      Array.from({ length: 100 }, (_, i) => `a${i}`),
    )
    await settle()
    expect(started.length).toBe(16)
    for (let i = 0; i < 60; i++) {
      release.get(started[i]!)!()
      await settle()
    }
    expect(started.length - 60).toBe(1)
  })

  test('takes turns by namespace, not by function: a hundred functions of one do not delay the one of another', async () => {
    const { dispatcher, add, started, release } = setUp(4)
    for (let i = 0; i < 100; i++) add(`many/f${i}`, [`many${i}-1`, `many${i}-2`])
    add('one/f', ['one1', 'one2', 'one3', 'one4'])
    dispatcher.start()
    for (let i = 0; i < 10; i++) {
      await settle()
      release.get(started[i]!)!()
    }
    // While both have a backlog about every other call is the one's.
    expect(started.slice(0, 10).filter((name) => name.startsWith('one'))).toEqual(['one1', 'one2', 'one3', 'one4'])
  })

  test('leaves slots for other namespaces, however many functions one has', async () => {
    const { dispatcher, add, started } = setUp(16)
    dispatcher.start()
    for (let i = 0; i < 100; i++) add(`many/f${i}`, [`many${i}`])
    await settle()
    expect(started.length).toBe(12)
    add('late/f', ['late'])
    await settle()
    expect(started.at(-1)).toBe('late')
  })

  test('gives back what a namespace held when its runs end, to the functions that waited at its share', async () => {
    const { dispatcher, add, started, release } = setUp(8)
    dispatcher.start()
    for (let i = 0; i < 20; i++) add(`many/f${i}`, [`many${i}`])
    await settle()
    for (let i = 0; i < 20; i++) {
      release.get(`many${i}`)?.()
      await settle()
    }
    expect(started.length).toBe(20)
  })

  test('lets only the namespace whose calls press give way', async () => {
    const { dispatcher, add, started, state } = setUp(10)
    dispatcher.start()
    state.pressed = 'loud'
    add('loud/f', ['loud1', 'loud2', 'loud3'])
    add('calm/f', ['calm1', 'calm2', 'calm3'])
    await settle()
    expect(started.filter((name) => name.startsWith('loud'))).toEqual(['loud1'])
    expect(started.filter((name) => name.startsWith('calm'))).toEqual(['calm1', 'calm2', 'calm3'])
  })

  test('looks at those whose time has come alone, however many sleep', async () => {
    const { dispatcher, add, started, pass, clock } = setUp(4)
    dispatcher.start()
    for (let i = 0; i < 500; i++) add(`ns/f${i}`, [`later${i}`], clock.now() + 3_600_000 + i)
    add('ns/soon', ['soon'], clock.now() + 1_000)
    const asked = { count: 0 }
    const now = clock.now.bind(clock)
    clock.now = () => {
      asked.count++
      return now()
    }
    await pass(1_000)
    expect(started).toEqual(['soon'])
    expect(asked.count).toBeLessThan(50)
  })
})
