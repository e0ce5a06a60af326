import { Readable } from 'node:stream'
import fc from 'fast-check'
import { packTar } from 'modern-tar'
import { expect, test } from 'vitest'
import { TarReader } from '../../../gateway/upload/tar-reader.ts'

/** A stream of the bytes in pieces of one size. */
function pieces(bytes: Uint8Array, size: number): Readable {
  const chunks: Buffer[] = []
  for (let offset = 0; offset < bytes.length; offset += size)
    chunks.push(Buffer.from(bytes.subarray(offset, offset + size)))
  return Readable.from(chunks)
}

async function readAll(bytes: Uint8Array, size: number): Promise<[string, string][]> {
  const reader = new TarReader(pieces(bytes, size))
  const found: [string, string][] = []
  for (let member = await reader.next(); member !== null; member = await reader.next())
    found.push([member.name, (await reader.body(member.name, 10_000)).toString()])
  return found
}

const name = fc.stringMatching(/^[a-z]{1,60}(\/[a-zäß]{1,60}){0,5}$/)
test('members come out as they went in, however the bytes are cut', async () => {
  const members = fc.array(fc.tuple(name, fc.string({ maxLength: 2000 })), { maxLength: 5 })
  await fc.assert(
    fc.asyncProperty(members, fc.integer({ min: 1, max: 3000 }), async (expected, size) => {
      const entries = expected.map(([each, body]) => ({
        header: { name: each, size: Buffer.byteLength(body), type: 'file' as const },
        body,
      }))
      expect(await readAll(await packTar(entries), size)).toEqual(expected)
    }),
    { numRuns: 60 },
  )
})

test('bodies that nobody reads are skipped', async () => {
  const tar = await packTar(['a', 'b'].map((each) => ({ header: { name: each, size: 700 }, body: 'x'.repeat(700) })))
  const reader = new TarReader(pieces(tar, 100))
  expect([(await reader.next())?.name, (await reader.next())?.name, await reader.next()]).toEqual(['a', 'b', null])
})

test('bytes that are no tar throw DEPLOY_INVALID and nothing else', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 1500 }), async (bytes) => {
      if (bytes.slice(0, 512).every((byte) => byte === 0) && bytes.length >= 512) return
      await expect(readAll(bytes, 512)).rejects.toMatchObject({ code: 'DEPLOY_INVALID' })
    }),
    { numRuns: 100 },
  )
})

test('one flipped byte in a header is noticed', async () => {
  const tar = await packTar([{ header: { name: 'a', size: 1 }, body: 'x' }])
  for (const index of [0, 50, 100, 124, 148, 156, 257, 400]) {
    const broken = Uint8Array.from(tar)
    broken[index] = broken[index]! ^ 0x41
    await expect(readAll(broken, 512)).rejects.toMatchObject({ code: 'DEPLOY_INVALID' })
  }
})
