// `npm run bench:k6`: runs k6 scripts against a platform, by default a private one with the functions they call. `--help` tells.
import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { spawn } from '../../runtime/host/spawn.ts'
import { type Platform, ROOT, startPlatform } from '../../test/support/platform.ts'

const SCRIPTS = ['smoke', 'steady', 'spike', 'soak', 'cold-storm', 'mixed'] as const
type Script = (typeof SCRIPTS)[number]
/** A first look: what takes about a minute in all. */
const DEFAULT: readonly Script[] = ['smoke', 'steady']
const FUNCTIONS = ['functions/hello.ts', 'functions/echo.ts', 'bench/functions/busy.ts']

const HELP = `npm run bench:k6 -- [SCRIPT…] [flags]

Runs k6 scripts of bench/k6/ against a platform; exit 1 when a threshold is missed.
Scripts: ${SCRIPTS.join(' ')}, or all (default: ${DEFAULT.join(' ')}).

  --scale N    durations times N (0.1: a tenth)
  --help

Without FN_URL a private platform is started with the functions the scripts call.
With FN_URL (and FN_TOKEN for cold-storm) they must be deployed there:
${FUNCTIONS.map((path) => `  bin/fn deploy ${path}`).join('\n')}

Examples:
  npm run bench:k6
  npm run bench:k6 -- spike mixed
  npm run bench:k6 -- all --scale 0.2
  FN_URL=http://127.0.0.1:8080 npm run bench:k6 -- steady`

interface Options {
  readonly scripts: readonly Script[]
  readonly scale: number
}

class UsageError extends Error {}

const options = readOptions()
if (options !== null) process.exitCode = await benchWithK6(options)

function readOptions(): Options | null {
  try {
    const parsed = parseOptions(process.argv.slice(2))
    if (parsed === null) console.log(HELP)
    return parsed
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    console.error(`bench:k6: ${error.message}`)
    process.exitCode = 2
    return null
  }
}

function parseOptions(args: string[]): Options | null {
  const { values, positionals } = parse(args)
  if (values.help === true) return null
  const scale = Number(values.scale ?? 1)
  if (!(scale > 0 && scale <= 10)) {
    throw new UsageError(`--scale: expected a number above 0 and at most 10, got ${JSON.stringify(values.scale)}`)
  }
  if (positionals.length === 0) return { scripts: DEFAULT, scale }
  if (positionals.includes('all')) return { scripts: SCRIPTS, scale }
  const scripts = positionals.map((name) => {
    const script = SCRIPTS.find((candidate) => candidate === name)
    if (script === undefined) {
      throw new UsageError(`expected scripts among ${SCRIPTS.join(', ')} or all, got ${JSON.stringify(name)}`)
    }
    return script
  })
  return { scripts, scale }
}

function parse(args: string[]) {
  try {
    const flags = { scale: { type: 'string' }, help: { type: 'boolean', short: 'h' } } as const
    return parseArgs({ args, allowPositionals: true, options: flags })
  } catch (error) {
    throw new UsageError(`${(error as Error).message.split('. ')[0]}; see npm run bench:k6 -- --help`)
  }
}

async function benchWithK6({ scripts, scale }: Options): Promise<number> {
  const k6 = k6Path()
  if (!existsSync(k6)) {
    console.error(`bench:k6: k6 is not built yet (${k6}); run: bin/setup --bench   (needs Go, takes a few minutes)`)
    return 1
  }
  const url = process.env.FN_URL
  const platform = url === undefined || url === '' ? await startOwn() : null
  try {
    const target = {
      FN_URL: platform?.url ?? url ?? '',
      FN_TOKEN: platform?.token ?? process.env.FN_TOKEN ?? '',
      K6_SCALE: String(scale),
    }
    let failed = 0
    for (const script of scripts) {
      console.error(`bench:k6: ${script} against ${target.FN_URL}`)
      if ((await runScript(k6, script, target)) !== 0) failed++
    }
    console.error(`bench:k6: ${scripts.length - failed} of ${scripts.length} scripts held their thresholds`)
    return failed === 0 ? 0 : 1
  } finally {
    await platform?.stop()
  }
}

async function startOwn(): Promise<Platform> {
  const platform = await startPlatform()
  try {
    for (const path of FUNCTIONS) await platform.deploy(path)
    return platform
  } catch (error) {
    await platform.stop()
    throw error
  }
}

async function runScript(k6: string, script: Script, target: Readonly<Record<string, string>>): Promise<number> {
  const env = { PATH: process.env.PATH ?? '', HOME: homedir(), K6_NO_USAGE_REPORT: 'true' }
  const variables = Object.entries(target).flatMap(([name, value]) => ['--env', `${name}=${value}`])
  const child = spawn(k6, ['run', '--quiet', ...variables, join(ROOT, 'bench', 'k6', `${script}.ts`)], {
    ...{ env, stdout: 'inherit', stderr: 'inherit' },
  })
  return (await child.exited).code ?? 1
}

/** Where bin/setup --bench puts it: outside the tree, by version, for it takes minutes to build. */
function k6Path(): string {
  const version = /k6\/v2 v([\d.]+)/.exec(readFileSync(join(ROOT, 'bench', 'k6', 'go.mod'), 'utf8'))?.[1] ?? 'unknown'
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
  return join(cache, 'thaw', `k6-${version}-${process.arch}`)
}
