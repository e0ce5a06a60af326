import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readBoundedFile } from '../../../cli/bounded-file.ts'

test('a file is read up to its bound and refused above it, endless ones included', () => {
  const folder = mkdtempSync(join(tmpdir(), 'thaw-bounded-'))
  const path = join(folder, 'file')
  for (const size of [0, 1, 100_000]) {
    writeFileSync(path, 'x'.repeat(size))
    expect(readBoundedFile(path, 100_000)).toHaveLength(size)
  }
  expect(() => readBoundedFile(path, 99_999)).toThrow('the file is larger than 99999 bytes, the most that are taken')
  expect(() => readBoundedFile('/dev/zero', 1024)).toThrow('larger than 1024 bytes')
  expect(() => readBoundedFile(join(folder, 'none'), 1024)).toThrow('ENOENT')
  rmSync(folder, { recursive: true })
})
