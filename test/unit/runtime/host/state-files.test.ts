import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { diskFull, makeFolder, sweepDrafts, writeDurable } from '../../../../runtime/host/durable-file.ts'
import { expectLinuxRoot, parseSwapBytes } from '../../../../runtime/host/host-report.ts'
import { stateId } from '../../../../runtime/host/state-id.ts'
import { claimUidRanges } from '../../../../runtime/host/uid-ranges.ts'
import { recordSyncs } from '../../../support/syncs.ts'

const folder = mkdtempSync(join(tmpdir(), 'thaw-state-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('a durable write', () => {
  test('replaces the file as a whole and leaves no draft', async () => {
    const path = join(folder, 'file')
    await writeDurable(path, 'one')
    await writeDurable(path, Buffer.from('two'))
    expect(readFileSync(path, 'utf8')).toBe('two')
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(readdirSync(folder)).toEqual(['file'])
  })

  test('of pieces is on disk first, then under its name, then the name is', async () => {
    const path = join(folder, 'pieces')
    const syncs = await recordSyncs(() => existsSync(path))
    async function* pieces() {
      yield 'one '
      yield 'two'
    }
    await writeDurable(path, pieces())
    expect(readFileSync(path, 'utf8')).toBe('one two')
    expect(syncs()).toEqual([
      [expect.stringMatching(/pieces\.[0-9a-f]{12}\.tmp$/), false],
      [folder, true],
    ])
    rmSync(path)
  })

  test('that a kill cut short is swept away, and nothing else is', async () => {
    for (const name of ['file.0123456789ab.tmp', 'mine.tmp', 'file.tmp.txt']) writeFileSync(join(folder, name), '')
    await sweepDrafts(folder)
    expect(readdirSync(folder).sort()).toEqual(['file', 'file.tmp.txt', 'mine.tmp'])
    for (const name of ['mine.tmp', 'file.tmp.txt']) rmSync(join(folder, name))
  })

  test('says that the disk is full, and keeps other errors as they are', () => {
    expect(diskFull(Object.assign(new Error('x'), { code: 'ENOSPC' }), '/p')).toMatchObject({ code: 'DISK_FULL' })
    const other = Object.assign(new Error('x'), { code: 'EACCES' })
    expect(diskFull(other, '/p')).toBe(other)
  })
})

describe('the id of a state directory', () => {
  test('is made once and stays', async () => {
    const state = join(folder, 'state')
    const id = await stateId(state)
    expect(id).toMatch(/^[0-9a-f]{8}$/)
    expect(await stateId(state)).toBe(id)
  })

  test('is made anew when the file holds something else', async () => {
    const state = join(folder, 'spoiled')
    await stateId(state)
    writeFileSync(join(state, 'id'), '../../etc\n')
    expect(await stateId(state)).toMatch(/^[0-9a-f]{8}$/)
  })
})

describe('uid ranges', () => {
  test('of two platforms never overlap, and of one are handed out once', () => {
    const [one, two] = [claimUidRanges('aaaa0000', folder), claimUidRanges('aaaa1111', folder)]
    const bases = [one.acquire(), one.acquire(), two.acquire(), two.acquire()]
    for (const [index, base] of bases.entries()) {
      expect(base % 65_536).toBe(0)
      expect(base).toBeGreaterThanOrEqual(0x70000000)
      expect(base + 65_536).toBeLessThan(2 ** 32 - 65_536)
      for (const other of bases.slice(index + 1)) expect(Math.abs(base - other)).toBeGreaterThanOrEqual(65_536)
    }
    one.close()
    two.close()
    expect(readdirSync(join(folder, 'uids'))).toEqual([])
  })

  test('run out with an error, and come back when released', () => {
    const ranges = claimUidRanges('bbbb0000', folder)
    const bases = Array.from({ length: 1024 }, () => ranges.acquire())
    expect(() => ranges.acquire()).toThrow('in use')
    ranges.release(bases[5]!)
    ranges.release(bases[5]!)
    expect(ranges.acquire()).toBe(bases[5])
    expect(() => ranges.acquire()).toThrow('in use')
    ranges.close()
  })
})

describe('this host', () => {
  test.each([
    ['darwin', 0, 'need Linux'],
    ['linux', 1000, 'sudo'],
  ])('%s with uid %i will not do, and says why', (platform, uid, text) => {
    expect(() => expectLinuxRoot(platform, uid)).toThrow(text)
    expect(() => expectLinuxRoot(platform, uid)).toThrow(expect.objectContaining({ code: 'HOST_UNSUITABLE' }))
  })

  test('its swap is the sum of its areas', () => {
    expect(parseSwapBytes('Filename Type Size Used Priority\n')).toBe(0)
    expect(parseSwapBytes('Filename Type Size\n/dev/zram0 partition 1024 0 5\n/swap file 2048 0 -2\n')).toBe(
      3 * 1024 * 1024,
    )
  })
})

test('a folder that the kernel does not let be made is an error at once', async () => {
  await expect(makeFolder('/proc/thaw/deep', 0o700)).rejects.toMatchObject({ code: 'ENOENT' })
  await expect(makeFolder('/dev/null/thaw', 0o700)).rejects.toMatchObject({ code: 'ENOTDIR' })
  await expect(makeFolder('/dev/null', 0o700)).rejects.toMatchObject({ code: 'EEXIST' })
})
