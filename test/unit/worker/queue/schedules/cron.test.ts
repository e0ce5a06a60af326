// When cron expressions fire: the two changes of the clocks, seconds, the last time before an instant, what is refused.
import { describe, expect, test } from 'vitest'
import { parseCron } from '../../../../../worker/queue/schedules/cron.ts'

const NOW = Date.UTC(2026, 0, 1)
const at = (text: string): number => Date.parse(text)

function runs(cron: string, timeZone: string, from: string, count: number): string[] {
  const times = parseCron(cron, timeZone, NOW)
  const found: string[] = []
  let ms: number | null = at(from)
  while (found.length < count) {
    ms = times.after(ms)
    if (ms === null) break
    found.push(new Date(ms).toISOString().replace('.000Z', 'Z'))
  }
  return found
}

describe('a change of the clocks in Zurich (spring 2026-03-29 02:00 → 03:00, autumn 2026-10-25 03:00 → 02:00)', () => {
  test('a time in the gap fires once, at its end, and the days around at their own time', () => {
    expect(runs('30 2 * * *', 'Europe/Zurich', '2026-03-27T12:00:00Z', 3)).toEqual([
      '2026-03-28T01:30:00Z',
      '2026-03-29T01:00:00Z',
      '2026-03-30T00:30:00Z',
    ])
  })

  test('of a list of times the one in the gap is not lost', () => {
    expect(runs('30 2,14 * * *', 'Europe/Zurich', '2026-03-28T20:00:00Z', 2)).toEqual([
      '2026-03-29T01:00:00Z',
      '2026-03-29T12:30:00Z',
    ])
  })

  test('a time that comes twice fires the first time alone', () => {
    expect(runs('30 2 * * *', 'Europe/Zurich', '2026-10-24T12:00:00Z', 2)).toEqual([
      '2026-10-25T00:30:00Z',
      '2026-10-26T01:30:00Z',
    ])
  })

  test('hourly runs go on by real time through both', () => {
    expect(runs('0 * * * *', 'Europe/Zurich', '2026-10-24T23:30:00Z', 4)).toEqual([
      '2026-10-25T00:00:00Z',
      '2026-10-25T01:00:00Z',
      '2026-10-25T02:00:00Z',
      '2026-10-25T03:00:00Z',
    ])
    expect(runs('0 * * * *', 'Europe/Zurich', '2026-03-28T23:30:00Z', 3)).toEqual([
      '2026-03-29T00:00:00Z',
      '2026-03-29T01:00:00Z',
      '2026-03-29T02:00:00Z',
    ])
  })

  test('the same expression in New York changes on other days', () => {
    expect(runs('0 3 * * *', 'America/New_York', '2026-03-07T12:00:00Z', 2)).toEqual([
      '2026-03-08T07:00:00Z',
      '2026-03-09T07:00:00Z',
    ])
  })
})

describe('an expression', () => {
  test('may have seconds', () => {
    expect(runs('*/20 * * * * *', 'UTC', '2026-01-01T00:00:05.5Z', 2)).toEqual([
      '2026-01-01T00:00:20Z',
      '2026-01-01T00:00:40Z',
    ])
  })

  test('may be a nickname', () => {
    expect(runs('@daily', 'Asia/Tokyo', '2026-01-01T00:00:00Z', 1)).toEqual(['2026-01-01T15:00:00Z'])
  })

  test('knows its last time at or before an instant', () => {
    const times = parseCron('0 12 * * *', 'UTC', NOW)
    expect(times.upTo(at('2026-05-02T12:00:00Z'))).toBe(at('2026-05-02T12:00:00Z'))
    expect(times.upTo(at('2026-05-02T11:59:59.999Z'))).toBe(at('2026-05-01T12:00:00Z'))
  })

  test.each([
    ['61 0 * * *', 'UTC', /minute/],
    ['0 0 30 2 *', 'UTC', /never fires/],
    ['0 3 * *', 'UTC', /5 fields, or 6 with seconds first, got 4/],
    ['', 'UTC', /got none/],
    ['2027-01-01T00:00:00', 'UTC', /got 1/],
    ['0 0 1 1 * 0 2027', 'UTC', /got 7/],
    ['0 3 * * *', 'Mars/Olympus', /IANA time zone such as Europe\/Zurich or UTC, got "Mars\/Olympus"/],
    ['0 3 * * *', '+01:00', /IANA/],
  ])('%j in %s is refused and says why', (cron, timeZone, message) => {
    expect(() => parseCron(cron, timeZone, NOW)).toThrow(
      expect.objectContaining({ code: 'SCHEDULE_INVALID', message: expect.stringMatching(message) }),
    )
  })
})
