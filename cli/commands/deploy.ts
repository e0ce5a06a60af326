// `fn deploy`: bundles a file or folder, sends it, says step by step how it went.
import type { Command } from 'commander'
import type { Bundle } from '../bundle/bundle.ts'
import type { ManifestFlags } from '../bundle/manifest.ts'
import type { Deployed } from '../bundle/upload.ts'
import { CliError } from '../errors.ts'
import { millisText, sizeText } from '../output/quantity.ts'
import { durationText, oneOf, repeated, wholeNumber } from './argument.ts'
import { type CommandContext, type Environment, examples } from './command.ts'
import { addLimitOptions, limitTexts } from './limit-options.ts'

interface DeployOptions extends Record<string, unknown> {
  readonly name?: string
  readonly env?: readonly string[]
  readonly secret?: readonly string[]
  readonly volume?: readonly string[]
  readonly allowHost?: readonly string[]
  readonly alias?: string
  readonly check?: boolean
}

/** Options that are keys of `fn.json` under the same name. */
const SETTINGS = [
  'timeout',
  'initTimeout',
  'concurrency',
  'sandboxConcurrency',
  'minWarm',
  'keepAlive',
  'freezeGrace',
  'isolation',
  'leftovers',
  'network',
  'writableRoot',
  'public',
  'onSuccess',
  'onFailure',
] as const

export function define(command: Command, context: CommandContext): void {
  command
    .argument(
      '<path>',
      'a .ts or .js file, or a folder with one as src/index, index, handler, app or server, or as main of package.json',
    )
    .description(
      [
        'Bundles a handler, sends it, and makes it a new version once it has loaded in a sandbox.',
        '',
        'Settings come from fn.json in a folder, or x.fn.json beside x.ts; flags go over them.',
        'A deploy that does not bundle or load leaves the version before it in place.',
      ].join('\n'),
    )
    .option('--name <name>', "the function's name; else fn.json's, else the file's or folder's")
    .option('-e, --env <K=V>', 'a variable of the function; K alone takes it from here (repeatable)', repeated)
    .option('--secret <name>', 'a secret that becomes a variable of the function (repeatable)', repeated)
    .option(
      '--volume <volume>',
      'NAME:/path[:ro|rw], /host/folder:/path[:ro|rw], tmpfs:/path:size=64m (repeatable)',
      repeated,
    )
    .option('--alias <alias>', 'point this alias at the new version, too')
    .option('--check', 'type-check with tsc first')
    .option('--timeout <duration>', 'time of one call', durationText)
    .option('--init-timeout <duration>', 'time to load', durationText)
    .option('--concurrency <n>', 'calls at once, over all sandboxes', wholeNumber(1))
    .option('--sandbox-concurrency <n>', 'calls at once in one sandbox', wholeNumber(1))
    .option('--min-warm <n>', 'sandboxes kept ready', wholeNumber(0))
    .option('--keep-alive <duration>', 'how long an idle sandbox is kept', durationText)
    .option('--freeze-grace <duration>', 'how long a sandbox is idle before it is frozen', durationText)
    .option(
      '--isolation <what>',
      'function: sandboxes are used again; call: a fresh one for every call',
      oneOf('function', 'call'),
    )
    .option(
      '--leftovers <fate>',
      'what still runs after a response: freeze it, or kill it before the next call',
      oneOf('freeze', 'kill'),
    )
    .option('--network <network>', 'none, bridge, host, or a network made by fn network create')
    .option(
      '--allow-host <host>',
      'with a network: all it may reach; NAME, *.NAME, ADDRESS[/BITS], each [:PORT] (repeatable)',
      repeated,
    )
    .option('--writable-root <size>', 'copy-on-write root of that size in memory')
    .option('--no-public', 'callers need a token')
    .option('--on-success <to>', 'function or URL told of asynchronous calls that succeeded')
    .option('--on-failure <to>', 'function or URL told of asynchronous calls that failed for good')
    .option('--retry-attempts <n>', 'runs of an asynchronous call before it has failed', wholeNumber(1))
  addLimitOptions(command, false)
  examples(command, [
    'fn deploy ./hello.ts',
    'fn deploy ./api --name shop --memory 256m --env LOG=debug',
    'fn deploy ./hello.ts --cpus 0.5 --timeout 5s --alias prod',
    'fn deploy ./site.ts --secret API_KEY --volume uploads:/data --volume tmpfs:/cache:size=64m',
    'fn deploy ./api.ts --network bridge --allow-host api.example.com:443',
    'fn deploy ./import.ts --scratch 1g --device-write-bps 8m',
    'fn deploy ./hello.ts --check --json',
  ])
  command.action(async (path: string, options: DeployOptions) => {
    // --no-public has a default of true in commander; only a flag that was given goes over fn.json.
    const given = { ...options }
    if (command.getOptionValueSource('public') === 'default') delete given.public
    await deploy(path, given, context)
  })
}

