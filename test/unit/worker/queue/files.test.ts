// Bodies and results on disk: whole under their name or not there at all.
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DurableFile, fileBytes, spoolBody, sweepFolder } from '../../../../worker/queue/files.ts'

let folder: string
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'thaw-files-')), 'bodies')
})
afterEach(async () => {
  await rm(join(folder, '..'), { recursive: true, force: true })
})

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

describe('a spooled body', () => {
  test('of up to 64 KiB stays in memory, however it came', async () => {
    const bytes = randomBytes(64 * 1024)
    for (const body of [bytes, Readable.from([bytes.subarray(0, 7), bytes.subarray(7)])]) {
      const spooled = await spoolBody(body, folder, 1_000_000)
      expect(spooled.file).toBeNull()
      expect(spooled.inline!.equals(bytes)).toBe(true)
      expect(spooled.hash).toBe(sha256(bytes))
    }
  })

  test('that is larger is a file, nameless until it is committed', async () => {
    const bytes = randomBytes(300_000)
    const spooled = await spoolBody(bytes, folder, 1_000_000)
    expect(spooled.inline).toBeNull()
    expect(spooled.hash).toBe(sha256(bytes))
    await spooled.file!.commit('one')
    expect(await readdir(folder)).toEqual(['one'])
    expect((await readFile(join(folder, 'one'))).equals(bytes)).toBe(true)
  })

  test('of nothing is nothing', async () => {
    expect(await spoolBody(null, folder, 10)).toMatchObject({ inline: null, file: null })
  })

  test('above the maximum is refused and leaves nothing', async () => {
    const chunks = Array.from({ length: 20 }, () => randomBytes(10_000))
    await expect(spoolBody(Readable.from(chunks), folder, 150_000)).rejects.toMatchObject({ code: 'BODY_TOO_LARGE' })
    expect(await readdir(folder)).toEqual([])
  })

  test('that ends early is refused and leaves nothing', async () => {
    const broken = Readable.from(
      (async function* () {
        yield randomBytes(100_000)
        throw new Error('connection reset')
      })(),
    )
    await expect(spoolBody(broken, folder, 1_000_000)).rejects.toMatchObject({ code: 'BODY_ABORTED' })
    expect(await readdir(folder)).toEqual([])
  })
})

describe('a sweep', () => {
  test('removes what is old and not needed, and half-written files, but nothing young', async () => {
    const unfinished = await DurableFile.create(folder)
    await unfinished.write(Buffer.from('half'))
    for (const name of ['needed', 'useless', 'young']) await writeFile(join(folder, name), name)
    for (const name of await readdir(folder)) if (name !== 'young') await utimes(join(folder, name), 100, 100)
    const removed = await sweepFolder(folder, 1_000_000, async (name) => name === 'needed')
    expect(removed).toBe(2)
    expect((await readdir(folder)).sort()).toEqual(['needed', 'young'])
    await unfinished.discard()
  })

  test('of a folder that is not there removes nothing', async () => {
    expect(await sweepFolder(join(folder, 'none'), Date.now(), async () => false)).toBe(0)
    expect(await fileBytes(folder, 'none')).toBeNull()
  })
})
