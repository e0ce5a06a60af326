// `fn up`, `fn gateway`, `fn worker`: a process in the foreground, from its start to the last undone step; signals and exit codes.
import pc from 'picocolors'
import { type Config, ConfigError, type ConfigRow, describeConfig, type Flags, parseConfig } from '../config.ts'
import { programName, withProgram } from '../program-name.ts'
import { runExample } from './example.ts'
import type { Platform } from './platform.ts'
import { isAway, whyRedisIsAway } from './redis-reach.ts'
import { afterRestart, restartsOf } from './restarted.ts'

export interface UpOptions extends Omit<Flags, 'url' | 'namespace'> {
  /** Deploy `functions/hello.ts` and call it once up. */
  readonly example?: boolean | undefined
  /** End after the example (or right after the start). */
  readonly once?: boolean | undefined
}

const DRAIN_MS = 10_000

/** A process of the platform as it runs in the foreground. */
interface Running {
  /** What is printed when it is ready. */
  readonly banner: string
  readonly reloadTls: (() => void) | null
  /** Why it is up and yet not ready; null: it is. */
  trouble?(): string | null
  close(drainMs: number): Promise<void>
}
type Verb = 'up' | 'gateway' | 'worker'

/** Runs the platform until SIGTERM or SIGINT. Resolves to the exit code; messages go to stderr, the banner to stdout. */
export function up(options: UpOptions): Promise<number> {
  return runInForeground('up', options, async (config, settings) => {
    const { startPlatform } = await import('./platform.ts')
    const platform = await startPlatform(config, settings, progress)
    const example = options.example ? () => runExample(platform, config) : undefined
    return { ...running(platform), ...(example === undefined ? {} : { example }) }
  })
}

/** Runs a gateway without sandboxes, as `up` otherwise. */
export function gateway(options: UpOptions): Promise<number> {
  return runInForeground('gateway', options, async (config, settings) => {
    const { startGateway } = await import('./gateway-process.ts')
    return running(await startGateway(config, settings, progress))
  })
}

/** Runs a worker without an HTTP face, as `up` otherwise. */
export function worker(options: UpOptions): Promise<number> {
  return runInForeground('worker', options, async (config, settings) => {
    const { startWorker } = await import('./worker-process.ts')
    const isAsked = settings.some(({ name, source }) => name === 'FN_LISTEN' && source !== 'default')
    const started = await startWorker(config, isAsked ? config.listen : null, progress)
    const banner = `worker ${started.id}${started.url === null ? '' : ` ${started.url}`}`
    const { trouble } = started
    return { banner, reloadTls: null, trouble, close: (drainMs) => started.close(drainMs) }
  })
}

function running(platform: Platform): Running {
  const { url, reloadTls, trouble } = platform
  return { banner: url, reloadTls, trouble, close: (drainMs) => platform.close(drainMs) }
}

async function runInForeground(
  verb: Verb,
  options: UpOptions,
  start: (config: Config, settings: readonly ConfigRow[]) => Promise<Running & { example?: () => Promise<void> }>,
): Promise<number> {
  let config: Config
  try {
    config = parseConfig(process.env, options)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    for (const problem of error.problems) tell(verb, problem)
    return 2
  }
  let reloadTls: (() => void) | null = null
  const stop = stopSignal(() => reloadTls)
  const ended = await afterRestart(verb, restartsOf(process.env), stop)
  if (ended !== null) return ended
  const startedMs = performance.now()
  let started: Running & { example?: () => Promise<void> }
  try {
    started = await start(config, describeConfig(process.env, options))
    reloadTls = started.reloadTls
  } catch (error) {
    tell(verb, explain(error, config, verb))
    return 1
  }
  let code = 0
  try {
    const took = pc.dim(`(${((performance.now() - startedMs) / 1000).toFixed(1)} s, state in ${config.stateDir})`)
    const trouble = started.trouble?.() ?? null
    process.stdout.write(`${trouble === null ? pc.green('ready') : pc.yellow('not ready')} ${started.banner} ${took}\n`)
    if (trouble !== null) await tellTrouble(verb, trouble, config)
    await started.example?.()
    if (!options.once) await stop
    else if (trouble !== null) code = 1
  } catch (error) {
    tell(verb, explain(error, config, verb))
    code = 1
  }
  await started.close(options.once ? 2_000 : DRAIN_MS)
  return code
}

/** It is up all the same, and gets ready by itself once the trouble is over. */
async function tellTrouble(verb: Verb, trouble: string, { redisUrl }: Config): Promise<void> {
  const why = redisUrl !== null && isAway(trouble) ? `; ${await whyRedisIsAway(redisUrl)}` : ''
  tell(verb, `${trouble}${why}`)
}

/** A line on stderr; commands in it as this user calls `fn`. */
function tell(verb: Verb, text: string): void {
  process.stderr.write(`fn ${verb}: ${withProgram(text, programName(process.env, process.cwd()))}\n`)
}

/** Resolves at the first SIGTERM or SIGINT; a second one ends the process at once (the guard cleans up). SIGHUP does the same
 *  where a terminal went away or there is no certificate; else it has the certificate read anew, as daemons do. */
function stopSignal(reloadTls: () => (() => void) | null): Promise<void> {
  return new Promise((resolve) => {
    let asked = false
    const onSignal = (): void => {
      if (asked) process.exit(130)
      asked = true
      resolve()
    }
    const inTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, onSignal)
    process.on('SIGHUP', () => {
      const reload = inTerminal ? null : reloadTls()
      if (reload === null) onSignal()
      else reload()
    })
  })
}

function progress(step: string): void {
  if (process.stderr.isTTY) process.stderr.write(`${pc.dim(`… ${step}`)}\n`)
}

function isOurs(code: string | undefined): boolean {
  return code !== undefined && /^[A-Z]+(_[A-Z]+)*$/.test(code) && !code.startsWith('ERR_')
}

/** One sentence for each reason a platform cannot start, with the way out. */
function explain(error: unknown, config: Config, verb: Verb): string {
  const { code, message } = error as NodeJS.ErrnoException
  const address = `${config.listen.host}:${config.listen.port}`
  switch (code) {
    case 'EADDRINUSE':
      return `${address} is in use; stop what listens there, or choose another: fn ${verb} --listen 127.0.0.1:8081 (FN_LISTEN)`
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${config.listen.host} is not an address of this machine; choose another with --listen (FN_LISTEN)`
    case 'EACCES':
    case 'EEXIST':
    case 'ENOENT':
    case 'EPERM':
    case 'EROFS':
    case 'ENOSPC':
    case 'ENOTDIR':
      return `cannot write the state directory ${config.stateDir}: ${message}; choose another with --state-dir (FN_STATE_DIR)`
    default:
      // Errors of ours carry a code and a sentence for people; anything else is a bug and shows where it happened.
      return isOurs(code) ? message : ((error as Error).stack ?? String(error))
  }
}
