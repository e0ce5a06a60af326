// Volumes and scratch disks are sparse: what is promised of a small disk, told by filling all of it.
import { closeSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { DiskPromises } from '../../runtime/host/disk-promises.ts'
import { type HostVolumes, openVolumeStore } from '../../runtime/volumes/volume-store.ts'
import { type Disk, mountDisk } from '../support/disk.ts'

const MIB = 1024 ** 2
const folder = mkdtempSync(join(tmpdir(), 'thaw-promises-'))
let disk: Disk
let promises: DiskPromises
let volumes: HostVolumes
beforeAll(async () => {
  disk = await mountDisk(folder, 200)
})
afterAll(async () => {
  await disk.unmount()
  rmSync(folder, { recursive: true, force: true })
})
beforeEach(async () => {
  await mkdir(join(disk.path, 'volumes'), { recursive: true })
  await openStore()
})
afterEach(async () => {
  for (const { id } of await volumes.list()) await volumes.remove(id)
  await volumes.close()
})

async function openStore(): Promise<void> {
  promises = new DiskPromises(disk.path)
  const imagesDir = join(disk.path, 'volumes')
  volumes = await openVolumeStore({ imagesDir, mountsDir: join(folder, 'mounts'), bindRoots: [], promises })
}

function freeBytes(): number {
  const { bavail, bsize } = statfsSync(disk.path)
  return bavail * bsize
}

/** Writes until the volume is full. */
async function fill(id: string): Promise<void> {
  const held = await volumes.hold(id)
  const file = openSync(join(held.path, 'all'), 'w')
  try {
    for (;;) writeSync(file, Buffer.alloc(MIB, 1))
  } catch (error) {
    expect(error).toMatchObject({ code: 'ENOSPC' })
  } finally {
    closeSync(file)
    held.release()
  }
}

test('two volumes of which each fits, and both do not, are not both made; nothing of the second is left', async () => {
  await volumes.create('shop/one', 90 * MIB)
  expect(freeBytes()).toBeGreaterThan(150 * MIB)
  await expect(volumes.create('mall/two', 90 * MIB)).rejects.toMatchObject({
    code: 'DISK_FULL',
    message: expect.stringMatching(/a volume of 90m does not fit: .* free, .* promised to volumes .*; at most/),
  })
  expect((await volumes.list()).map(({ id }) => id)).toEqual(['shop/one'])
  await volumes.remove('shop/one')
  await volumes.create('mall/two', 90 * MIB)
})

test('several at once do not slip past what is left together', async () => {
  const made = await Promise.allSettled(['a', 'b', 'c', 'd'].map((name) => volumes.create(`shop/${name}`, 50 * MIB)))
  expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(2)
})

test('all volumes can be full to the last byte, and what is kept for the platform is still free', async () => {
  await volumes.create('shop/one', 60 * MIB)
  await volumes.create('mall/two', 60 * MIB)
  await fill('shop/one')
  await fill('mall/two')
  expect(freeBytes()).toBeGreaterThan(30 * MIB)
})

test('what was promised before a restart counts after it, and as it is written it is not counted twice', async () => {
  await volumes.create('shop/one', 100 * MIB)
  await volumes.close()
  await openStore()
  await expect(volumes.create('shop/more', 60 * MIB)).rejects.toMatchObject({ code: 'DISK_FULL' })
  await volumes.create('shop/small', 30 * MIB)
  const before = promises.unwrittenBytes()
  await fill('shop/one')
  expect(promises.unwrittenBytes()).toBeLessThan(before - 80 * MIB)
  await expect(volumes.create('shop/more', 60 * MIB)).rejects.toMatchObject({ code: 'DISK_FULL' })
})

test('scratch disks count with volumes for as long as they exist', () => {
  const scratch = promises.reserve(join(disk.path, 'scratch.img'), 100 * MIB, 'a scratch disk')
  expect(() => promises.reserve(join(disk.path, 'other.img'), 60 * MIB, 'a scratch disk')).toThrow(
    /a scratch disk of 60m does not fit/,
  )
  scratch.release()
  scratch.release()
  promises.reserve(join(disk.path, 'other.img'), 60 * MIB, 'a scratch disk').release()
  expect(promises.unwrittenBytes()).toBe(0)
})

test('images end where the platform’s own room begins, in bytes and in files', async () => {
  const left = promises.leftBytes()
  expect(left).toBeLessThan(freeBytes() - 32 * MIB + 1)
  await volumes.create('shop/one', 40 * MIB)
  expect(promises.leftBytes()).toBeLessThan(left - 38 * MIB)
  await volumes.remove('shop/one')
  const files = join(disk.path, 'files')
  await mkdir(files)
  try {
    // Empty files: the disk has no fewer bytes for them.
    for (let count = 0; promises.leftBytes() > 0; count++) closeSync(openSync(join(files, String(count)), 'w'))
    expect(freeBytes()).toBeGreaterThan(100 * MIB)
    closeSync(openSync(join(files, 'last'), 'w'))
  } finally {
    rmSync(files, { recursive: true })
  }
})
