// `npm run check`: format, lint, types and unit tests; `--fix` writes the format and docs/cli.md. Ends with 1 when any of them fails.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const arch = process.arch === 'arm64' ? 'arm64' : 'x64'
const fix = process.argv.includes('--fix')
const steps: [name: string, command: string, args: string[]][] = [
  ['format, lint', `node_modules/@biomejs/cli-linux-${arch}/biome`, ['check', ...(fix ? ['--write'] : []), '.']],
  ...(fix
    ? ([['docs/cli.md', process.execPath, ['cli/reference.ts']]] satisfies [string, string, string[]][])
    : ([
        ['types', 'node_modules/.bin/tsc', ['--noEmit', '-p', '.']],
        ['unit tests', 'node_modules/.bin/vitest', ['run', '--project', 'unit']],
      ] satisfies [string, string, string[]][])),
]
let failed = 0
for (const [name, command, args] of steps) {
  const started = performance.now()
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.log(`check: ${name} ${result.status === 0 ? 'ok' : 'FAILED'} (${seconds} s)`)
  if (result.status !== 0) failed++
}
process.exitCode = failed === 0 ? 0 : 1
