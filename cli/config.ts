// Configuration: flags over environment over defaults. One table holds name, default, unit and doc line; it parses, reports
// every problem at once, and prints `fn config`. The only reader of the environment besides cli/bin.ts that hands it in.
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { LimitCeiling } from '../runtime/api.ts'
import { CEILING_SETTINGS, parseCeilings } from './ceilings.ts'
import {
  expectSafeListen,
  isOn,
  listOf,
  type Reading,
  readAllowed,
  readAudit,
  readDurationMs,
  readListen,
  readLog,
  readNameServers,
  readNamespace,
  readRedisMemory,
  readResultTtlMs,
  readStallAfterMs,
  readStems,
  readTellsFaults,
  readTls,
  readUrl,
  readVolumeRoots,
  readZram,
} from './config-values.ts'
import { POOL_SETTINGS, type PoolSettings, parsePoolSettings } from './pool-settings.ts'
import { parseQuotaSettings, QUOTA_SETTINGS, type QuotaSettings } from './quota-settings.ts'

/** The project's own folder. */
export const PROJECT_ROOT = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '')

export interface Config {
  readonly listen: { readonly host: string; readonly port: number }
  /** Where a process that shares its Redis gives files to others. */
  readonly filesListen: { readonly host: string; readonly port: number }
  readonly stateDir: string
  /** null: the platform runs a Redis of its own. */
  readonly redisUrl: string | null
  /** Where the CLI finds the gateway. */
  readonly url: string
  /** From FN_TOKEN; null: the token file of the state directory. */
  readonly token: string | null
  /** Further Host names that `/v1` answers to. */
  readonly hosts: readonly string[]
  readonly namespace: string
  /** False: no namespace was named, so that of the token counts. */
  readonly isNamespaceGiven: boolean
  readonly log: 'debug' | 'info' | 'warn' | 'error' | 'silent'
  readonly ociRuntime: string
  readonly behindProxy: boolean
  /** Whether callers without a token learn what went wrong in a function. */
  readonly tellsFaults: boolean
  /** Certificate and key of the listener; null: it speaks plain HTTP. */
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null
  /** Folders below which functions may bind the host's. */
  readonly volumeRoots: readonly string[]
  /** Where the key for secrets is; null: in the state directory. */
  readonly secretKeyFile: string | null
  /** Bytes of compressed swap for idle sandboxes; null: none. */
  readonly zramBytes: number | null
  /** What the platform's own Redis may hold; null: the platform's choice, 0: no bound. */
  readonly redisMemoryBytes: number | null
  /** A sandbox frozen for so long has its memory reclaimed. */
  readonly reclaimAfterMs: number
  readonly resultTtlMs: number
  /** How long and how much of the audit log is kept. */
  readonly audit: { readonly keepMs: number; readonly namespaceBytes: number }
  /** Booted sandboxes without a function kept ready, of each kind; 0: none. */
  readonly stems: number
  /** Memory of all sandboxes together, and how many calls wait for how long. */
  readonly pool: PoolSettings
  /** Highest limits of namespaces and host. */
  readonly ceilings: readonly LimitCeiling[]
  /** Bounds of namespaces without bounds of their own. */
  readonly quotas: QuotaSettings
  /** Hosts, addresses and networks that callbacks may reach besides public ones. */
  readonly callbackAllow: readonly string[]
  /** Hosts, addresses and networks that functions with a network may reach besides public ones. */
  readonly egressAllow: readonly string[]
  /** Name servers for functions with a network; empty: the host's. */
  readonly nameServers: readonly string[]
  /** Functions may have the host's own network. */
  readonly hostNetwork: boolean
  /** A stand of the event loop this long is ended by the watchdog; null: none is. */
  readonly stallAfterMs: number | null
  /** OTLP over HTTP endpoint; null: tracing is off. */
  readonly otlpEndpoint: string | null
}

/** Every problem of a configuration, one line each. */
export class ConfigError extends Error {
  readonly code = 'CONFIG'
  readonly problems: readonly string[]
  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.name = 'ConfigError'
    this.problems = problems
  }
}

interface Setting {
  readonly name: string
  /** The key of `Flags` that overrides it, if any. */
  readonly flag: keyof Flags | null
  readonly fallback: string
  readonly unit: string
  readonly doc: string
}
export interface Flags {
  readonly listen?: string | undefined
  readonly stateDir?: string | undefined
  readonly url?: string | undefined
  readonly namespace?: string | undefined
  readonly log?: string | undefined
  readonly ociRuntime?: string | undefined
  readonly hosts?: string | undefined
  readonly behindProxy?: boolean | undefined
  readonly errors?: string | undefined
  readonly zram?: string | undefined
  readonly callbackAllow?: string | undefined
  readonly egressAllow?: string | undefined
  readonly hostNetwork?: boolean | undefined
  readonly stems?: string | undefined
}

/** Of the text of one setting: a list of hosts is the longest there is. */
const MOST_SETTING_CHARS = 16_384

