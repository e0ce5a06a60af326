import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { locateEntry } from '../../../../cli/bundle/entry.ts'

let root: string
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'fn-entry-'))
  for (const file of ['shop/index.ts', 'shop/src/index.ts', 'shop/src/pay.ts', 'shop/src/src/index.ts', 'hello.ts']) {
    mkdirSync(dirname(join(root, file)), { recursive: true })
    writeFileSync(join(root, file), '')
  }
})
afterAll(() => rmSync(root, { recursive: true }))

test.each([
  ['hello.ts', 'hello'],
  ['shop', 'shop'],
  ['shop/index.ts', 'shop'],
  ['shop/src', 'shop'],
  ['shop/src/index.ts', 'shop'],
  ['shop/src/src/index.ts', 'shop'],
  ['shop/src/pay.ts', 'pay'],
])('%s is named %s when nothing else gives a name', (path, name) => {
  expect(locateEntry(path, root).defaultName).toBe(name)
})

test('an index file named from inside its folder has the folder’s name', () => {
  expect(locateEntry('index.ts', join(root, 'shop')).defaultName).toBe('shop')
  expect(locateEntry('.', join(root, 'shop', 'src')).defaultName).toBe('shop')
})
