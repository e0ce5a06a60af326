// Waiting for the end of a call: news, time, and no trace of either afterwards.
import { expect, test } from 'vitest'
import { Waiters } from '../../../../worker/queue/waiters.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

function setUp() {
  const clock = new FakeClock()
  const waiters = new Waiters(clock)
  const heard: string[] = []
  const wait = (id: string, ms = 1_000) => {
    const waiting = waiters.wait(id, ms)
    void waiting.news.then(() => heard.push(id))
    return waiting
  }
  return { clock, waiters, heard, wait }
}

test('news of an id wake all who wait for it, and nobody else', async () => {
  const { clock, waiters, heard, wait } = setUp()
  wait('a')
  wait('a')
  wait('b')
  waiters.notify('a')
  waiters.notify('c')
  await clock.advance(0)
  expect(heard).toEqual(['a', 'a'])
  expect(clock.pending).toBe(1)
})

test('the wait ends by itself when its time is over', async () => {
  const { clock, heard, wait } = setUp()
  wait('a', 500)
  await clock.advance(499)
  expect(heard).toEqual([])
  await clock.advance(1)
  expect(heard).toEqual(['a'])
  expect(clock.pending).toBe(0)
})

test('all look again when news may have been missed', async () => {
  const { clock, waiters, heard, wait } = setUp()
  wait('a')
  wait('b')
  waiters.notifyAll()
  await clock.advance(0)
  expect(heard.sort()).toEqual(['a', 'b'])
})

test('who gives up leaves no timer, and may give up twice', async () => {
  const { clock, waiters, wait } = setUp()
  const waiting = wait('a')
  waiting.stop()
  waiting.stop()
  waiters.notify('a')
  await clock.advance(0)
  expect(clock.pending).toBe(0)
})
