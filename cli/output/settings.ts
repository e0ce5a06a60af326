// A version's settings and limits for people. Pure.
import { formatBytes, formatDuration, LIMITS, type Limits } from '../../runtime/api.ts'
import type { FunctionVersion } from '../../worker/api.ts'
import { volumeText } from '../../worker/registry/volume-text.ts'
import type { Style } from './style.ts'
import { formatPairs } from './table.ts'

/** What a version runs with. */
export function formatSettings(version: FunctionVersion, style: Style): string {
  const { config } = version
  const pairs: (readonly [string, string | null])[] = [
    ['version', `${version.version}, created ${version.createdAt}`],
    ['image', version.image],
    ['entry', `${config.entry} (${config.form})`],
    ['timeout', `${formatDuration(config.timeoutMs)}, to load ${formatDuration(config.initTimeoutMs)}`],
    ['concurrency', `${config.concurrency}, in one sandbox ${config.sandboxConcurrency}`],
    ['min warm', config.minWarm > 0 ? String(config.minWarm) : null],
    ['keep alive', config.keepAliveMs === null ? null : formatDuration(config.keepAliveMs)],
    ['freeze grace', config.freezeGraceMs === null ? null : formatDuration(config.freezeGraceMs)],
    ['isolation', config.isolation === 'call' ? 'a fresh sandbox for every call' : null],
    ['leftovers', config.leftovers === 'kill' ? 'killed before the next call' : null],
    ['root', config.writableRootBytes === null ? 'read-only' : `writable, ${formatBytes(config.writableRootBytes)}`],
    ['network', networkText(config)],
    ['volumes', listText((config.volumes ?? []).map(volumeText))],
    ['secrets', listText(config.secrets ?? [])],
    ['env', Object.keys(config.env).length === 0 ? null : Object.keys(config.env).join(' ')],
    ['callers', config.public ? 'anyone' : 'those with a token'],
    ['retry', retryText(config)],
    ['rate', config.rate === undefined ? null : `${config.rate.calls} in ${formatDuration(config.rate.perMs)}`],
    ['on success', config.onSuccess ?? null],
    ['on failure', config.onFailure ?? null],
    ['limits', limitsText(config.limits)],
    ['max limits', limitsText(config.maxLimits) || null],
  ]
  return formatPairs(pairs, style)
}

function networkText({ network, allowHosts }: FunctionVersion['config']): string {
  if (allowHosts === undefined) return network
  return `${network}, reaches ${allowHosts.length === 0 ? 'nothing outside' : `only ${allowHosts.join(' ')}`}`
}

function listText(parts: readonly string[]): string | null {
  return parts.length === 0 ? null : parts.join(' ')
}

/** Of asynchronous calls: the number of runs, and the table where a function has its own. */
function retryText({ retry, retryAttempts }: FunctionVersion['config']): string {
  const runs = `${retryAttempts} run${retryAttempts === 1 ? '' : 's'} at most`
  if (retry === undefined) return runs
  const { on, backoffMs, maxBackoffMs, maxAgeMs } = retry
  const waits = `first wait ${formatDuration(backoffMs)}, longest ${formatDuration(maxBackoffMs)}`
  return `${runs}, after ${on.join(' ') || 'nothing'}, ${waits}, within ${formatDuration(maxAgeMs)}`
}

/** `cpuShares 1024  memory 128m  …`; those that limit nothing are left out. */
export function limitsText(limits: Partial<Limits>): string {
  return LIMITS.flatMap(({ name, unit }) => {
    const value = limits[name]
    if (value === null || value === undefined || (Array.isArray(value) && value.length === 0)) return []
    return [`${name} ${valueText(value, unit.startsWith('bytes'))}`]
  }).join('  ')
}

function valueText(value: NonNullable<Limits[keyof Limits]>, isBytes: boolean): string {
  if (typeof value === 'number') return isBytes && value >= 0 ? formatBytes(value) : String(value)
  if (typeof value === 'string') return value
  return (value as readonly object[])
    .map((item) =>
      Object.values(item)
        .filter((part) => part !== null)
        .join(':'),
    )
    .join(',')
}
