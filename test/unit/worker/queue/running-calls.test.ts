import { expect, test } from 'vitest'
import type { AttemptContext } from '../../../../worker/queue/attempt.ts'
import { makeEnvelope } from '../../../../worker/queue/envelope.ts'
import type { FetchedJob, JobQueues } from '../../../../worker/queue/job-queues.ts'
import { RunningCalls } from '../../../../worker/queue/running-calls.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { submissionOf } from '../../../support/samples.ts'

const envelope = makeEnvelope('one', submissionOf('hello'), { kind: 'none' }, 0)
const fetched = { queueKey: 'default/hello', envelope, attemptsMade: 0 } as FetchedJob
const jobs = { fetch: async () => ({ fetched, nextAtMs: null }) } as unknown as JobQueues
const context = { clock: new FakeClock() } as unknown as AttemptContext

test('a call that was fetched is known, by its id', async () => {
  const seen: unknown[] = []
  const calls = new RunningCalls(jobs, context, (...told) => seen.push(told))
  expect(await calls.fetch('default/hello')).toEqual({ job: fetched, nextAtMs: null })
  expect([...calls.byId.keys()]).toEqual(['one'])
  expect(seen).toEqual([['default/hello', fetched.envelope.version]])
})

test('a call that nobody can make sense of is not kept: it is put out of the way, and a drain does not wait for it', async () => {
  const told: unknown[] = []
  const unreadable = async (job: unknown) => void told.push(job)
  const calls = new RunningCalls(jobs, { ...context, unreadable }, () => {
    throw new TypeError('no config')
  })
  expect(await calls.fetch('default/hello')).toEqual({ job: null, nextAtMs: context.clock.now() })
  expect(told).toMatchObject([{ id: 'one', newer: null }])
  expect(calls.byId.size).toBe(0)
  await calls.drain(0)
})
