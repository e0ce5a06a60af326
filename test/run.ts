// `npm test`: checks, then every suite, each in a vitest of its own; a skipped test counts as failed, for a test that could
// not run proves nothing. The very last line is `N passed, N failed` over all of them.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runSuite } from './support/suite-run.ts'
import { runV2Suite, SHORT_FORM, type SuiteCounts } from './v2/suite.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const arch = process.arch === 'arm64' ? 'arm64' : 'x64'
const out = mkdtempSync(join(tmpdir(), 'thaw-test-'))
let passed = 0
let failed = 0
/** What went wrong, said again before the last line: of a long log often only the end is kept. */
const faults: string[] = []
/** What failed once and passed when run again: to be mended, though it fails nothing. */
const unsteady: string[] = []

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

async function suite(name: string): Promise<void> {
  const started = performance.now()
  const result = await runSuite(root, name, out)
  passed += result.passed
  failed += result.failed
  faults.push(...result.faults)
  unsteady.push(...result.unsteady)
  console.log(
    `suite ${name}: ${result.failed === 0 ? 'ok' : 'FAILED'} (${((performance.now() - started) / 1000).toFixed(1)} s)`,
  )
}

async function guestRun(): Promise<SuiteCounts> {
  const print = (text: string): void => void process.stdout.write(text)
  try {
    const project = root.replace(/\/$/, '')
    return await runV2Suite({ project, args: SHORT_FORM, print, signal: new AbortController().signal })
  } catch (error) {
    console.log(`v2: could not run: ${(error as Error).message}`)
    return { passed: 0, failed: 1 }
  }
}

/** The short form of `npm run test:v2`: what a machine with cgroup v2 alone, a guest, makes of limits and of the product. */
async function guestSuite(): Promise<void> {
  const started = performance.now()
  let counts = await guestRun()
  if (counts.failed > 0) {
    unsteady.push('v2: the guest’s first run; its own words are above, at "RUN"')
    counts = await guestRun()
    if (counts.failed > 0) unsteady.pop()
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
for (const name of ['unit', 'contract', 'kernel', 'e2e', 'attack'])
  if (only.length === 0 || only.includes(name)) await suite(name)
if (only.length === 0 || only.includes('v2')) await guestSuite()
rmSync(out, { recursive: true, force: true })
process.exitCode = failed === 0 && passed > 0 ? 0 : 1
for (const fault of unsteady) console.log(`UNSTEADY (passed when run again) ${fault}`)
for (const fault of faults) console.log(`FAILED ${fault}`)
console.log(`${passed} passed, ${failed} failed`)
