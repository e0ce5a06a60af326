// The image store on a disk that is too small: it says so, keeps what it had, and leaves no half of anything.

import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type LayeredImageStore, openImageStore } from '../../runtime/image/image-store.ts'
import { type Disk, mountDisk } from '../support/disk.ts'

const MIB = 1024 ** 2
const folder = mkdtempSync(join(tmpdir(), 'thaw-disk-'))
let disk: Disk
let store: LayeredImageStore

beforeAll(async () => {
  disk = await mountDisk(folder, 8)
  store = await openImageStore(disk.path)
})
afterAll(async () => {
  await store.close()
  await disk.unmount()
  rmSync(folder, { recursive: true, force: true })
})

const parts = (bytes: number) => ({ source: randomBytes(bytes), sourceMap: null, addonTar: null, config: {} })

describe('a full disk', () => {
  test('is said, and the images before it stay whole', async () => {
    const first = parts(MIB)
    const { digest } = await store.put(first)
    const before = readdirSync(join(disk.path, 'blobs/sha256'))
    await expect(store.put(parts(16 * MIB))).rejects.toMatchObject({ code: 'DISK_FULL' })
    expect(readdirSync(join(disk.path, 'blobs/sha256'))).toEqual(before)
    expect((await store.get(digest)).source.equals(first.source)).toBe(true)
    const small = await store.put(parts(1024))
    expect((await store.get(small.digest)).source.length).toBe(1024)
  })
})
