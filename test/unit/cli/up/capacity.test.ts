import { expect, test } from 'vitest'
import { maxConnections, maxSandboxes, redisMemoryBytes, sandboxMemoryBytes } from '../../../../cli/up/capacity.ts'

const limits = (hard: string) => `Limit                     Soft Limit           Hard Limit           Units
Max stack size            8388608              unlimited            bytes
Max open files            1024                 ${hard}                files
`

test.each([
  ['20000', 690],
  ['1048576', 1000],
  ['unlimited', 1000],
  ['4096', 78],
  ['1024', 1],
])('a hard limit of %s open files gives room for %i sandboxes', (hard, expected) => {
  expect(maxSandboxes(limits(hard))).toBe(expected)
})

test.each([
  ['20000', 10_000],
  ['1048576', 100_000],
  ['unlimited', 100_000],
  ['100', 64],
])('a hard limit of %s open files gives room for %i connections', (hard, expected) => {
  expect(maxConnections(limits(hard))).toBe(expected)
})

test('a small machine keeps half a gibibyte, a large one a fifth', () => {
  expect(sandboxMemoryBytes(2 * 1024 ** 3)).toBe(1.5 * 1024 ** 3)
  expect(sandboxMemoryBytes(100 * 1024 ** 3)).toBe(80 * 1024 ** 3)
})

test('Redis may hold an eighth of the machine, and on a small one a quarter of a gibibyte', () => {
  expect(redisMemoryBytes(24 * 1024 ** 3)).toBe(3 * 1024 ** 3)
  expect(redisMemoryBytes(1024 ** 3)).toBe(256 * 1024 ** 2)
})
