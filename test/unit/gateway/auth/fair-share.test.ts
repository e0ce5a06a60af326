import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fairShare } from '../../../../gateway/auth/fair-share.ts'

test.each([
  [[1, 2, 3], 10, Number.POSITIVE_INFINITY],
  [[100], 10, 10],
  [[1, 100], 10, 9],
  [[1, 100, 100], 11, 5],
  [[], 0, Number.POSITIVE_INFINITY],
])('the fair share of %j in %i is %d', (parts, total, share) => {
  expect(fairShare(parts, total)).toBe(share)
})

test('what is cut to it fits, and parts below an equal share stay whole', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(1000), { minLength: 1 }), fc.nat(5000), (parts, total) => {
      const share = fairShare(parts, total)
      expect(parts.reduce((sum, part) => sum + Math.min(part, share), 0)).toBeLessThanOrEqual(total + 1e-6)
      expect(share).toBeGreaterThanOrEqual(total / parts.length - 1e-6)
    }),
  )
})