const SETTINGS: readonly Setting[] = [
  setting('FN_LISTEN', 'listen', '127.0.0.1:8080', 'host:port', 'address of the HTTP listener'),
  setting('FN_STATE_DIR', 'stateDir', join(PROJECT_ROOT, '.fn'), 'path', 'images, logs, queue data, token'),
  setting('REDIS_URL', null, '', 'redis:// URL', 'an existing Redis; empty: the platform runs its own'),
  setting(
    'FN_FILES_LISTEN',
    null,
    '127.0.0.1:0',
    'host:port',
    'with REDIS_URL: where gateways give workers layers, bodies and results; port 0: any',
  ),
  setting('FN_URL', 'url', '', 'URL', 'where the CLI finds the gateway; empty: the listen address'),
  setting('FN_TOKEN', null, '', 'token', 'token for /v1; empty: the file `token` of the state directory'),
  setting('FN_HOSTS', 'hosts', '', 'names, comma-separated', 'further Host names the control API answers to'),
  setting('FN_NAMESPACE', 'namespace', 'default', 'DNS label', 'namespace of functions'),
  setting('FN_LOG', 'log', 'warn', 'debug|info|warn|error|silent', "level of the platform's own log on stderr"),
  setting('FN_OCI_RUNTIME', 'ociRuntime', 'runc', 'path', 'OCI runtime that creates sandboxes'),
  setting(
    'FN_BEHIND_PROXY',
    'behindProxy',
    '',
    '1 or empty',
    'a TLS proxy stands in front: other listen addresses allowed',
  ),
  setting(
    'FN_ERRORS',
    'errors',
    '',
    'full|brief or empty',
    'callers without a token learn what went wrong in a function, or only code and id; empty: full on loopback without a proxy',
  ),
  setting(
    'FN_TLS_CERT',
    null,
    '',
    'path',
    'certificate with its chain (PEM): the listener speaks TLS; needs FN_TLS_KEY',
  ),
  setting('FN_TLS_KEY', null, '', 'path', 'key of that certificate (PEM, not encrypted)'),
  setting('FN_VOLUME_ROOTS', null, '', 'paths, comma-separated', 'folders below which functions may bind host folders'),
  setting(
    'FN_SECRET_KEY_FILE',
    null,
    '',
    'path',
    'key that encrypts secrets; empty: `secret-key` in the state directory',
  ),
  setting(
    'FN_REDIS_MEMORY',
    null,
    '',
    'size or none',
    'what the platform’s own Redis may hold; calls are accepted up to 85 % of it; empty: an eighth of the machine’s memory, at least 256m',
  ),
  setting('FN_ZRAM', 'zram', '', 'size', 'compressed swap in memory for idle sandboxes, undone at stop; empty: none'),
  setting('FN_RECLAIM_AFTER', null, '30s', 'duration', 'a sandbox frozen for so long gives its memory back'),
  setting(
    'FN_RESULT_TTL',
    null,
    '24h',
    'duration',
    'records and results of asynchronous calls stay so long after the end',
  ),
  setting(
    'FN_STALL_AFTER',
    null,
    '5s',
    'duration or off',
    'the event loop stood for so long: the sandbox it stands over is killed, 2 s later the platform is started over',
  ),
  setting('FN_AUDIT_KEEP', null, '90d', 'duration', 'lines of the audit log stay so long'),
  setting('FN_AUDIT_BYTES', null, '16m', 'size', 'lines of the audit log kept for each namespace'),
  setting('FN_STEMS', 'stems', '2', 'number', 'booted sandboxes without a function kept ready, of each kind; 0: none'),
  setting(
    'FN_CALLBACK_ALLOW',
    'callbackAllow',
    '',
    'hosts or networks, comma-separated',
    'what callbacks may reach besides public addresses',
  ),
  setting(
    'FN_EGRESS_ALLOW',
    'egressAllow',
    '',
    'hosts or networks, comma-separated',
    'what functions with a network may reach besides public addresses',
  ),
  setting('FN_HOST_NETWORK', 'hostNetwork', '', '1 or empty', 'functions may ask for the network of the host itself'),
  setting('FN_NAME_SERVERS', null, '', 'addresses, comma-separated', 'asked for names of functions; empty: the host’s'),
  setting('OTEL_EXPORTER_OTLP_ENDPOINT', null, '', 'URL', 'collector for traces (OTLP over HTTP); empty: no tracing'),
]

const ALL_SETTINGS: readonly Setting[] = [
  ...SETTINGS,
  ...POOL_SETTINGS.map(([name, fallback, unit, doc]) => setting(name, null, fallback, unit, doc)),
  ...CEILING_SETTINGS.map(({ name, unit, doc }) => setting(name, null, '', unit, doc)),
  ...QUOTA_SETTINGS.map(({ name, fallback, unit, doc }) => setting(name, null, fallback, unit, doc)),
]

function setting(name: string, flag: Setting['flag'], fallback: string, unit: string, doc: string): Setting {
  return { name, flag, fallback, unit, doc }
}

