import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ALL_ATTACKS, SECURITY_PAGE, withTables } from './table.ts'

test('docs/security.md has the attacks that are tried, and no others (bin/node test/attack/table.ts --write)', () => {
  const page = readFileSync(SECURITY_PAGE, 'utf8')
  expect(withTables(page)).toBe(page)
  expect(page).toContain(`${ALL_ATTACKS.length} cases`)
})

test('every budget of the whole machine names cases or test files that there are', () => {
  const section = /^## Budgets of the whole machine$(.*?)^## /ms.exec(readFileSync(SECURITY_PAGE, 'utf8'))![1]!
  const rows = section.split('\n').filter((line) => line.startsWith('|'))
  const triedBy = rows.slice(2).map((row) => row.split('|').at(-2)!.trim().split(', '))
  const ids = new Set(ALL_ATTACKS.map(({ id }) => id))
  const isThere = (name: string) => ids.has(name) || existsSync(join(import.meta.dirname, name.replaceAll('`', '')))
  expect(triedBy.length).toBeGreaterThan(20)
  expect(triedBy.flat().filter((name) => name === '' || !isThere(name))).toEqual([])
})

test('every attack has a name of its own', () => {
  const ids = ALL_ATTACKS.map(({ id }) => id)
  expect(ids.filter((id, index) => ids.indexOf(id) !== index)).toEqual([])
})
