import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ALL_ATTACKS, SECURITY_PAGE, withTables } from './table.ts'

test('docs/security.md has the attacks that are tried, and no others (bin/node test/attack/table.ts --write)', () => {
  const page = readFileSync(SECURITY_PAGE, 'utf8')
  expect(withTables(page)).toBe(page)
  expect(page).toContain(`${ALL_ATTACKS.length} cases`)
})

test('every attack has a name of its own', () => {
  const ids = ALL_ATTACKS.map(({ id }) => id)
  expect(ids.filter((id, index) => ids.indexOf(id) !== index)).toEqual([])
})
