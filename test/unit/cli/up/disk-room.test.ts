// When a full disk makes a platform unready, and what it says then.
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { roomTrouble } from '../../../../cli/up/disk-room.ts'

const MIB = 1024 ** 2
const trouble = (free: number | null) => roomTrouble('/state', 'nothing works', () => free)

test('a disk with no more room than is kept for accepted calls is said to be full, with how much is left', () => {
  expect(trouble(16 * MIB)).toBe(
    'the disk of $FN_STATE_DIR is full (16 MiB are left, the last 16 are kept for what was accepted): nothing works',
  )
  expect(trouble(0)).toContain('(0 MiB are left')
})

test('with room, or where nobody can tell, there is no trouble', () => {
  expect([trouble(16 * MIB + 1), trouble(null)]).toEqual([null, null])
  expect(roomTrouble(join(tmpdir(), 'no-such-folder-of-a-platform'), 'nothing works')).toBeNull()
})
