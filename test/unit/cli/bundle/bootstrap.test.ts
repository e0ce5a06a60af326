// The bootstrap's cache: built once, and again when what is there cannot be it.
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { buildBootstrap } from '../../../../cli/bundle/bootstrap.ts'

test('a bootstrap that a power cut left empty in the cache is built again', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'thaw-bootstrap-'))
  try {
    const built = await buildBootstrap(folder)
    const names = readdirSync(folder)
    expect(names).toHaveLength(1)
    const path = join(folder, names[0]!)
    truncateSync(path, 0)
    expect((await buildBootstrap(folder)).equals(built)).toBe(true)
    expect(readFileSync(path).equals(built)).toBe(true)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
