// Needs no rights: a process may ask for slices of its own threads. A kernel without slices (before 6.12) answers false.
import { expect, test } from 'vitest'
import { spawn } from '../../../../runtime/host/spawn.ts'
import { setTimeSlice, timeSliceUs } from '../../../../runtime/host/time-slice.ts'

test('a thread gets the slice that was asked for, and the kernel’s own again', async () => {
  const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)'])
  try {
    const own = timeSliceUs(child.pid)
    const taken = setTimeSlice(child.pid, 10_000, { inherited: true })
    expect(timeSliceUs(child.pid)).toBe(taken ? 10_000 : own)
    setTimeSlice(child.pid, 0, { inherited: true })
    expect(timeSliceUs(child.pid)).toBe(own)
  } finally {
    child.kill('SIGKILL')
    await child.exited
  }
})

test('a process that is gone has none', () => {
  expect(setTimeSlice(2 ** 22 + 1, 1000, { inherited: true })).toBe(false)
  expect(timeSliceUs(2 ** 22 + 1)).toBeNull()
})
