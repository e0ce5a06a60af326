import { describe, expect, test } from 'vitest'
import { Records } from '../../../worker/records.ts'
import { sampleRecord } from '../../support/samples.ts'

describe('records', () => {
  test('keep the last ones only', () => {
    const records = new Records(3)
    for (const id of ['1', '2', '3', '4']) records.add(sampleRecord(id))
    expect(records.get('1')).toBeNull()
    expect(records.get('4')?.id).toBe('4')
    expect(records.query({ namespace: 'default', limit: 10 }).map(({ id }) => id)).toEqual(['4', '3', '2'])
  })

  test('are newest first, filtered and paged', () => {
    const records = new Records()
    records.add(sampleRecord('1', { function: 'a' }))
    records.add(sampleRecord('3', { state: 'failed' }))
    records.add(sampleRecord('2', { createdAt: '2026-01-02T00:00:00.000Z' }))
    records.add(sampleRecord('4', { namespace: 'other' }))
    const ids = (query: Partial<Parameters<Records['query']>[0]>) =>
      records.query({ namespace: 'default', limit: 10, ...query }).map(({ id }) => id)
    expect(ids({})).toEqual(['3', '2', '1'])
    expect(ids({ function: 'a' })).toEqual(['1'])
    expect(ids({ state: 'failed' })).toEqual(['3'])
    expect(ids({ sinceMs: Date.UTC(2026, 0, 1, 12) })).toEqual(['2'])
    expect(ids({ limit: 2 })).toEqual(['3', '2'])
    expect(ids({ after: '2' })).toEqual(['1'])
    expect(ids({ namespace: 'other' })).toEqual(['4'])
  })

  test('of a later attempt take the place of the earlier one', () => {
    const records = new Records(2)
    records.add(sampleRecord('1', { attempt: 1 }))
    records.add(sampleRecord('1', { attempt: 2 }))
    records.add(sampleRecord('2'))
    expect(records.get('1')?.attempt).toBe(2)
    expect(records.query({ namespace: 'default', limit: 10 })).toHaveLength(2)
  })
})
