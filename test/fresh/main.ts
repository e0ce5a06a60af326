// `npm run test:fresh`: the README as a stranger follows it, in a Debian root that has nothing but npm, git and curl. Owns that
// root and removes it. Mirrors, proxies, certificates and npm's settings are those of this machine, where it has any.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { PLAIN_PATH, run, spawn } from '../../runtime/host/spawn.ts'
import { tourOf } from '../support/document.ts'

const HELP = `npm run test:fresh -- [flags]

Builds a minimal Debian root, clones the last commit into it, enters it with its own
mounts and processes, and follows the README word for word: npm start, the tour, Ctrl-C.
Needs root, mmdebstrap and a Debian mirror; takes about three minutes.

  --whole     npm test in it as well (a quarter of an hour more)
  --keep      leave the root where it is, and say where
  --help

Examples:
  npm run test:fresh
  npm run test:fresh -- --whole`

const PROJECT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')
const PACKAGES = ['nodejs', 'npm', 'git', 'ca-certificates', 'curl']
const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt'
/** What a machine behind a proxy or with a mirror of its own says, besides what is in the environment. */
const SETTINGS = ['/etc/resolv.conf', '/etc/npmrc', '/usr/etc/npmrc', '/root/.npmrc', CERTIFICATES]
const ENVIRONMENT =
  /^((https?|no|all|ftp)_proxy|npm_config_(registry|cafile|proxy|https_proxy)|(NODE_EXTRA_CA|SSL)_.*CERT.*)$/i

const { whole, keep, help } = options()
if (help) console.log(HELP)
else process.exitCode = await stranger()

function options(): { readonly whole: boolean; readonly keep: boolean; readonly help: boolean } {
  try {
    const flags = {
      whole: { type: 'boolean' },
      keep: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    } as const
    const { values } = parseArgs({ options: flags })
    return { whole: values.whole === true, keep: values.keep === true, help: values.help === true }
  } catch (error) {
    console.error(`test:fresh: ${(error as Error).message.split('. ')[0]}; see npm run test:fresh -- --help`)
    process.exit(2)
  }
}

async function stranger(): Promise<number> {
  if (process.getuid?.() !== 0) return refuse('it needs root: it mounts, and installs packages')
  if ((await run('sh', ['-c', 'command -v mmdebstrap'])).code !== 0)
    return refuse('mmdebstrap is missing; apt-get install mmdebstrap')
  const root = mkdtempSync('/var/tmp/thaw-fresh-')
  try {
    const began = performance.now()
    await build(root)
    say(`a bare Debian in ${seconds(began)}`)
    await equip(root)
    return await enter(root)
  } finally {
    if (keep) say(`left at ${root}`)
    else rmSync(root, { recursive: true, force: true })
  }
}

async function build(root: string): Promise<void> {
  const release = readFileSync('/etc/os-release', 'utf8')
  const suite = /^VERSION_CODENAME=(.*)$/m.exec(release)?.[1] ?? 'stable'
  const sources = ['/etc/apt/sources.list.d/debian.sources', '/etc/apt/sources.list'].find((path) => existsSync(path))
  const aptOptions = aptSettings().map((path) => `--aptopt=${path}`)
  const args = ['--quiet', '--variant=apt', `--include=${PACKAGES.join(',')}`, ...aptOptions, suite, root]
  await must('mmdebstrap', sources === undefined ? args : [...args, sources])
}

/** Files of apt that say how mirrors are reached. */
function aptSettings(): string[] {
  const folder = '/etc/apt/apt.conf.d'
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .map((name) => join(folder, name))
    .filter((path) => /Acquire::[^;]*(Proxy|Check-|CaInfo|Verify)/i.test(readFileSync(path, 'utf8')))
}

/** How the machine reaches the world, the project as committed, and what the stranger will type. */
async function equip(root: string): Promise<void> {
  const extra = process.env.NODE_EXTRA_CA_CERTS
  for (const path of [...SETTINGS, ...aptSettings(), ...(extra === undefined ? [] : [extra])]) {
    if (!existsSync(path)) continue
    mkdirSync(join(root, dirname(path)), { recursive: true })
    rmSync(join(root, path), { force: true })
    copyFileSync(path, join(root, path))
  }
  await must('git', ['clone', '--quiet', '--no-hardlinks', PROJECT, join(root, 'root/thaw')])
  const tour = tourOf(join(root, 'root/thaw'))
  if (tour.length === 0) throw new Error("the README's tour has no commands")
  writeFileSync(join(root, 'root/tour.sh'), `set -eux\n${tour.join('')}`)
  copyFileSync(join(import.meta.dirname, 'inside.sh'), join(root, 'root/inside.sh'))
}

async function enter(root: string): Promise<number> {
  const kept = Object.entries(process.env).filter(([name, value]) => ENVIRONMENT.test(name) && value !== undefined)
  const env = {
    PATH: PLAIN_PATH,
    HOME: '/root',
    LANG: 'C.UTF-8',
    ...(Object.fromEntries(kept) as Record<string, string>),
  }
  const script = join(import.meta.dirname, 'enter.sh')
  const args = [
    '--mount',
    '--pid',
    '--fork',
    '--kill-child',
    '--mount-proc',
    'sh',
    script,
    root,
    whole ? 'whole' : 'short',
  ]
  const inside = spawn('unshare', args, { env, stdout: 'inherit', stderr: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => inside.kill('SIGKILL'))
  const { code } = await inside.exited
  say(code === 0 ? 'the README holds' : `FAILED (${code ?? 'killed'})`)
  return code === 0 ? 0 : 1
}

async function must(command: string, args: readonly string[]): Promise<void> {
  const { code, stderr } = await run(command, args)
  if (code !== 0) throw new Error(`${command} ended with ${code}:\n${stderr.slice(-2000)}`)
}

function refuse(why: string): number {
  console.error(`test:fresh: ${why}`)
  return 1
}

function say(line: string): void {
  console.log(`fresh: ${line}`)
}

function seconds(began: number): string {
  return `${((performance.now() - began) / 1000).toFixed(0)} s`
}
