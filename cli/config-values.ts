// The text of one setting → its value, or a problem that names the setting, what was expected and what is there. Pure; config.ts
// says which settings there are.
import { resolve } from 'node:path'
import { parseBytes, parseDurationMs, UnitError } from '../runtime/api.ts'
import { parseAllowList } from '../worker/registry/destinations.ts'
import type { Config } from './config.ts'

/** What parsers read from, and where they put what is wrong. What they return is of no use once there is a problem. */
export interface Reading {
  text(name: string): string
  readonly problems: string[]
}

const MOST_STEMS = 100
const MINUTE_MS = 60_000
const MOST_RESULT_TTL_MS = 30 * 24 * 60 * MINUTE_MS
const HOUR_MS = 60 * MINUTE_MS
const MOST_AUDIT_MS = 3650 * 24 * HOUR_MS
const LEAST_AUDIT_BYTES = 256 * 1024
const MOST_AUDIT_BYTES = 256 * 1024 ** 2
const SMALLEST_ZRAM_BYTES = 1024 ** 2
const LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const

export function readListen({ text, problems }: Reading, name: string): Config['listen'] {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text(name))
  const port = Number(match?.[3])
  if (!match || port > 65535) {
    problems.push(`${name}: expected host:port such as 127.0.0.1:8080, got ${quoted(text(name))}`)
    return { host: '', port: 0 }
  }
  return { host: match[1] ?? match[2] ?? '', port }
}

export function readTls({ text, problems }: Reading): Config['tls'] {
  const [certFile, keyFile] = [text('FN_TLS_CERT'), text('FN_TLS_KEY')]
  if ((certFile === '') !== (keyFile === ''))
    problems.push(`${certFile === '' ? 'FN_TLS_CERT' : 'FN_TLS_KEY'}: FN_TLS_CERT and FN_TLS_KEY go together, set both`)
  return certFile === '' || keyFile === '' ? null : { certFile: resolve(certFile), keyFile: resolve(keyFile) }
}

/** A token must not go over a wire in plain text. */
export function expectSafeListen(
  { problems }: Reading,
  { listen, tls, behindProxy }: Pick<Config, 'listen' | 'tls' | 'behindProxy'>,
): void {
  if (listen.host === '' || isLoopback(listen.host) || behindProxy || tls !== null) return
  problems.push(
    `FN_LISTEN: ${listen.host} is not a loopback address, and whoever reaches it could read the token on the wire; give a certificate (FN_TLS_CERT, FN_TLS_KEY), or put a TLS proxy in front and say --behind-proxy (FN_BEHIND_PROXY=1), or listen on 127.0.0.1`,
  )
}

/** Whether callers without a token learn what went wrong in a function; by default those on this machine do. */
export function readTellsFaults(
  { text, problems }: Reading,
  { listen, behindProxy }: Pick<Config, 'listen' | 'behindProxy'>,
): boolean {
  const value = text('FN_ERRORS')
  if (value === '') return isLoopback(listen.host) && !behindProxy
  if (value !== 'full' && value !== 'brief') problems.push(`FN_ERRORS: expected full or brief, got ${quoted(value)}`)
  return value === 'full'
}

/** '' when it is not set. */
export function readUrl({ text, problems }: Reading, name: string, schemes: readonly string[]): string {
  const value = text(name)
  if (value !== '' && !(URL.canParse(value) && schemes.includes(new URL(value).protocol))) {
    const shown = schemes.map((scheme) => `${scheme}//…`).join(' or ')
    const better = `${schemes[0]}//${value}`
    const meant = /^[\w.-]+:\d+(?:\/|$)/.test(value) && URL.canParse(better) ? `; did you mean ${better}?` : ''
    problems.push(`${name}: expected a URL (${shown}), got ${quoted(value)}${meant}`)
  }
  return value
}

export function readLog({ text, problems }: Reading): Config['log'] {
  const level = LEVELS.find((one) => one === text('FN_LOG'))
  if (level === undefined)
    problems.push(`FN_LOG: expected debug, info, warn, error or silent, got ${quoted(text('FN_LOG'))}`)
  return level ?? 'warn'
}

export function readNamespace({ text, problems }: Reading): string {
  const namespace = text('FN_NAMESPACE')
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(namespace))
    problems.push(`FN_NAMESPACE: expected a DNS label such as default or team-a, got ${quoted(namespace)}`)
  return namespace
}

export function readZram(reading: Reading): number | null {
  const zram = reading.text('FN_ZRAM')
  if (zram === '') return null
  const bytes = united(reading, 'FN_ZRAM', parseBytes)
  if (bytes !== null && bytes < SMALLEST_ZRAM_BYTES)
    reading.problems.push(`FN_ZRAM: expected at least 1m, got ${quoted(zram)}`)
  return bytes
}

const LEAST_REDIS_BYTES = 64 * 1024 ** 2

