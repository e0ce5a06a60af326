// `npm run test:mutation [-- TEXT]`: breaks the decisive lines one after the other in a copy of the tree, and expects the tests
// to notice. By hand, not in CI: it proves the tests, not the product. Exits 1 when a broken line stays green or a row is stale.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { MUTANTS, type Mutant } from './mutants.ts'

const ROOT = join(import.meta.dirname, '../..')
const TEST_DEADLINE_MS = 180_000

function copyOfTree(): string {
  const copy = mkdtempSync(join(tmpdir(), 'thaw-mutation-'))
  const tracked = spawnSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
  }).stdout.split('\0')
  for (const file of tracked.filter((name) => name !== '' && name !== 'node_modules')) {
    mkdirSync(dirname(join(copy, file)), { recursive: true })
    cpSync(join(ROOT, file), join(copy, file))
  }
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
  return copy
}

/** True when the tests pass. `tell`: prints what failed. */
function isGreen(copy: string, project: string, tests: readonly string[], tell = false): boolean {
  const files = [...new Set(tests)].map((test) => `test/${project}/${test}`)
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs')
  const run = spawnSync(process.execPath, [vitest, 'run', '--project', project, '--bail', '1', ...files], {
    cwd: copy,
    timeout: TEST_DEADLINE_MS,
    encoding: 'utf8',
  })
  if (run.stdout?.includes('No test files found')) throw new Error(`no tests at ${files.join(' ')}`)
  if (tell && run.status !== 0) console.error(run.stdout, run.stderr)
  return run.status === 0
}

function judge(copy: string, mutant: Mutant): 'noticed' | 'STAYED GREEN' | 'STALE' {
  const path = join(copy, mutant.file)
  const source = readFileSync(path, 'utf8')
  if (source.split(mutant.find).length !== 2) return 'STALE'
  writeFileSync(
    path,
    source.replace(mutant.find, () => mutant.replace),
  )
  try {
    return isGreen(copy, mutant.project, mutant.tests) ? 'STAYED GREEN' : 'noticed'
  } finally {
    writeFileSync(path, source)
  }
}

function main(): number {
  const wanted = process.argv[2] ?? ''
  const mutants = MUTANTS.filter(({ breaks, file }) => `${breaks} ${file}`.includes(wanted))
  const copy = copyOfTree()
  try {
    for (const project of new Set(mutants.map((mutant) => mutant.project))) {
      const tests = mutants.filter((mutant) => mutant.project === project).flatMap((mutant) => mutant.tests)
      if (!isGreen(copy, project, tests, true)) {
        console.error(`the ${project} tests fail before anything is broken`)
        return 1
      }
    }
    let bad = 0
    for (const mutant of mutants) {
      const verdict = judge(copy, mutant)
      if (verdict !== 'noticed') bad++
      console.log(`${verdict.padEnd(13)} ${mutant.file}: ${mutant.breaks}`)
    }
    console.log(`${mutants.length - bad} of ${mutants.length} broken lines were noticed`)
    return bad === 0 ? 0 : 1
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

process.exitCode = main()
