// Real programs of other people, for tests: test/programs with its packages, installed once for each state of its lock file into a
// cache outside the project, and copied for each run.
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { spawn } from '../../runtime/host/spawn.ts'
import { ROOT } from './platform.ts'
import { text } from './streams.ts'

const SOURCE = join(ROOT, 'test', 'programs')
const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'thaw', 'programs')

/** A folder with every program and its packages; the caller removes it. Throws with npm's words when they cannot be installed. */
export async function installedPrograms(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'thaw-programs-'))
  cpSync(SOURCE, folder, { recursive: true })
  symlinkSync(join(await packages(), 'node_modules'), join(folder, 'node_modules'))
  return folder
}

/** Installs one program's own packages by pnpm, which links them from its store. */
export async function installByPnpm(programs: string, name: string): Promise<void> {
  const pnpm = join(programs, 'node_modules', 'pnpm', 'bin', 'pnpm.cjs')
  const store = join(CACHE, 'pnpm-store')
  const args = [
    'install',
    '--ignore-scripts',
    '--ignore-workspace',
    '--package-import-method=hardlink',
    `--store-dir=${store}`,
  ]
  await run(process.execPath, [pnpm, ...args], join(programs, name))
}

async function packages(): Promise<string> {
  const key = createHash('sha256')
    .update(readFileSync(join(SOURCE, 'package-lock.json')))
    .digest('hex')
    .slice(0, 16)
  const target = join(CACHE, key)
  if (existsSync(target)) return target
  mkdirSync(CACHE, { recursive: true })
  const draft = mkdtempSync(join(CACHE, 'draft-'))
  try {
    for (const file of ['package.json', 'package-lock.json']) cpSync(join(SOURCE, file), join(draft, file))
    await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], draft)
    renameSync(draft, target)
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
  return target
}

async function run(command: string, args: readonly string[], cwd: string): Promise<void> {
  // Node 24 decides which versions fit, whatever the machine's own is.
  const env = {
    ...(process.env as Record<string, string>),
    PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
    CI: 'true',
  }
  const child = spawn(command, args, { cwd, env })
  const [output, errors] = await Promise.all([text(child.stdout!), text(child.stderr!)])
  const { code } = await child.exited
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: exit ${code}\n${output}${errors}`)
}