/** null: what the platform chooses; 0: no bound. */
export function readRedisMemory(reading: Reading): number | null {
  const text = reading.text('FN_REDIS_MEMORY')
  if (text === '') return null
  if (text === 'none') return 0
  const bytes = united(reading, 'FN_REDIS_MEMORY', parseBytes)
  if (bytes !== null && bytes < LEAST_REDIS_BYTES)
    reading.problems.push(`FN_REDIS_MEMORY: expected at least 64m, or none, got ${quoted(text)}`)
  return bytes
}

export function readDurationMs(reading: Reading, name: string): number {
  return united(reading, name, parseDurationMs) ?? 0
}

export function readResultTtlMs(reading: Reading): number {
  const ttlMs = united(reading, 'FN_RESULT_TTL', parseDurationMs)
  if (ttlMs !== null && (ttlMs < MINUTE_MS || ttlMs > MOST_RESULT_TTL_MS)) {
    const got = quoted(reading.text('FN_RESULT_TTL'))
    reading.problems.push(`FN_RESULT_TTL: expected a duration from 1m to 720h, got ${got}`)
  }
  return ttlMs ?? 0
}

/** Below this a busy machine would be taken for one that stands. */
const LEAST_STALL_MS = 1000

/** null: `off`. */
export function readStallAfterMs(reading: Reading): number | null {
  const text = reading.text('FN_STALL_AFTER')
  if (text === 'off') return null
  const ms = united(reading, 'FN_STALL_AFTER', parseDurationMs)
  if (ms !== null && ms < LEAST_STALL_MS)
    reading.problems.push(`FN_STALL_AFTER: expected a duration of 1s or more, or off, got ${quoted(text)}`)
  return ms
}

export function readAudit(reading: Reading): Config['audit'] {
  const keepMs = united(reading, 'FN_AUDIT_KEEP', parseDurationMs)
  if (keepMs !== null && (keepMs < HOUR_MS || keepMs > MOST_AUDIT_MS)) {
    const got = quoted(reading.text('FN_AUDIT_KEEP'))
    reading.problems.push(`FN_AUDIT_KEEP: expected a duration from 1h to 3650d, got ${got}`)
  }
  const namespaceBytes = united(reading, 'FN_AUDIT_BYTES', parseBytes)
  if (namespaceBytes !== null && (namespaceBytes < LEAST_AUDIT_BYTES || namespaceBytes > MOST_AUDIT_BYTES)) {
    const got = quoted(reading.text('FN_AUDIT_BYTES'))
    reading.problems.push(`FN_AUDIT_BYTES: expected a size from 256k to 256m, got ${got}`)
  }
  return { keepMs: keepMs ?? 0, namespaceBytes: namespaceBytes ?? 0 }
}

export function readStems({ text, problems }: Reading): number {
  const stems = text('FN_STEMS')
  if (!/^\d{1,3}$/.test(stems) || Number(stems) > MOST_STEMS)
    problems.push(`FN_STEMS: expected a whole number from 0 to ${MOST_STEMS}, got ${quoted(stems)}`)
  return Number(stems)
}

/** Hosts, addresses and networks, separated by commas. */
export function readAllowed({ text, problems }: Reading, name: string): string[] {
  const entries = listOf(text(name))
  try {
    parseAllowList(entries)
  } catch (error) {
    problems.push(`${name}: ${(error as Error).message}`)
  }
  return entries
}

export function readNameServers({ text, problems }: Reading): string[] {
  const servers = listOf(text('FN_NAME_SERVERS'))
  for (const server of servers) {
    if (/^(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:]+\])(:\d{1,5})?$/i.test(server)) continue
    const expected = 'expected addresses such as 10.0.0.53 or 10.0.0.53:5353'
    problems.push(`FN_NAME_SERVERS: ${expected}, got ${quoted(server)}`)
  }
  return servers
}

export function readVolumeRoots({ text, problems }: Reading): string[] {
  const roots = listOf(text('FN_VOLUME_ROOTS')).map((path) => path.replace(/(?<=.)\/+$/, ''))
  return roots.filter((path) => {
    if (path !== '/' && path.startsWith('/') && resolve(path) === path) return true
    problems.push(`FN_VOLUME_ROOTS: expected absolute paths other than /, without . and .., got ${quoted(path)}`)
    return false
  })
}

/** Anything but nothing and `0`. */
export function isOn({ text }: Reading, name: string): boolean {
  return text(name) !== '' && text(name) !== '0'
}

/** Parts between commas. */
export function listOf(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean)
}

function united({ text, problems }: Reading, name: string, parse: (text: string) => number): number | null {
  try {
    return parse(text(name))
  } catch (error) {
    if (!(error instanceof UnitError)) throw error
    problems.push(`${name}: ${error.message}`)
    return null
  }
}

function quoted(text: string): string {
  return JSON.stringify(text)
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host)
}
