import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Documents } from '../../../../worker/registry/documents.ts'
import type { RedisStore } from '../../../../worker/store/connect.ts'
import { silentLogger } from '../../../support/real-clock.ts'
import { recordSyncs } from '../../../support/syncs.ts'

let stateDir: string
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'thaw-documents-'))
})
afterEach(() => rmSync(stateDir, { recursive: true }))

/** Answers as the scripts of documents.ts do: a put has four arguments, a read none. */
function redisInMemory(): RedisStore {
  const texts = new Map<string, string>()
  let epoch = 0
  const script = async (_lua: string, _keys: readonly string[], args: readonly string[]) => {
    if (args.length === 0) return [String(epoch), [...texts].flat()]
    texts.set(args[0] ?? '', args[1] ?? '')
    epoch++
    return 1
  }
  return { script, subscribe: () => () => {} } as unknown as RedisStore
}

test('a change is in the copy, and the copy’s name on disk, before whoever made it has an answer', async () => {
  const path = join(stateDir, 'tokens.json')
  const documents = await new Documents<number>({
    redis: redisInMemory(),
    stateDir,
    kind: 'tokens',
    logger: silentLogger,
  }).open()
  const syncs = await recordSyncs(() => readdirSync(stateDir).includes('tokens.json'))
  expect(await documents.put('one', 1, 'new')).toBe(true)
  expect(syncs()).toEqual([
    [expect.stringMatching(/tokens\.json\..*tmp$/), false],
    [stateDir, true],
  ])
  expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({ epoch: 1, documents: { one: '1' } })
  await documents.close()
})
