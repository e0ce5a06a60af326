// Reads `fn.json` and lays the flags of a deploy over it. What the keys mean, and whether values are good, is the platform's
// business: here only JSON, the shape needed for merging, and the name.
import { JsonBoundError, parseBoundedJson } from '../../worker/registry/bounded-json.ts'
import { readBoundedFile } from '../bounded-file.ts'
import { CliError } from '../errors.ts'

/** `fn.json` as JSON. */
export type Manifest = Readonly<Record<string, unknown>>

/** What a deploy's flags say over the manifest; keys are those of `fn.json`. */
export interface ManifestFlags {
  readonly name?: string
  /** Plain keys: timeout, concurrency, minWarm, … */
  readonly settings?: Readonly<Record<string, unknown>>
  /** Merged into `env` by key. */
  readonly env?: Readonly<Record<string, string>>
  /** Merged into `limits` by key; values as text. */
  readonly limits?: Readonly<Record<string, unknown>>
}

/** As the platform takes it. */
const MOST_BYTES = 1024 ** 2

/** Reads a manifest; a file that is not there is an empty one. Throws CliError MANIFEST_INVALID with the position. */
export function readManifest(path: string, shown: string): Manifest {
  let text: string
  try {
    text = readBoundedFile(path, MOST_BYTES).toString('utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw new CliError('MANIFEST_INVALID', `${shown}: ${(error as Error).message}`, { cause: error })
  }
  let parsed: unknown
  try {
    parsed = parseBoundedJson(text)
  } catch (error) {
    if (error instanceof JsonBoundError)
      throw new CliError('MANIFEST_INVALID', `${shown}: ${error.message}`, { cause: error })
    const { message } = error as Error
    throw new CliError(
      'MANIFEST_INVALID',
      `${shown}:${badPosition(text, message)}: not valid JSON: ${plainReason(message)}`,
      {
        cause: error,
      },
    )
  }
  if (!isObject(parsed)) throw new CliError('MANIFEST_INVALID', `${shown}: expected a JSON object, got ${kind(parsed)}`)
  for (const key of ['env', 'limits'] as const) {
    if (parsed[key] !== undefined && !isObject(parsed[key])) {
      throw new CliError('MANIFEST_INVALID', `${shown}: ${key}: expected an object, got ${kind(parsed[key])}`)
    }
  }
  for (const key of ['name', 'entry'] as const) {
    if (parsed[key] !== undefined && typeof parsed[key] !== 'string') {
      throw new CliError('MANIFEST_INVALID', `${shown}: ${key}: expected text, got ${kind(parsed[key])}`)
    }
  }
  // An editor's schema reference is no setting.
  const { $schema: _schema, ...manifest } = parsed
  return manifest
}

/** Lays flags over a manifest. `env` and `limits` are merged key by key; every other key is replaced. */
export function mergeManifest(manifest: Manifest, flags: ManifestFlags): Manifest {
  const merged: Record<string, unknown> = { ...manifest, ...flags.settings }
  for (const key of ['env', 'limits'] as const) {
    const over = flags[key]
    if (over !== undefined && Object.keys(over).length > 0) merged[key] = { ...(manifest[key] as object), ...over }
  }
  if (flags.name !== undefined) merged.name = flags.name
  return merged
}

const DNS_LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

export function isFunctionName(name: string): boolean {
  return DNS_LABEL.test(name) && name !== 'thaw'
}

/** The name a function gets; a name is a DNS label, for it becomes one. Throws CliError NAME_INVALID with a good name. */
export function chooseName(manifest: Manifest, defaultName: string): string {
  const named = manifest.name
  const name = typeof named === 'string' ? named : defaultName
  if (isFunctionName(name)) return name
  const better = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 63)
    .replace(/^-+|-+$/g, '')
  const why = name === 'thaw' ? 'is reserved' : 'is not a DNS label (lower-case letters, digits and -, at most 63)'
  throw new CliError('NAME_INVALID', `function name ${JSON.stringify(name)} ${why}`, {
    hints: [better === '' || better === 'thaw' ? 'choose one with --name' : `choose one, e.g. --name ${better}`],
  })
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function kind(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`
}

/** `line:column` of the first character that no JSON could have there. V8 tells it for some mistakes only. */
function badPosition(text: string, message: string): string {
  const told = /\(line (\d+) column (\d+)\)/.exec(message)
  if (told) return `${told[1]}:${told[2]}`
  let good = 0
  let bad = text.length + 1
  while (bad - good > 1) {
    const middle = (good + bad) >> 1
    if (isOpenPrefix(text.slice(0, middle))) good = middle
    else bad = middle
  }
  const lines = text.slice(0, good).split('\n')
  return `${lines.length}:${lines.at(-1)!.length + 1}`
}

/** True when more text could still make it JSON: V8 has no complaint before the end. */
function isOpenPrefix(prefix: string): boolean {
  try {
    JSON.parse(prefix)
    return true
  } catch (error) {
    const { message } = error as Error
    const at = /at position (\d+)/.exec(message)?.[1]
    return /end of JSON input|Unterminated string/.test(message) || Number(at) >= prefix.length
  }
}

function plainReason(message: string): string {
  return message.replace(/, (\.\.\.)?"[\s\S]*is not valid JSON.*$/, '').replace(/ in JSON at position.*$/, '')
}
