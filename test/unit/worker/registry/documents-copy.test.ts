import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
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

/** Answers as the scripts and commands of documents.ts do. */
function redisInMemory(): RedisStore {
  const texts = new Map<string, string>()
  let epoch = 0
  const script = async (_lua: string, _keys: readonly string[], [key = '', text = '']: readonly string[]) => {
    texts.set(key, text)
    return [1, ++epoch, text]
  }
  const command = async (name: string) => (name === 'GET' ? String(epoch) : ['0', [...texts].flat()])
  return { script, command, subscribe: () => () => {} } as unknown as RedisStore
}

const open = () =>
  new Documents<number>({ redis: redisInMemory(), stateDir, kind: 'tokens', logger: silentLogger }).open()

test('a change is on disk before whoever made it has an answer', async () => {
  const documents = await open()
  const syncs = await recordSyncs(() => readdirSync(stateDir).includes('tokens.json.log.1'))
  expect(await documents.put('ns/one', 1, 'new')).toBe(true)
  expect(syncs()).toEqual([
    [stateDir, true],
    [join(stateDir, 'tokens.json.log.1'), true],
  ])
  await documents.close()
  expect(JSON.parse(readFileSync(join(stateDir, 'tokens.json'), 'utf8'))).toMatchObject({
    epoch: 1,
    documents: { 'ns/one': '1' },
  })
})

test('the file of an earlier release is read while Redis is away', async () => {
  writeFileSync(join(stateDir, 'tokens.json'), '{"epoch":4,"documents":{"ns/one":"1","ns/two":"2"}}')
  const away = { command: () => Promise.reject(new Error('away')), subscribe: () => () => {} } as unknown as RedisStore
  const documents = await new Documents<number>({
    redis: away,
    stateDir,
    kind: 'tokens',
    logger: silentLogger,
  }).open()
  expect([...documents.entries()]).toEqual([
    ['ns/one', 1],
    ['ns/two', 2],
  ])
  expect(documents.names('ns').all()).toEqual(['one', 'two'])
  await documents.close()
})
