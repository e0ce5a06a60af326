// What is kept of named texts after every kind of end: closed, killed, cut in the middle of a line, a full disk, an earlier release.
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type TextChange, TextMapFile, type TextMapForm } from '../../../../runtime/host/text-map-file.ts'
import { documentsForm } from '../../../../worker/registry/documents-form.ts'
import { until } from '../../../support/until.ts'

let folder: string
let path: string
const opened: TextMapFile[] = []
const form: TextMapForm = documentsForm((error) => {
  throw error
})

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'thaw-texts-'))
  path = join(folder, 'things.json')
})
afterEach(async () => {
  for (const file of opened.splice(0)) await file.close().catch(() => {})
  rmSync(folder, { recursive: true, force: true })
})

/** An owner: texts in memory, the file beside them. */
async function open() {
  const texts = new Map<string, string>()
  const warnings: string[] = []
  const { file, found } = await TextMapFile.open({
    path,
    form,
    texts: () => texts,
    warn: (error) => warnings.push(error.message),
  })
  opened.push(file)
  for (const [key, text] of found?.texts ?? []) texts.set(key, text)
  let epoch = found?.epoch ?? 0
  const change = async (...changes: readonly TextChange[]): Promise<void> => {
    for (const [key, text] of changes) text === null ? texts.delete(key) : texts.set(key, text)
    await file.append(++epoch, changes)
  }
  return { texts, file, change, warnings, epoch: () => epoch }
}
const names = () => readdirSync(folder).sort()
const bytes = () => names().reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)

test('what was put and removed is there after a kill, and after a stop in one file', async () => {
  const one = await open()
  await one.change(['a', '1'], ['b', '2'])
  await one.change(['a', null], ['c', '3'])
  const killed = await open()
  expect([...killed.texts]).toEqual([
    ['b', '2'],
    ['c', '3'],
  ])
  expect(killed.epoch()).toBe(2)
  await killed.file.close()
  expect(names()).toEqual(['things.json'])
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ epoch: 2, documents: { b: '2', c: '3' } })
  expect([...(await open()).texts]).toEqual([...killed.texts])
})

test('a line that a crash cut short costs that change alone, and later ones go to another log', async () => {
  const one = await open()
  await one.change(['a', '1'])
  appendFileSync(join(folder, 'things.json.log.1'), 'deadbeef [2,[["b","2"')
  const two = await open()
  expect([...two.texts]).toEqual([['a', '1']])
  await two.change(['c', '3'])
  expect([...(await open()).texts]).toEqual([
    ['a', '1'],
    ['c', '3'],
  ])
})

test('a change writes as much whether ten or ten thousand are there', async () => {
  const { change } = await open()
  const costOf = async (): Promise<number> => {
    const before = bytes()
    await change(['x'.repeat(20), '5'.repeat(100)])
    return bytes() - before
  }
  await change(...Array.from({ length: 10 }, (_, i) => [`k${i}`, 'text'] as const))
  const few = await costOf()
  await change(...Array.from({ length: 10_000 }, (_, i) => [`k${i}`, 'text'] as const))
  expect(Math.abs((await costOf()) - few)).toBeLessThan(10)
})

test('the whole is written again when the log has outgrown it, while changes go on', async () => {
  const { change, texts } = await open()
  for (let round = 0; round < 40; round++) await change([`k${round % 4}`, String(round).repeat(10_000)])
  await until('the old logs are gone', () => names().includes('things.json') && names().length <= 3)
  await change(['last', 'one'])
  expect(bytes()).toBeLessThan(40 * 10_000)
  expect(new Map((await open()).texts)).toEqual(texts)
})

test('a whole that a crash left beside its old logs does not take them in', async () => {
  const one = await open()
  await one.change(['a', 'old'])
  const log = readFileSync(join(folder, 'things.json.log.1'))
  await one.change(['a', 'new'])
  await one.file.rewrite(2)
  writeFileSync(join(folder, 'things.json.log.1'), log)
  expect([...(await open()).texts]).toEqual([['a', 'new']])
  expect(names()).toEqual(['things.json'])
})

test('a file of an earlier release is read, whatever logs lie beside it, and made whole by the first change', async () => {
  writeFileSync(path, '{"epoch":9,"documents":{"a":"1"}}')
  writeFileSync(join(folder, 'things.json.log.4'), 'of a later release, before it was taken back\n')
  const one = await open()
  expect([...one.texts]).toEqual([['a', '1']])
  expect(one.epoch()).toBe(9)
  await one.change(['b', '2'])
  expect(names()).toEqual(['things.json'])
  await one.change(['c', '3'])
  expect([...(await open()).texts.keys()]).toEqual(['a', 'b', 'c'])
})

test('a change that could not be written is in the next whole', async () => {
  const one = await open()
  await one.change(['a', '1'])
  rmSync(folder, { recursive: true })
  await one.file.close().catch(() => {})
  const { file, texts, change } = await open()
  await expect(change(['b', '2'])).rejects.toThrow('ENOENT')
  rmSync(folder, { recursive: true, force: true })
  const { mkdirSync } = await import('node:fs')
  mkdirSync(folder)
  await change(['c', '3'])
  expect(new Map((await open()).texts)).toEqual(texts)
  expect(texts.size).toBe(2)
  await file.close()
})
