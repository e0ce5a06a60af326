// All attacks as the table of docs/security.md. Run by hand it writes that table: `bin/node test/attack/table.ts --write`.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Attack, FAMILIES, type Family } from './attacks.ts'
import { BOMB_ATTACKS } from './bomb-attacks.ts'
import { CHARGED_BUDGETS, DRIPS, FILLED_BUDGETS, REFUSED_BUDGETS } from './budget-attacks.ts'
import { CALLER_ATTACKS } from './caller-attacks.ts'
import { FILE_ATTACKS } from './file-attacks.ts'
import { KERNEL_ATTACKS } from './kernel-attacks.ts'
import { LOOP_ATTACKS } from './loop-attacks.ts'
import { STATE_ATTACKS } from './state-attacks.ts'
import { FORGED_ATTACKS, POISON_ATTACKS, SMUGGLED_ATTACKS } from './wire-attacks.ts'

export const SECURITY_PAGE = fileURLToPath(new URL('../../docs/security.md', import.meta.url))
const BEGIN = '<!-- attacks: written by test/attack/table.ts -->'
const END = '<!-- end of attacks -->'

export const ALL_ATTACKS: readonly Attack[] = [
  ...FILE_ATTACKS,
  ...KERNEL_ATTACKS,
  ...BOMB_ATTACKS,
  ...REFUSED_BUDGETS,
  ...FILLED_BUDGETS,
  ...CHARGED_BUDGETS,
  ...DRIPS,
  ...FORGED_ATTACKS,
  ...SMUGGLED_ATTACKS,
  ...CALLER_ATTACKS,
  ...LOOP_ATTACKS,
  ...STATE_ATTACKS,
  ...POISON_ATTACKS,
]

/** One table a family, a row an attack. */
export function attackTables(): string {
  const tables = (Object.keys(FAMILIES) as Family[]).map((family) => {
    const rows = ALL_ATTACKS.filter((attack) => attack.family === family).map(
      ({ id, tries, contained }) => `| ${id} | ${cell(tries)} | ${cell(contained)} |`,
    )
    return [`### ${FAMILIES[family]}`, '| case | tries to | what comes of it |', '|---|---|---|', ...rows].join('\n')
  })
  return tables.join('\n\n')
}

/** The page with the tables as they should be. Throws an Error when the page has no place for them. */
export function withTables(page: string): string {
  const from = page.indexOf(BEGIN)
  const to = page.indexOf(END)
  if (from < 0 || to < from) throw new Error(`docs/security.md has no "${BEGIN}" … "${END}"`)
  return `${page.slice(0, from + BEGIN.length)}\n${attackTables()}\n${page.slice(to)}`
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}

if (process.argv[1] === join(import.meta.dirname, 'table.ts') && process.argv[2] === '--write')
  writeFileSync(SECURITY_PAGE, withTables(readFileSync(SECURITY_PAGE, 'utf8')))
