import { expect, test } from 'vitest'
import { MENDINGS, mendingOf } from '../../../../worker/queue/reconcile-policy.ts'

test('each pair of a record and a job has its mending, or agrees', () => {
  const rows = Object.entries(MENDINGS).flatMap(([record, jobs]) =>
    Object.entries(jobs).map(([job, mending]) => `${record} + ${job}: ${mending ?? 'agree'}`),
  )
  expect(rows).toEqual([
    'none + none: agree',
    'none + hollow: drop',
    'none + waiting: record',
    'none + locked: agree',
    'none + unlocked: requeue',
    'none + adrift: requeue',
    'accepted + none: end',
    'accepted + hollow: end',
    'accepted + waiting: agree',
    'accepted + locked: agree',
    'accepted + unlocked: requeue',
    'accepted + adrift: requeue',
    'queued + none: end',
    'queued + hollow: end',
    'queued + waiting: agree',
    'queued + locked: agree',
    'queued + unlocked: requeue',
    'queued + adrift: requeue',
    'running + none: end',
    'running + hollow: end',
    'running + waiting: record',
    'running + locked: agree',
    'running + unlocked: requeue',
    'running + adrift: requeue',
    'ended + none: agree',
    'ended + hollow: drop',
    'ended + waiting: drop',
    'ended + locked: agree',
    'ended + unlocked: drop',
    'ended + adrift: drop',
  ])
})

test('what somebody runs is never touched, and no call that can still run is ended', () => {
  for (const record of ['none', 'accepted', 'queued', 'running', 'ended'] as const) {
    expect(mendingOf(record, 'locked')).toBeNull()
    for (const job of ['waiting', 'unlocked', 'adrift'] as const) expect(mendingOf(record, job)).not.toBe('end')
  }
})
