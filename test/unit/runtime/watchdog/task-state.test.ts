import { expect, test } from 'vitest'
import { isTraced, parseMajorFaults, parseStanding, readTask } from '../../../../runtime/watchdog/task-state.ts'

test.each([
  ['running\n', null, false],
  ['0 0x17 0x7f 0x10000 0x0 0x0 0x0 0x7ffe 0x7f48\n', 0x17, false],
  ['202 0x7ff48403e140 0x80 0x0 0x7ffe 0x0 0x7ffe 0x7ffe 0x7ff4\n', null, false],
  ['-1 0x7ffe96 0x7ff4\n', null, true],
  ['', null, false],
])('a thread at %j', (text, descriptor, isFaulting) => {
  expect(parseStanding(text)).toEqual({ descriptor, isFaulting })
})

test('faults from disk are the twelfth figure, whatever the name of the process', () => {
  const figures = 'S 1 1 1 0 -1 4194560 3047 396 17 4 2 1 0 0 20'
  for (const name of ['node', 'a) b (c', ')']) expect(parseMajorFaults(`12 (${name}) ${figures}`)).toBe(17)
  expect(parseMajorFaults('')).toBe(0)
})

test('a tracer is seen in the status', () => {
  expect([isTraced('Name:\tnode\nTracerPid:\t0\n'), isTraced('TracerPid:\t812\n'), isTraced('')]).toEqual([
    false,
    true,
    false,
  ])
})

test('the kernel tells of this very process', () => {
  expect(readTask(process.pid)).toMatchObject({ isTraced: false, isFaulting: false })
  expect(readTask(2 ** 22 + 1)).toEqual({ descriptor: null, isFaulting: false, majorFaults: 0, isTraced: false })
})
