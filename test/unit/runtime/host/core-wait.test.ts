import { expect, test } from 'vitest'
import { coreWaitUs, parseCoreWait } from '../../../../runtime/host/core-wait.ts'

test('the wait for a core is the second figure, in whole µs', () => {
  expect(parseCoreWait('137400 5488 2\n')).toBe(5)
  expect(parseCoreWait('0 0 0\n')).toBe(0)
})

test('a text of another form is no figure', () => {
  for (const text of ['', '1 2', 'a b c', '1 2 3 4', '-1 2 3']) expect(parseCoreWait(text)).toBeNull()
})

test('a process that is gone has none', () => {
  expect(coreWaitUs(2 ** 22 + 1)).toBeNull()
})
