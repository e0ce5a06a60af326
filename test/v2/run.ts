// `npm run test:v2`: the kernel tests and one end-to-end test on a machine with cgroup v2 alone, which is a guest under QEMU.
// `npm run test:v2 -- FILTER…` hands its arguments to vitest; `-- --command 'sh…'` runs something else in such a guest.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runInGuest } from './guest-machine.ts'
import { findMachine, shellWord } from './initramfs.ts'

const project = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')
const TIMEOUT_MS = 600_000
/** Emulated instructions take 10 to 20 times as long. */
const TIME_SCALE = 8

interface SuiteReport {
  numPassedTests: number
  numFailedTests: number
  numPendingTests: number
  numTodoTests: number
}

const args = process.argv.slice(2)
const own = args[0] === '--command' ? (args[1] ?? '') : null
const vitest = [
  ...[process.execPath, join(project, 'node_modules/vitest/vitest.mjs'), 'run', '--project', 'v2'],
  ...['--reporter=default', '--reporter=json', '--outputFile=/out/report.json', ...args],
]

const abort = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => abort.abort())
const started = performance.now()
const result = await runInGuest({
  machine: findMachine(join(project, '.cache', 'v2')),
  project,
  command: own ?? vitest.map(shellWord).join(' '),
  timeScale: TIME_SCALE,
  timeoutMs: TIMEOUT_MS,
  print: (text) => void process.stdout.write(text),
  signal: abort.signal,
})
const seconds = ((performance.now() - started) / 1000).toFixed(1)
if (result.timedOut) console.log(`v2: ended after ${TIMEOUT_MS / 1000} s`)
else if (result.status === null) console.log('v2: the guest ended before its command did')
console.log(`v2: ${result.status === 0 ? 'ok' : 'FAILED'} (${seconds} s)`)
if (own === null) process.exitCode = printCounts(result.output('report.json'), result.status === 0)
else process.exitCode = result.status ?? 1

/** Prints `N passed, N failed`; a skipped test counts as failed. Returns the exit status. */
function printCounts(text: string | null, ok: boolean): number {
  const report = text === null ? null : (JSON.parse(text) as SuiteReport)
  const passed = report?.numPassedTests ?? 0
  const broken = (report?.numFailedTests ?? 0) + (report?.numPendingTests ?? 0) + (report?.numTodoTests ?? 0)
  const failed = broken === 0 && !ok ? 1 : broken
  console.log(`${passed} passed, ${failed} failed`)
  return failed === 0 && passed > 0 ? 0 : 1
}
