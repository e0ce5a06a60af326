// `npm run test:v2`: the kernel tests and one end-to-end test on a machine with cgroup v2 alone, which is a guest under QEMU.
// `npm run test:v2 -- FILTER…` hands its arguments to vitest; `-- --short` runs what `npm test` runs of it, `-- --command 'sh…'`
// something else in such a guest.
import { fileURLToPath } from 'node:url'
import { runCommand, runV2Suite, SHORT_FORM } from './suite.ts'

const project = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')
const abort = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => abort.abort())
const options = { project, print: (text: string) => void process.stdout.write(text), signal: abort.signal }
const args = process.argv.slice(2)
const started = performance.now()
const seconds = (): string => `(${((performance.now() - started) / 1000).toFixed(1)} s)`

if (args[0] === '--command') {
  const { status } = await runCommand({ ...options, command: args[1] ?? '' })
  console.log(`v2: ${status === null ? 'the guest ended before its command did' : `exit ${status}`} ${seconds()}`)
  process.exitCode = status ?? 1
} else {
  const { passed, failed } = await runV2Suite({ ...options, args: args[0] === '--short' ? SHORT_FORM : args })
  console.log(`suite v2: ${failed === 0 ? 'ok' : 'FAILED'} ${seconds()}`)
  console.log(`${passed} passed, ${failed} failed`)
  process.exitCode = failed === 0 ? 0 : 1
}
