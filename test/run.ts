// `npm test`: checks, then every suite, each in a vitest of its own; a skipped test counts as failed, for a test that could
// not run proves nothing. The very last line is `N passed, N failed` over all of them.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import { runV2Suite, SHORT_FORM, type SuiteCounts } from './v2/suite.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const arch = process.arch === 'arm64' ? 'arm64' : 'x64'
const out = mkdtempSync(join(tmpdir(), 'thaw-test-'))
let passed = 0
let failed = 0
/** What went wrong, said again before the last line: of a long log often only the end is kept. */
const faults: string[] = []

function count(name: string, ok: boolean, startedMs: number): void {
  if (ok) passed++
  else failed++
  if (!ok) faults.push(name)
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
  testResults: {
    name: string
    message?: string
    assertionResults: { status: string; fullName: string; failureMessages?: string[] }[]
  }[]
}

/** Runs the command, hands its output through, and resolves to its exit status and its output as plain text. */
async function watch(command: string, args: string[]): Promise<{ status: number | null; text: string }> {
  const child = spawn(command, args, {
    cwd: root,
    stdio: ['inherit', 'pipe', 'pipe'],
    env: { FORCE_COLOR: '1', ...process.env },
  })
  const chunks: Buffer[] = []
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      process.stdout.write(chunk)
    })
  }
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, text: stripVTControlCharacters(Buffer.concat(chunks).toString()) }
}

/** The tests that failed with the first lines of why; for a run that failed without one, what vitest said outside them. */
function faultsOf(name: string, report: SuiteReport | null, text: string): string[] {
  const said: string[] = []
  for (const file of report?.testResults ?? []) {
    for (const test of file.assertionResults) {
      if (test.status === 'passed') continue
      const why = (test.failureMessages ?? []).map((message) => message.split('\n').slice(0, 12).join('\n')).join('\n')
      said.push(`${name}: ${file.name.slice(root.length)}: ${test.fullName} [${test.status}]\n${why}`)
    }
    if (file.message) said.push(`${name}: ${file.name.slice(root.length)}: ${file.message.slice(0, 1500)}`)
  }
  if (said.length > 0) return said
  const from = text.search(/Unhandled|Error:|⎯ Failed/)
  return [`${name}: failed outside its tests\n${from === -1 ? text.slice(-2000) : text.slice(from, from + 2500)}`]
}

async function suite(name: string): Promise<void> {
  const started = performance.now()
  const file = join(out, `${name}.json`)
  const args = ['run', '--project', name, '--reporter=default', '--reporter=json', `--outputFile=${file}`]
  const result = await watch(join('node_modules', '.bin', 'vitest'), args)
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
  if (result.status !== 0 || skipped > 0) faults.push(...faultsOf(name, report, result.text))
  console.log(
    `suite ${name}: ${result.status === 0 && !silent ? 'ok' : 'FAILED'} (${((performance.now() - started) / 1000).toFixed(1)} s)`,
  )
}

/** The short form of `npm run test:v2`: what a machine with cgroup v2 alone, a guest, makes of limits and of the product. */
async function guestSuite(): Promise<void> {
  const started = performance.now()
  let counts: SuiteCounts = { passed: 0, failed: 1 }
  const print = (text: string): void => void process.stdout.write(text)
  try {
    const project = root.replace(/\/$/, '')
    counts = await runV2Suite({ project, args: SHORT_FORM, print, signal: new AbortController().signal })
  } catch (error) {
    console.log(`v2: could not run: ${(error as Error).message}`)
  }
  passed += counts.passed
  failed += counts.failed
  if (counts.failed > 0) faults.push(`v2: ${counts.failed} failed; the guest's own words are above, at "RUN"`)
  console.log(
    `suite v2: ${counts.failed === 0 ? 'ok' : 'FAILED'} (${((performance.now() - started) / 1000).toFixed(1)} s)`,
  )
}

const only = process.argv.slice(2)
if (only.length === 0) {
  check('format and lint', `node_modules/@biomejs/cli-linux-${arch}/biome`, ['check', '.'])
  check('types', join('node_modules', '.bin', 'tsc'), ['--noEmit', '-p', '.'])
}
for (const name of ['unit', 'contract', 'kernel', 'e2e'])
  if (only.length === 0 || only.includes(name)) await suite(name)
if (only.length === 0 || only.includes('v2')) await guestSuite()
rmSync(out, { recursive: true, force: true })
process.exitCode = failed === 0 && passed > 0 ? 0 : 1
for (const fault of faults) console.log(`FAILED ${fault}`)
console.log(`${passed} passed, ${failed} failed`)
