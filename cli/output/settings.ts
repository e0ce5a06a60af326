// A version's settings and limits for people. Pure.
import { formatBytes, formatDuration, LIMITS, type Limits } from '../../runtime/api.ts'
import type { FunctionVersion } from '../../worker/api.ts'
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
    ['env', Object.keys(config.env).length === 0 ? null : Object.keys(config.env).join(' ')],
    ['callers', config.public ? 'anybody' : 'those with a token'],
    ['limits', limitsText(config.limits)],
  ]
  return formatPairs(pairs, style)
}

function networkText({ network, allowHosts }: FunctionVersion['config']): string {
  if (allowHosts === undefined) return network
  return `${network}, reaches ${allowHosts.length === 0 ? 'nothing outside' : `${allowHosts.join(' ')} alone`}`
}

/** `cpuShares 1024  memory 128m  …`; those that limit nothing are left out. */
export function limitsText(limits: Limits): string {
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
