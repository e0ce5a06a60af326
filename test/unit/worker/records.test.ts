import { describe, expect, test } from 'vitest'
import type { Metering } from '../../../runtime/api.ts'
import type { InvocationRecord } from '../../../worker/api.ts'
import { Records } from '../../../worker/records.ts'
import { ZERO_METERING } from '../../support/fake-runtime.ts'
import { sampleRecord } from '../../support/samples.ts'

/** Adds it with the instants that its own texts say. */
function add(records: Records, record: InvocationRecord): void {
  const at = (time: string | null) => (time === null ? Number.NaN : Date.parse(time))
  records.add(record, {
    createdAtMs: at(record.createdAt),
    startedAtMs: at(record.startedAt),
    endedAtMs: at(record.endedAt),
  })
}

describe('records', () => {
  test('keep the last ones only', () => {
    const records = new Records(3)
    for (const id of ['1', '2', '3', '4']) add(records, sampleRecord(id))
    expect(records.get('1')).toBeNull()
    expect(records.get('4')?.id).toBe('4')
    expect(records.query({ namespace: 'default', limit: 10 }).map(({ id }) => id)).toEqual(['4', '3', '2'])
  })

  test('of a namespace that calls often push out its own, and no other’s', () => {
    const records = new Records(10)
    const kept = (namespace: string) => records.query({ namespace, limit: 100 }).map(({ id }) => id)
    for (let index = 0; index < 4; index++) add(records, sampleRecord(`good-${index}`, { namespace: 'good' }))
    for (let index = 0; index < 1000; index++) add(records, sampleRecord(`evil-${1000 + index}`, { namespace: 'evil' }))
    expect(kept('good')).toEqual(['good-3', 'good-2', 'good-1', 'good-0'])
    expect(kept('evil')).toEqual(['evil-1999', 'evil-1998', 'evil-1997', 'evil-1996', 'evil-1995', 'evil-1994'])
    // Room that one namespace has alone is given back to those who come.
    for (let index = 4; index < 9; index++) add(records, sampleRecord(`good-${index}`, { namespace: 'good' }))
    expect([kept('good').length, kept('evil').length]).toEqual([5, 5])
    for (let index = 0; index < 6; index++) add(records, sampleRecord(`third-${index}`, { namespace: 'third' }))
    expect(kept('good').length + kept('evil').length + kept('third').length).toBe(10)
    for (const namespace of ['good', 'evil', 'third']) expect(kept(namespace).length).toBeGreaterThanOrEqual(3)
    expect(records.get('good-8')?.id).toBe('good-8')
  })

  test('are newest first, filtered and paged', () => {
    const records = new Records()
    add(records, sampleRecord('1', { function: 'a' }))
    add(records, sampleRecord('3', { state: 'failed' }))
    add(records, sampleRecord('2', { createdAt: '2026-01-02T00:00:00.000Z' }))
    add(records, sampleRecord('4', { namespace: 'other' }))
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
    add(records, sampleRecord('1', { attempt: 1 }))
    add(records, sampleRecord('1', { attempt: 2 }))
    add(records, sampleRecord('2'))
    expect(records.get('1')?.attempt).toBe(2)
    expect(records.query({ namespace: 'default', limit: 10 })).toHaveLength(2)
  })

  test('come back as they were put in, with all that can be null or left out', () => {
    // Every figure another number, so that none can take another's place.
    const figures = Object.keys(ZERO_METERING).filter((name) => name !== 'exact')
    const full = Object.fromEntries(figures.map((name, index) => [name, 100 + index]))
    const metering: Metering = { ...ZERO_METERING, ...full }
    const usage = { cpuUserUs: 1, cpuSystemUs: 2, throttledUs: 3, oomKills: 4, pageFaults: 5 }
    const unshared = { ...usage, ioReadBytes: 6, ioWriteBytes: 7, ioReadOps: 8, ioWriteOps: 9 }
    const error = { code: 'FUNCTION_THREW', message: 'why', component: 'function' } as const
    const all = [
      sampleRecord('1', { metering: { ...metering, sinceStart: ['tasksPeak'], unshared } }),
      sampleRecord('2', { metering: { ...metering, exact: false, swapPeakBytes: null, tasksPeak: null } }),
      sampleRecord('3', { status: null, error, state: 'failed', start: null, startedAt: null, endedAt: null }),
      sampleRecord('4', { version: 7, attempt: 3, queueMs: 1.001, createdAt: '2026-01-01T00:00:00.007Z' }),
    ]
    const records = new Records(4)
    for (const record of all) add(records, record)
    for (const record of all) expect(records.get(record.id)).toEqual(record)
    // A row that had metering and is used again for a record without.
    add(records, sampleRecord('5'))
    expect(records.get('5')).toEqual(sampleRecord('5'))
  })
})