async function deploy(path: string, options: DeployOptions, context: CommandContext): Promise<void> {
  const { io, progress } = context
  const client = context.client()
  progress.running('bundling')
  const { bundleHandler } = await import('../bundle/bundle.ts')
  const startMs = performance.now()
  const bundle = await bundleHandler(path, { cwd: io.cwd, flags: manifestFlags(options, context.env) })
  const bundleMs = performance.now() - startMs
  for (const warning of bundle.warnings) progress.warn(warning)
  progress.done('bundled', `${sizeText(bundle.source.length)} in ${millisText(bundleMs)}${besideText(bundle)}`)
  if (options.check) {
    progress.running('checking types')
    const { checkTypes } = await import('../bundle/type-check.ts')
    const checkMs = await checkTypes(bundle.entryPath, { cwd: io.cwd, colour: context.errorStyle.isColorSupported })
    progress.done('checked', `types in ${millisText(checkMs)}`)
  }
  progress.running('uploading and loading in a sandbox')
  const { uploadBundle } = await import('../bundle/upload.ts')
  const deployed = await uploadBundle(client, bundle, options.alias === undefined ? {} : { alias: options.alias })
  reportDeploy(deployed, options.alias ?? null, context)
  const url = functionUrl(deployed.answer.json, client.url, deployed.name)
  context.show(deployed.answer, () => url)
}

function reportDeploy(deployed: Deployed, alias: string | null, { progress, errorStyle }: CommandContext): void {
  progress.done('uploaded', `${sizeText(deployed.uploadedBytes)} in ${millisText(deployed.uploadMs)}`)
  progress.done('loaded', `in ${millisText(deployed.loadMs)}`)
  const unchanged = deployed.created ? '' : errorStyle.dim(' (this content was deployed before)')
  const aliases = alias === null || alias === 'latest' ? 'latest' : `latest, ${alias}`
  progress.done('version', `${deployed.version} of ${deployed.name} is ${aliases}${unchanged}`)
}

function besideText({ packages, files }: Bundle): string {
  const names = files.slice(0, 3).map(({ member }) => member.replace(/^files\//, ''))
  const more = files.length > names.length ? `, … (${files.length} files)` : ''
  return `${packagesText(packages)}${files.length === 0 ? '' : `, beside it ${names.join(', ')}${more}`}`
}

function packagesText(packages: Bundle['packages']): string {
  if (packages.length === 0) return ''
  return `, and ${packages.length} package${packages.length === 1 ? '' : 's'} that ship as they are installed`
}

function functionUrl(json: unknown, base: string, name: string): string {
  const url = (json as { url?: unknown } | undefined)?.url
  return typeof url === 'string' && /^https?:/.test(url) ? url : `${base}/fn/${name}`
}

/** What the flags of a deploy say over `fn.json`. Throws CliError USAGE for a variable that is not set here. */
export function manifestFlags(options: DeployOptions, env: Environment): ManifestFlags {
  const settings: Record<string, unknown> = {}
  for (const key of SETTINGS) if (options[key] !== undefined) settings[key] = options[key]
  if (options.secret !== undefined) settings.secrets = options.secret
  if (options.allowHost !== undefined) settings.allowHosts = options.allowHost
  if (options.volume !== undefined) settings.volumes = options.volume
  if (options.retryAttempts !== undefined) settings.retry = { attempts: options.retryAttempts }
  return {
    ...(options.name === undefined ? {} : { name: options.name }),
    settings,
    env: environmentFlags(options.env ?? [], env),
    limits: limitTexts(options),
  }
}

function environmentFlags(flags: readonly string[], env: Environment): Record<string, string> {
  const variables: Record<string, string> = {}
  for (const flag of flags) {
    const equals = flag.indexOf('=')
    const key = equals < 0 ? flag : flag.slice(0, equals)
    const value = equals < 0 ? env[key] : flag.slice(equals + 1)
    if (key === '') throw new CliError('USAGE', `--env: expected K=V, got ${JSON.stringify(flag)}`)
    if (value === undefined) {
      throw new CliError('USAGE', `--env ${key}: not set here`, { hints: [`give a value: --env ${key}=…`] })
    }
    variables[key] = value
  }
  return variables
}
