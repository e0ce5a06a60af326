// Docker's resource limits: one table with name, unit, range, default and doc line; parsing. Pure. How limits fit together:
// limit-rules.ts; the kernel side (control files, order of writes): runtime/cgroup/.
import { parseBytes } from './units.ts'

/** A rate on one block device; `device` null means the scratch disk. */
export interface DeviceRate {
  readonly device: string | null
  /** bytes a second or operations a second */
  readonly rate: number
}
export interface DeviceWeight {
  readonly device: string
  readonly weight: number
}
export interface Ulimit {
  readonly name: string
  readonly soft: number
  readonly hard: number
}

/** All limits of a sandbox or call, complete. `null` = not limited. Sizes in bytes. */
export interface Limits {
  /** Relative CPU weight under contention, 2–262144. */
  readonly cpuShares: number
  /** CPUs' worth of time, e.g. 0.5. */
  readonly cpus: number | null
  /** CPU list, e.g. `0-1`. */
  readonly cpusetCpus: string | null
  /** Hard limit of RAM, bytes. */
  readonly memory: number
  readonly memoryReservation: number | null
  /** RAM + swap, bytes; −1 unlimited; equal to `memory`: no swap. */
  readonly memorySwap: number
  /** 0–100; cgroup v1 only. */
  readonly memorySwappiness: number | null
  /** Tasks at once. */
  readonly pids: number
  /** 10–1000; null = the default (500), not asked for. */
  readonly blkioWeight: number | null
  readonly blkioWeightDevice: readonly DeviceWeight[]
  readonly deviceReadBps: readonly DeviceRate[]
  readonly deviceWriteBps: readonly DeviceRate[]
  readonly deviceReadIops: readonly DeviceRate[]
  readonly deviceWriteIops: readonly DeviceRate[]
  readonly ulimits: readonly Ulimit[]
  /** Size of /tmp, bytes. */
  readonly tmpfs: number
  /** Size of the disk at /scratch, bytes; null = none. */
  readonly scratch: number | null
  /** Bytes a second received and sent by a sandbox with a network. */
  readonly networkRxBps: number | null
  readonly networkTxBps: number | null
}
export type LimitName = keyof Limits

/** In force where `blkioWeight` is null: Docker's default. */
export const DEFAULT_BLKIO_WEIGHT = 500

export const DEFAULT_LIMITS: Limits = Object.freeze({
  cpuShares: 1024,
  cpus: null,
  cpusetCpus: null,
  memory: 128 * 1024 ** 2,
  memoryReservation: null,
  memorySwap: 256 * 1024 ** 2,
  memorySwappiness: null,
  pids: 64,
  blkioWeight: null,
  blkioWeightDevice: [],
  deviceReadBps: [],
  deviceWriteBps: [],
  deviceReadIops: [],
  deviceWriteIops: [],
  ulimits: [],
  tmpfs: 64 * 1024 ** 2,
  scratch: null,
  networkRxBps: null,
  networkTxBps: null,
})

/** A limit that is unknown, malformed, out of range, or that contradicts another. */
export class LimitError extends Error {
  readonly code = 'LIMIT'
  readonly limit: string
  constructor(limit: string, message: string) {
    super(`${limit}: ${message}`)
    this.name = 'LimitError'
    this.limit = limit
  }
}

export interface LimitDefinition {
  readonly name: LimitName
  /** As a flag, a key in `fn.json` and (where `perCall`) the header `Fn-Limit-<kebab>`. */
  readonly kebab: string
  readonly perCall: boolean
  /** May be given several times (flags) or as a list. */
  readonly repeated: boolean
  readonly unit: string
  readonly doc: string
  /** One value as text or JSON → its parsed form (an element, when repeated). Throws LimitError. */
  readonly parse: (value: string | number) => unknown
}

type Range = { readonly min: number; readonly max: number }
const GIB = 1024 ** 3

function number(name: string, range: Range, integer = true) {
  return (value: string | number): number => {
    const parsed = typeof value === 'number' ? value : /^-?\d+(\.\d+)?$/.test(value.trim()) ? Number(value) : Number.NaN
    if (Number.isNaN(parsed) || (integer && !Number.isInteger(parsed)) || parsed < range.min || parsed > range.max) {
      throw new LimitError(
        name,
        `expected ${integer ? 'a whole number' : 'a number'} from ${range.min} to ${range.max}, got ${JSON.stringify(value)}`,
      )
    }
    return parsed
  }
}

