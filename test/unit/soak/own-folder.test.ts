// Whose a soak's folder is: only that of a dead soak may be swept.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { nameFor, openFolder, ownerOf, sweepFolders } from '../../soak/own-folder.ts'

function parentFolder(): string {
  const parent = mkdtempSync(join(tmpdir(), 'soak-folder-'))
  onTestFinished(() => rmSync(parent, { recursive: true }))
  return parent
}

test('a folder is named after the process that made it and when that began', () => {
  expect(ownerOf(`${nameFor(12, 3456)}AbC-d1`)).toEqual({ pid: 12, startTicks: 3456 })
})

test.each(['thaw-state-x', 'thaw-soak-x', 'thaw-soak-12-', 'a-thaw-soak-1-2-x'])(
  '%s is no folder of a soak',
  (name) => {
    expect(ownerOf(name)).toBeNull()
  },
)

test('a sweep takes what a dead process left, and neither what a living one has nor what is no folder of a soak', async () => {
  const parent = parentFolder()
  const { path } = await openFolder(null, parent)
  // The number of a living process that began at another time.
  const dead = join(parent, `${nameFor(process.pid, 1)}gone`)
  mkdirSync(dead)
  writeFileSync(join(dead, 'clock'), '+0')
  const other = join(parent, 'thaw-state-x')
  mkdirSync(other)
  expect(await sweepFolders(parent)).toEqual([`${nameFor(process.pid, 1)}gone`])
  expect([path, dead, other].map((folder) => existsSync(folder))).toEqual([true, false, true])
})
