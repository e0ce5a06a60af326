import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { packTar, type TarEntry } from 'modern-tar'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { extractTar } from '../../../../runtime/image/extract.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'thaw-extract-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const file = (name: string, body: string): TarEntry => ({ header: { name, size: body.length }, body })
const link = (name: string, linkname: string): TarEntry => ({ header: { name, size: 0, type: 'link', linkname } })

async function extract(entries: TarEntry[], bounds: { maxBytes?: number; maxMembers?: number }): Promise<void> {
  const tar = join(folder, 'add-on.tar')
  writeFileSync(tar, await packTar(entries))
  const roots = new Map([
    ['node_modules', 'code/node_modules'],
    ['files', 'code'],
  ])
  const options = { roots, maxBytes: 100, maxMembers: 10, ...bounds }
  await extractTar(tar, folder, options)
}

describe('unpacking an add-on archive', () => {
  test('takes what is within its bounds', async () => {
    await extract([file('node_modules/a', 'x'.repeat(50)), file('node_modules/b', 'x'.repeat(50))], {})
    expect(existsSync(join(folder, 'code/node_modules/b'))).toBe(true)
  })

  test('stops at the highest size of all members together', async () => {
    const entries = [file('node_modules/a', 'x'.repeat(50)), file('node_modules/b', 'x'.repeat(51))]
    await expect(extract(entries, {})).rejects.toThrow(/node_modules\/b.*more than 100 bytes unpacked/)
  })

  test('counts what a hard link copies', async () => {
    const entries = [file('node_modules/a', 'x'.repeat(60)), link('node_modules/b', 'node_modules/a')]
    await expect(extract(entries, {})).rejects.toThrow(/node_modules\/b.*more than 100 bytes unpacked/)
  })

  test('stops at the highest number of members', async () => {
    const entries = ['a', 'b', 'c'].map((name) => file(`node_modules/${name}`, ''))
    await expect(extract(entries, { maxMembers: 2 })).rejects.toThrow(/node_modules\/c.*more than 2 members/)
  })
})