function bytes(name: string, range: Range, unlimited = false) {
  return (value: string | number): number => {
    if (unlimited && (value === -1 || value === '-1')) return -1
    let parsed: number
    try {
      parsed = typeof value === 'number' ? value : parseBytes(value)
    } catch (error) {
      throw new LimitError(name, (error as Error).message)
    }
    if (!Number.isSafeInteger(parsed) || parsed < range.min || parsed > range.max) {
      throw new LimitError(
        name,
        `expected a size from ${sizeText(range.min)} to ${sizeText(range.max)}${unlimited ? ' or -1' : ''}, got ${JSON.stringify(value)}`,
      )
    }
    return parsed
  }
}

function sizeText(value: number): string {
  return value >= GIB ? `${value / GIB}g` : value >= 1024 ** 2 ? `${value / 1024 ** 2}m` : `${value}`
}

function cpuList(value: string | number): string {
  const text = String(value).trim()
  if (!/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(text)) {
    throw new LimitError('cpusetCpus', `expected a CPU list such as 0, 0-1 or 0,2, got ${JSON.stringify(value)}`)
  }
  for (const part of text.split(',')) {
    const [from, to = from] = part.split('-').map(Number)
    if (from! > to! || to! > 8191)
      throw new LimitError('cpusetCpus', `expected a rising CPU range below 8192, got ${JSON.stringify(part)}`)
  }
  return text
}

function deviceRate(name: string, isBytes: boolean) {
  return (value: string | number): DeviceRate => {
    const text = String(value)
    const colon = text.startsWith('/') ? text.lastIndexOf(':') : -1
    if (text.startsWith('/') && colon < 0)
      throw new LimitError(name, `expected DEVICE:RATE or RATE (for the scratch disk), got ${JSON.stringify(value)}`)
    const rateText = text.slice(colon + 1)
    const rate = isBytes
      ? bytes(name, { min: 4096, max: 1024 * GIB })(rateText)
      : number(name, { min: 1, max: 10_000_000 })(rateText)
    return { device: colon < 0 ? null : text.slice(0, colon), rate }
  }
}

function deviceWeight(value: string | number): DeviceWeight {
  const match = /^(\/[^:]+):(\d+)$/.exec(String(value))
  if (!match)
    throw new LimitError(
      'blkioWeightDevice',
      `expected DEVICE:WEIGHT such as /dev/sda:200, got ${JSON.stringify(value)}`,
    )
  return { device: match[1]!, weight: number('blkioWeightDevice', { min: 10, max: 1000 })(match[2]!) }
}

const ULIMIT_NAMES = [
  'as',
  'core',
  'cpu',
  'data',
  'fsize',
  'locks',
  'memlock',
  'msgqueue',
  'nice',
  'nofile',
  'nproc',
  'rss',
  'rtprio',
  'rttime',
  'sigpending',
  'stack',
]
function ulimit(value: string | number): Ulimit {
  const match = /^([a-z]+)=(\d+)(?::(\d+))?$/.exec(String(value))
  if (!match)
    throw new LimitError('ulimits', `expected NAME=SOFT[:HARD] such as nofile=1024:2048, got ${JSON.stringify(value)}`)
  if (!ULIMIT_NAMES.includes(match[1]!))
    throw new LimitError('ulimits', `unknown ulimit ${match[1]}; known: ${ULIMIT_NAMES.join(' ')}`)
  const soft = Number(match[2])
  const hard = match[3] === undefined ? soft : Number(match[3])
  if (!Number.isSafeInteger(hard))
    throw new LimitError(
      'ulimits',
      `expected numbers of at most ${Number.MAX_SAFE_INTEGER}, got ${JSON.stringify(value)}`,
    )
  if (soft > hard) throw new LimitError('ulimits', `soft ${soft} is above hard ${hard} in ${JSON.stringify(value)}`)
  return { name: match[1]!, soft, hard }
}

const NETWORK_RATE: Range = { min: 4096, max: 1024 * GIB }
const MEMORY: Range = { min: 16 * 1024 ** 2, max: 1024 * GIB }
function define(
  name: LimitName,
  unit: string,
  doc: string,
  parse: LimitDefinition['parse'],
  fixed = false,
): LimitDefinition {
  const kebab = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
  return { name, kebab, unit, doc, parse, perCall: !fixed, repeated: Array.isArray(DEFAULT_LIMITS[name]) }
}

