// Docker's CPU numbers in the kernel's units.
import { expect, test } from 'vitest'
import { quotaUs, weightOfShares } from '../../../../runtime/cgroup/cpu.ts'

test.each([
  [0, 0],
  [2, 1],
  [256, 35],
  [512, 59],
  [1024, 100],
  [2048, 174],
  [262_144, 10_000],
])('%d shares are a weight of %d', (shares, weight) => expect(weightOfShares(shares)).toBe(weight))

test('more shares never weigh less, and every weight is one the kernel takes', () => {
  for (let shares = 3, before = 1; shares <= 262_144; shares = Math.ceil(shares * 1.1)) {
    const weight = weightOfShares(shares)
    expect(weight).toBeGreaterThanOrEqual(before)
    expect(weight).toBeLessThanOrEqual(10_000)
    before = weight
  }
})

test.each([
  [null, null],
  [0.01, 1000],
  [0.5, 50_000],
  [2, 200_000],
  [0.001, 1000],
])('%j CPUs are a quota of %j µs', (cpus, quota) => expect(quotaUs(cpus)).toBe(quota))
