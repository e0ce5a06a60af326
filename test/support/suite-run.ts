// Runs one suite (a project of vitest.config.ts) and counts it. Files that failed, when they are few, run once more by
// themselves: what fails twice has failed, what passes then is named as unsteady. A skipped test counts as failed.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { stripVTControlCharacters } from 'node:util'

export interface SuiteResult {
  readonly passed: number
  readonly failed: number
  /** What failed, each with the first lines of why. */
  readonly faults: readonly string[]
  /** What failed first and passed when run again. */
  readonly unsteady: readonly string[]
}

interface SuiteReport {
  numPassedTests: number
  numFailedTests: number
  numPendingTests: number
  numTodoTests: number
  testResults: {
    name: string
    status: string
    message?: string
    assertionResults: { status: string; fullName: string; failureMessages?: string[] }[]
  }[]
}

interface Run {
  readonly passed: number
  readonly failed: number
  readonly faults: readonly string[]
  /** Files with a fault, relative to the root; empty with `failed > 0` when no file is known. */
  readonly files: readonly string[]
  readonly passedIn: (file: string) => number
  readonly failedIn: (file: string) => number
}

/** More files than this that fail are no accident of timing: they are not run again. */
const MOST_FILES_AGAIN = 3
const WHY_LINES = 12
const OUTSIDE_CHARACTERS = 2500

export async function runSuite(root: string, name: string, folder: string): Promise<SuiteResult> {
  const first = await runOnce(root, name, join(folder, `${name}.json`), [])
  if (first.failed === 0 || first.files.length > MOST_FILES_AGAIN) return { ...first, unsteady: [] }
  console.log(`suite ${name}: run again: ${first.files.length === 0 ? 'all of it' : first.files.join(' ')}`)
  const second = await runOnce(root, name, join(folder, `${name}-again.json`), first.files)
  const again = new Set(first.files)
  const kept = first.files.length === 0 ? 0 : first.passed - sum(first.files, first.passedIn)
  const elsewhere =
    first.files.length === 0 ? 0 : Math.max(0, first.failed - sum(first.files, first.failedIn) - outside(first))
  return {
    passed: kept + second.passed,
    failed: elsewhere + second.failed,
    faults: second.failed === 0 ? [] : second.faults,
    unsteady:
      second.failed === 0
        ? first.faults
        : first.faults.filter((fault) => ![...again].some((file) => fault.includes(file))),
  }
}

/** Faults outside any test that the count of failed tests does not hold. */
function outside(run: Run): number {
  return run.failed > 0 && sum(run.files, run.failedIn) === 0 ? 1 : 0
}

function sum(files: readonly string[], of: (file: string) => number): number {
  return files.reduce((total, file) => total + of(file), 0)
}

async function runOnce(root: string, name: string, output: string, files: readonly string[]): Promise<Run> {
  const args = ['run', '--project', name, '--reporter=default', '--reporter=json', `--outputFile=${output}`, ...files]
  const { status, text } = await watch(root, join('node_modules', '.bin', 'vitest'), args)
  let report: SuiteReport | null = null
  try {
    report = JSON.parse(readFileSync(output, 'utf8')) as SuiteReport
  } catch {
    // no report: vitest itself died, which counts as one fault outside the tests
  }
  const skipped = (report?.numPendingTests ?? 0) + (report?.numTodoTests ?? 0)
  if (skipped > 0) console.log(`${name}: ${skipped} skipped, counted as failed`)
  const failedTests = (report?.numFailedTests ?? 0) + skipped
  // A file that fails outside its tests (an import, a hook, an unhandled rejection) fails the run without a failed test.
  const failed = failedTests === 0 && status !== 0 ? 1 : failedTests
  const countIn = (file: string, passing: boolean): number =>
    (report?.testResults ?? [])
      .filter((result) => relative(root, result.name) === file)
      .flatMap((result) => result.assertionResults)
      .filter((test) => (test.status === 'passed') === passing).length
  return {
    passed: report?.numPassedTests ?? 0,
    failed,
    faults: failed === 0 ? [] : faultsOf(root, name, report, text),
    files: failed === 0 ? [] : filesOf(root, report, text),
    passedIn: (file) => countIn(file, true),
    failedIn: (file) => countIn(file, false),
  }
}

/** Runs the command, hands its output through, and resolves to its exit status and its output as plain text. */
async function watch(root: string, command: string, args: string[]): Promise<{ status: number | null; text: string }> {
  const child = spawn(command, args, {
    cwd: root,
    stdio: ['inherit', 'pipe', 'pipe'],
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

function filesOf(root: string, report: SuiteReport | null, text: string): string[] {
  const files = new Set<string>()
  for (const file of report?.testResults ?? []) {
    const bad = file.status !== 'passed' || file.assertionResults.some((test) => test.status !== 'passed')
    if (bad) files.add(relative(root, file.name))
  }
  for (const match of text.matchAll(/This error originated in "([^"]+)" test file/g)) files.add(match[1]!)
  return [...files]
}

/** The tests that failed with the first lines of why; for a run that failed without one, what vitest said outside them. */
function faultsOf(root: string, name: string, report: SuiteReport | null, text: string): string[] {
  const said: string[] = []
  for (const file of report?.testResults ?? []) {
    const at = `${name}: ${relative(root, file.name)}`
    for (const test of file.assertionResults) {
      if (test.status === 'passed') continue
      const why = (test.failureMessages ?? []).map((message) => message.split('\n').slice(0, WHY_LINES).join('\n'))
      said.push(`${at}: ${test.fullName} [${test.status}]\n${why.join('\n')}`)
    }
    if (file.message) said.push(`${at}: ${file.message.slice(0, OUTSIDE_CHARACTERS)}`)
  }
  if (said.length > 0) return said
  const from = text.search(/Unhandled Errors|Error:|⎯ Failed/)
  const excerpt = from === -1 ? text.slice(-OUTSIDE_CHARACTERS) : text.slice(from, from + OUTSIDE_CHARACTERS)
  return [`${name}: outside its tests\n${excerpt}`]
}
