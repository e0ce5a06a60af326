import { createReadStream, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { packTar } from 'modern-tar'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type LayeredImageStore, openImageStore } from '../../../../runtime/image/image-store.ts'

let root: string
let theirs: LayeredImageStore
let ours: LayeredImageStore

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'thaw-adopt-'))
  theirs = await openImageStore(join(root, 'theirs'))
  ours = await openImageStore(join(root, 'ours'))
})
afterEach(async () => {
  await theirs.close()
  await ours.close()
  rmSync(root, { recursive: true, force: true })
})

const read = async (digest: string) => createReadStream(theirs.blobFile(digest))

async function putTheirs(): Promise<string> {
  const addonTar = join(root, 'add-on.tar')
  const body = 'exports.x = 1'
  const header = { name: 'node_modules/x/index.js', size: body.length, mode: 0o644 }
  writeFileSync(addonTar, await packTar([{ header, body }]))
  const source = Buffer.from('module.exports = 1')
  return (await theirs.put({ source, sourceMap: null, addonTar, config: { entry: 'x' } })).digest
}

test('an image of another store is taken in whole, its layers unpacked when it is asked for', async () => {
  const digest = await putTheirs()
  expect(ours.has(digest)).toBe(false)
  await ours.adopt(digest, read)
  expect(ours.has(digest)).toBe(true)
  const image = await ours.get(digest)
  expect(image).toMatchObject({ digest, config: { entry: 'x' } })
  expect(image.source.toString()).toBe('module.exports = 1')
  expect(readdirSync(await ours.layerFolder(image.layers[0]!))).toEqual(['code'])
  expect(readdirSync(join(root, 'ours/blobs/adopted'))).toEqual([])
})

test('an image that is here is not asked for', async () => {
  const digest = await putTheirs()
  await ours.adopt(digest, read)
  let asked = 0
  await ours.adopt(digest, (blob) => {
    asked++
    return read(blob)
  })
  expect(asked).toBe(0)
})

test('a blob that arrives with other content is refused, and nothing of the image stays', async () => {
  const digest = await putTheirs()
  const before = readdirSync(join(root, 'ours/blobs/sha256'))
  const forged = async (blob: string) => (blob === digest ? read(blob) : Readable.from([Buffer.from('forged')]))
  await expect(ours.adopt(digest, forged)).rejects.toMatchObject({ code: 'IMAGE_CORRUPT' })
  expect(ours.has(digest)).toBe(false)
  expect(readdirSync(join(root, 'ours/blobs/sha256'))).toEqual(before)
  expect(readdirSync(join(root, 'ours/blobs/adopted'))).toEqual([])
})

test('a sender that breaks off leaves nothing', async () => {
  const digest = await putTheirs()
  const broken = async () =>
    new Readable({
      read() {
        this.destroy(new Error('connection lost'))
      },
    })
  await expect(ours.adopt(digest, broken)).rejects.toThrow('connection lost')
  await ours.adopt(digest, read)
  expect(ours.has(digest)).toBe(true)
})

test('pruning meanwhile does not remove what is on its way', async () => {
  const digest = await putTheirs()
  await ours.adopt(digest, async (blob) => {
    await ours.prune(new Set())
    return read(blob)
  })
  expect((await ours.get(digest)).source.toString()).toBe('module.exports = 1')
})
