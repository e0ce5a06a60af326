// The suite `v2` as a whole: boots the guest, runs vitest in it, counts. Everything it prints is what the guest prints.
import { join } from 'node:path'
import { type GuestJob, type GuestResult, runInGuest } from './guest-machine.ts'
import { findMachine, shellWord } from './initramfs.ts'

/** Three times what it takes on two idle cores. */
const TIMEOUT_MS = 900_000
/** Emulated instructions take 10 to 20 times as long. */
const TIME_SCALE = 8

/** What of it `npm test` runs: the kernel's side of every limit, weights of disks, and the product from end to end. */
export const SHORT_FORM = ['test/kernel/cgroup.test.ts', 'test/kernel/limits-weight.test.ts', 'test/v2/whole.test.ts']

export interface SuiteCounts {
  readonly passed: number
  /** Skipped tests count as failed, and so does a guest that did not get to its end. */
  readonly failed: number
}

export interface SuiteOptions {
  /** Absolute path of the repository. */
  readonly project: string
  /** Arguments for vitest: files, `-t` and the like. */
  readonly args?: readonly string[]
  print(text: string): void
  /** Ends the guest at once. */
  readonly signal: AbortSignal
}

/** Runs the suite in a guest; at most 15 minutes. Throws when there is no QEMU or no kernel, with the way out. */
export async function runV2Suite(options: SuiteOptions): Promise<SuiteCounts> {
  const { project, args = [], print } = options
  const vitest = [
    ...[process.execPath, join(project, 'node_modules/vitest/vitest.mjs'), 'run', '--project', 'v2'],
    ...['--reporter=default', '--reporter=json', '--outputFile=/out/report.json', ...args],
  ]
  const result = await runCommand({ ...options, command: vitest.map(shellWord).join(' ') })
  if (result.timedOut) print(`v2: ended after ${TIMEOUT_MS / 1000} s\n`)
  else if (result.status === null) print('v2: the guest ended before its tests did\n')
  return countTests(result)
}

/** Runs any POSIX shell command in a guest. */
export function runCommand(options: Omit<SuiteOptions, 'args'> & { command: string }): Promise<GuestResult> {
  const { project, command, print, signal } = options
  const machine = findMachine(join(project, '.cache', 'v2'))
  const job: GuestJob = { machine, project, command, timeScale: TIME_SCALE, timeoutMs: TIMEOUT_MS, print, signal }
  return runInGuest(job)
}

interface SuiteReport {
  numPassedTests: number
  numFailedTests: number
  numPendingTests: number
  numTodoTests: number
}

function countTests(result: GuestResult): SuiteCounts {
  const text = result.output('report.json')
  const report = text === null ? null : (JSON.parse(text) as SuiteReport)
  const passed = report?.numPassedTests ?? 0
  const failed = (report?.numFailedTests ?? 0) + (report?.numPendingTests ?? 0) + (report?.numTodoTests ?? 0)
  // A file that fails outside its tests, or a guest that died, fails without a failed test.
  return { passed, failed: failed === 0 && (result.status !== 0 || passed === 0) ? 1 : failed }
}