/** Every limit, in the order `fn doctor` and `--help` show them. */
export const LIMITS: readonly LimitDefinition[] = Object.freeze([
  define('cpuShares', 'weight', 'relative CPU weight under contention', number('cpuShares', { min: 2, max: 262_144 })),
  define('cpus', 'CPUs', "CPU quota, in CPUs' worth of time", number('cpus', { min: 0.01, max: 1024 }, false)),
  define('cpusetCpus', 'list', 'CPUs the function may run on', cpuList),
  define('memory', 'bytes', 'hard memory limit', bytes('memory', MEMORY)),
  define('memoryReservation', 'bytes', 'soft memory limit under host pressure', bytes('memoryReservation', MEMORY)),
  define('memorySwap', 'bytes', 'memory + swap; -1 unlimited', bytes('memorySwap', MEMORY, true)),
  define(
    'memorySwappiness',
    '0-100',
    'how readily memory is swapped (cgroup v1)',
    number('memorySwappiness', { min: 0, max: 100 }),
  ),
  define('pids', 'tasks', 'processes and threads at once', number('pids', { min: 1, max: 4_194_304 })),
  define('blkioWeight', '10-1000', 'relative block I/O weight (bfq)', number('blkioWeight', { min: 10, max: 1000 })),
  define('blkioWeightDevice', 'DEVICE:WEIGHT', 'block I/O weight on one device (bfq)', deviceWeight),
  define(
    'deviceReadBps',
    '[DEVICE:]bytes/s',
    'read rate of a device or the scratch disk',
    deviceRate('deviceReadBps', true),
  ),
  define(
    'deviceWriteBps',
    '[DEVICE:]bytes/s',
    'write rate of a device or the scratch disk',
    deviceRate('deviceWriteBps', true),
  ),
  define('deviceReadIops', '[DEVICE:]ops/s', 'read operations a second', deviceRate('deviceReadIops', false)),
  define('deviceWriteIops', '[DEVICE:]ops/s', 'write operations a second', deviceRate('deviceWriteIops', false)),
  define('ulimits', 'NAME=SOFT[:HARD]', 'rlimits of the processes inside', ulimit, true),
  define('tmpfs', 'bytes', 'size of /tmp', bytes('tmpfs', { min: 64 * 1024, max: 64 * GIB }), true),
  define(
    'scratch',
    'bytes',
    'size of the disk at /scratch',
    bytes('scratch', { min: 1024 ** 2, max: 1024 * GIB }),
    true,
  ),
  define('networkRxBps', 'bytes/s', 'network bytes received a second (bridge)', bytes('networkRxBps', NETWORK_RATE)),
  define('networkTxBps', 'bytes/s', 'network bytes sent a second (bridge)', bytes('networkTxBps', NETWORK_RATE)),
])
/** A row of `LIMITS`, by its name in `fn.json`. */
export const LIMIT_BY_NAME: ReadonlyMap<string, LimitDefinition> = new Map(LIMITS.map((limit) => [limit.name, limit]))

/** Bounds of what one limit is said by: a text, and a list. */
export const MOST_LIMIT_CHARS = 1024
export const MOST_LIMIT_ENTRIES = 32

/** Parses one limit. `value` is text (flag, header) or JSON; repeated limits take a list or comma-separated text. Throws LimitError. */
export function parseLimit(name: string, value: unknown): Limits[LimitName] {
  const definition = LIMIT_BY_NAME.get(name)
  if (!definition) throw new LimitError(name, `unknown limit; known: ${LIMITS.map((limit) => limit.name).join(' ')}`)
  expectBounded(name, value)
  if (!definition.repeated) {
    if (typeof value !== 'string' && typeof value !== 'number')
      throw new LimitError(name, `expected ${definition.unit}, got ${JSON.stringify(value)}`)
    return definition.parse(value) as Limits[LimitName]
  }
  const list = Array.isArray(value)
    ? value
    : typeof value === 'string'
      ? value.split(',').map((part) => part.trim())
      : [value]
  return list.map((item) => {
    if (typeof item === 'string' || typeof item === 'number') return definition.parse(item)
    throw new LimitError(name, `expected ${definition.unit}, got ${JSON.stringify(item)}`)
  }) as unknown as Limits[LimitName]
}

/** Throws LimitError with bound, value and way out. */
function expectBounded(name: string, value: unknown): void {
  const texts = Array.isArray(value) ? value : [value]
  for (const one of texts.slice(0, MOST_LIMIT_ENTRIES + 1)) {
    if (typeof one === 'string' && one.length > MOST_LIMIT_CHARS)
      throw new LimitError(name, `expected at most ${MOST_LIMIT_CHARS} characters, got ${one.length}; shorten it`)
    if (typeof one === 'object' && one !== null)
      throw new LimitError(name, 'expected a text or a number, got an object')
  }
  const entries = Array.isArray(value) ? value.length : String(value).split(',').length
  if (LIMIT_BY_NAME.get(name)!.repeated && entries > MOST_LIMIT_ENTRIES)
    throw new LimitError(name, `expected at most ${MOST_LIMIT_ENTRIES} entries, got ${entries}; leave some out`)
}

/** Parses an object of limits as in `fn.json` (`{"memory": "64m"}`). Throws LimitError at the first bad one. */
export function parseLimits(input: Readonly<Record<string, unknown>>): Partial<Limits> {
  const limits: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(input)) limits[name] = parseLimit(name, value)
  return limits as Partial<Limits>
}