export interface ConfigRow {
  readonly name: string
  readonly value: string
  readonly unit: string
  readonly default: string
  readonly source: 'flag' | 'environment' | 'default'
  readonly doc: string
}
type Environment = Readonly<Record<string, string | undefined>>

/** All settings with value and where it came from; neither a token nor a URL's password is shown. */
export function describeConfig(env: Environment, flags: Flags): ConfigRow[] {
  return rowsOf(env, flags).map((row) => ({ ...row, value: shown(row) }))
}

function shown({ name, value }: ConfigRow): string {
  if (name === 'FN_TOKEN' && value !== '') return '(set)'
  const url = value.includes('@') ? URL.parse(value) : null
  if (url === null || url.password === '') return value
  url.password = '***'
  return url.href
}

/** With values as they are, secret or not. */
function rowsOf(env: Environment, flags: Flags): ConfigRow[] {
  return ALL_SETTINGS.map((entry) => {
    const flag = entry.flag === null ? undefined : flags[entry.flag]
    const fromFlag = flag === true ? '1' : typeof flag === 'string' ? flag : undefined
    const fromEnvironment = env[entry.name] === '' ? undefined : env[entry.name]
    const value = fromFlag ?? fromEnvironment ?? entry.fallback
    return {
      name: entry.name,
      value,
      unit: entry.unit,
      default: entry.fallback,
      source: fromFlag !== undefined ? 'flag' : fromEnvironment !== undefined ? 'environment' : 'default',
      doc: entry.doc,
    }
  })
}

/** Parses everything and reports all problems at once. Throws ConfigError. */
export function parseConfig(env: Environment, flags: Flags): Config {
  const values = new Map(rowsOf(env, flags).map((row) => [row.name, row.value]))
  const problems: string[] = []
  const text = (name: string): string => values.get(name) ?? ''
  for (const [name, value] of values)
    if (value.length > MOST_SETTING_CHARS)
      problems.push(`${name}: expected at most ${MOST_SETTING_CHARS} characters, got ${value.length}; shorten it`)
  if (problems.length > 0) throw new ConfigError(problems)
  const reading: Reading = { text, problems }
  const listen = readListen(reading, 'FN_LISTEN')
  const tls = readTls(reading)
  const behindProxy = isOn(reading, 'FN_BEHIND_PROXY')
  expectSafeListen(reading, { listen, tls, behindProxy })
  const url = readUrl(reading, 'FN_URL', ['http:', 'https:'])
  const config = {
    listen,
    filesListen: readListen(reading, 'FN_FILES_LISTEN'),
    stateDir: resolve(text('FN_STATE_DIR')),
    redisUrl: readUrl(reading, 'REDIS_URL', ['redis:', 'rediss:', 'unix:']) || null,
    url: (url || ownUrl(listen, tls !== null)).replace(/\/+$/, ''),
    // As a file or a secret store gives it: with a line end.
    token: env.FN_TOKEN?.trim() || null,
    hosts: listOf(text('FN_HOSTS').toLowerCase()),
    namespace: readNamespace(reading),
    isNamespaceGiven: (flags.namespace ?? env.FN_NAMESPACE ?? '') !== '',
    log: readLog(reading),
    ociRuntime: text('FN_OCI_RUNTIME'),
    behindProxy,
    tellsFaults: readTellsFaults(reading, { listen, behindProxy }),
    tls,
    volumeRoots: readVolumeRoots(reading),
    secretKeyFile: text('FN_SECRET_KEY_FILE') === '' ? null : resolve(text('FN_SECRET_KEY_FILE')),
    zramBytes: readZram(reading),
    redisMemoryBytes: readRedisMemory(reading),
    reclaimAfterMs: readDurationMs(reading, 'FN_RECLAIM_AFTER'),
    resultTtlMs: readResultTtlMs(reading),
    audit: readAudit(reading),
    stems: readStems(reading),
    pool: parsePoolSettings(text, problems),
    ceilings: parseCeilings(env, problems),
    quotas: parseQuotaSettings(env, problems),
    callbackAllow: readAllowed(reading, 'FN_CALLBACK_ALLOW'),
    egressAllow: readAllowed(reading, 'FN_EGRESS_ALLOW'),
    nameServers: readNameServers(reading),
    hostNetwork: isOn(reading, 'FN_HOST_NETWORK'),
    stallAfterMs: readStallAfterMs(reading),
    otlpEndpoint: readUrl(reading, 'OTEL_EXPORTER_OTLP_ENDPOINT', ['http:', 'https:']) || null,
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return Object.freeze(config)
}

/** Where this machine finds a platform that listens there. */
function ownUrl({ host, port }: Config['listen'], isTls: boolean): string {
  const shown = host.includes(':') ? `[${host}]` : host === '0.0.0.0' ? '127.0.0.1' : host
  return `${isTls ? 'https' : 'http'}://${shown}:${port}`
}
