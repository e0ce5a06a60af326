// `npm test`: checks, then every suite, each in a vitest of its own; a skipped test counts as failed, for a test that could
// not run proves nothing. The very last line is `N passed, N failed` over all of them.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const arch = process.arch === 'arm64' ? 'arm64' : 'x64'
const out = mkdtempSync(join(tmpdir(), 'thaw-test-'))
let passed = 0
let failed = 0

function count(name: string, ok: boolean, startedMs: number): void {
  if (ok) passed++
  else failed++
  console.log(`${ok ? 'ok' : 'FAILED'}: ${name} (${((performance.now() - startedMs) / 1000).toFixed(1)} s)`)
}

function check(name: string, command: string, args: string[]): void {
  const started = performance.now()
  count(name, spawnSync(command, args, { cwd: root, stdio: 'inherit' }).status === 0, started)
}

interface SuiteReport {
  numPassedTests: number
  numFailedTests: number
  numPendingTests: number
  numTodoTests: number
  success: boolean
}

function suite(name: string): void {
  const started = performance.now()
  const file = join(out, `${name}.json`)
  const args = ['run', '--project', name, '--reporter=default', '--reporter=json', `--outputFile=${file}`]
  const result = spawnSync(join('node_modules', '.bin', 'vitest'), args, { cwd: root, stdio: 'inherit' })
  let report: SuiteReport | null = null
  try {
    report = JSON.parse(readFileSync(file, 'utf8')) as SuiteReport
  } catch {
    // no report: vitest itself died; counted below
  }
  const skipped = (report?.numPendingTests ?? 0) + (report?.numTodoTests ?? 0)
  if (skipped > 0) console.log(`${name}: ${skipped} skipped, counted as failed`)
  passed += report?.numPassedTests ?? 0
  failed += (report?.numFailedTests ?? 0) + skipped
  // A file that fails outside its tests (an import, a hook, an unhandled rejection) fails the run without a failed test.
  const silent = result.status !== 0 && (report?.numFailedTests ?? 0) + skipped === 0
  if (silent) failed++
  console.log(
    `suite ${name}: ${result.status === 0 && !silent ? 'ok' : 'FAILED'} (${((performance.now() - started) / 1000).toFixed(1)} s)`,
  )
}

const only = process.argv.slice(2)
if (only.length === 0) {
  check('format and lint', `node_modules/@biomejs/cli-linux-${arch}/biome`, ['check', '.'])
  check('types', join('node_modules', '.bin', 'tsc'), ['--noEmit', '-p', '.'])
}
for (const name of ['unit', 'contract', 'kernel', 'e2e']) if (only.length === 0 || only.includes(name)) suite(name)
rmSync(out, { recursive: true, force: true })
process.exitCode = failed === 0 && passed > 0 ? 0 : 1
console.log(`${passed} passed, ${failed} failed`)
