// Code caches on disk: kept for one version under one engine, checked, bounded, and gone with the version.
import { mkdtempSync, readdirSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CodeCaches, cacheBytesFor } from '../../../worker/code-caches.ts'
import { silentLogger } from '../../support/real-clock.ts'
import { versionOf } from '../../support/samples.ts'

let directory: string
beforeEach(() => {
  directory = join(mkdtempSync(join(tmpdir(), 'thaw-caches-')), 'code-cache')
})
afterEach(() => rmSync(join(directory, '..'), { recursive: true, force: true }))

const open = (engine = 'v24 x64') => new CodeCaches({ directory, engine, logger: silentLogger })
const CACHE = Buffer.from('compiled')

/** A store opened after another one has kept `CACHE` for hello. */
async function reopened(engine?: string): Promise<CodeCaches> {
  const first = open()
  first.put(versionOf('hello'), CACHE)
  await first.close()
  return open(engine)
}

test.each([
  [1000, 0],
  [100_000, 400_000],
  [100_000_000, 16 * 1024 ** 2],
])('a source of %d bytes may have a cache of at most %d', (source, cache) => {
  expect(cacheBytesFor(source)).toBe(cache)
})

describe('a code cache', () => {
  test('is there after a restart', async () => {
    expect(await (await reopened()).get(versionOf('hello'))).toEqual(CACHE)
  })

  test('is nobody else’s: not another function’s, version’s, namespace’s or image’s', async () => {
    const caches = await reopened()
    const hello = versionOf('hello')
    const others = [versionOf('other'), versionOf('hello', {}, 2), { ...hello, namespace: 'team' }]
    for (const other of [...others, { ...hello, image: 'sha256:x' }]) expect(await caches.get(other)).toBeNull()
  })

  test('of another Node is none', async () => {
    expect(await (await reopened('v25 x64')).get(versionOf('hello'))).toBeNull()
  })

  test('that was cut short is none', async () => {
    const caches = await reopened()
    const [file] = readdirSync(directory)
    truncateSync(join(directory, file!), 36)
    expect(await caches.get(versionOf('hello'))).toBeNull()
  })

  test('goes with its version', async () => {
    const caches = await reopened()
    caches.put(versionOf('kept'), CACHE)
    caches.retire(({ name }) => name === 'kept')
    await caches.close()
    expect(readdirSync(directory)).toHaveLength(1)
    expect([await caches.get(versionOf('hello')), await caches.get(versionOf('kept'))]).toEqual([null, CACHE])
  })
})
