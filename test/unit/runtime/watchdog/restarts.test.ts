import { describe, expect, test } from 'vitest'
import { encodeRestarts, parseRestarts, type Restarts, waitMs } from '../../../../runtime/watchdog/restarts.ts'

describe('restarts', () => {
  test('are counted from one process to the next, and those of the last ten minutes remembered', () => {
    let restarts: Restarts = parseRestarts(undefined)
    expect([restarts.total, waitMs(restarts)]).toEqual([0, 0])
    for (const nowMs of [1_000, 300_000, 599_000, 700_000.4]) restarts = parseRestarts(encodeRestarts(restarts, nowMs))
    expect(restarts).toEqual({ total: 4, atMs: [300_000, 599_000, 700_000] })
  })

  test('wait longer the more there were, and end', () => {
    const waits = [1, 2, 3, 4, 5, 6].map((count) => waitMs({ total: count, atMs: Array(count).fill(0) }))
    expect(waits).toEqual([0, 1000, 5000, 15_000, 30_000, null])
  })

  test.each(['', 'x', '-1 5', '0', '1.5 2', 'NaN'])('a text nobody wrote (%j) is none', (text) => {
    expect(parseRestarts(text)).toEqual({ total: 0, atMs: [] })
  })
})
