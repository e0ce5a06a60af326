import { expect, test } from 'vitest'
import { drawOf, IdSource, isInvocationId } from '../../../../gateway/invocation/id.ts'

test('ids are UUIDv7s that rise, also within a millisecond and when the clock steps back', () => {
  const times = [1_700_000_000_000, 1_700_000_000_001, 1_600_000_000_000]
  let calls = 0
  const source = new IdSource(() => times[Math.floor(calls++ / 300) % 3]!)
  const ids = Array.from({ length: 900 }, () => source.next())
  expect(ids.every(isInvocationId)).toBe(true)
  expect(ids.every((id) => id[14] === '7')).toBe(true)
  expect(ids.toSorted()).toEqual(ids)
  expect(new Set(ids).size).toBe(900)
})

test('an id always draws alike, and ids draw evenly', () => {
  const source = new IdSource(Date.now)
  const draws = Array.from({ length: 4000 }, () => {
    const id = source.next()
    expect(drawOf(id)).toBe(drawOf(id))
    return drawOf(id)
  })
  expect(draws.every((draw) => draw >= 0 && draw < 1)).toBe(true)
  const low = draws.filter((draw) => draw < 0.1).length
  // 400 expected, standard deviation 19
  expect(low).toBeGreaterThan(300)
  expect(low).toBeLessThan(500)
})

test('other texts are no ids', () => {
  for (const text of ['', 'x', '018F0000-0000-7000-8000-000000000000', '018f0000-0000-7000-8000-0000000000000'])
    expect(isInvocationId(text)).toBe(false)
})
