// When log files count as turned over, and when as too many or too large.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type LogFileLook, logFilesOf, RotationWatch } from '../../soak/rotation.ts'

const MIB = 1024 ** 2
const file = (index: number, inode: number, bytes = 8 * MIB): LogFileLook => ({
  function: 'talker',
  index,
  inode,
  bytes,
})

test('four files are not yet a turn; another oldest one is', () => {
  const watch = new RotationWatch()
  watch.look([file(0, 4, MIB), file(1, 3), file(2, 2), file(3, 1)])
  expect(watch.turnedOver).toEqual([])
  expect(watch.lines()[0]).toContain('NOT SEEN')
  watch.look([file(0, 5, MIB), file(1, 4), file(2, 3), file(3, 2)])
  expect(watch.turnedOver).toEqual(['talker'])
  expect(watch.lines()[0]).toContain('seen (talker)')
  expect(watch.troubles).toEqual([])
})

test('a fifth file, and files that are larger than they may be, are trouble', () => {
  const watch = new RotationWatch()
  watch.look([file(4, 1, 60 * MIB)])
  expect(watch.troubles).toHaveLength(2)
})

test('log files are found by function and number, and a state directory without logs has none', () => {
  const stateDir = mkdtempSync(join(tmpdir(), 'soak-rotation-'))
  onTestFinished(() => rmSync(stateDir, { recursive: true }))
  expect(logFilesOf(stateDir)).toEqual([])
  mkdirSync(join(stateDir, 'logs', 'default'), { recursive: true })
  for (const name of ['a.jsonl', 'a.jsonl.3', 'other']) writeFileSync(join(stateDir, 'logs', 'default', name), 'four')
  expect(logFilesOf(stateDir).map(({ function: owner, index, bytes }) => [owner, index, bytes])).toEqual([
    ['a', 0, 4],
    ['a', 3, 4],
  ])
})
