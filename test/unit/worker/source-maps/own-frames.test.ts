import { expect, test } from 'vitest'
import { ownFrames } from '../../../../worker/source-maps/own-frames.ts'

test('a stack loses the frames of the platform that called the handler', () => {
  const stack = 'Error: no\n    at f (/code/a.js:1:1)\n    at /runtime/bootstrap.cjs:1:2\n    at node:vm:1:1'
  expect(ownFrames(stack)).toBe('Error: no\n    at f (/code/a.js:1:1)')
  expect(ownFrames('Error: no')).toBe('Error: no')
})

test('a stack of white space costs no more than its length', () => {
  const costOf = (stack: string) => {
    const beginMs = performance.now()
    for (let round = 0; round < 20; round++) ownFrames(stack)
    return performance.now() - beginMs
  }
  const plain = costOf('x'.repeat(200_000))
  // The square of its length would be a thousand times as much.
  expect(costOf(`${'\n'.repeat(200_000)}at`)).toBeLessThan(100 * Math.max(1, plain))
  expect(costOf(`\n${' '.repeat(200_000)}`)).toBeLessThan(100 * Math.max(1, plain))
})
