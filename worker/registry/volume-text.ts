// Volumes as people write them: `uploads:/data`, `uploads:/data:ro`, `/srv/files:/files:rw`, `tmpfs:/cache:size=64m`. Pure.
import { formatBytes, parseBytes, UnitError } from '../../runtime/api.ts'
import type { VolumeUse } from '../api.ts'
import { isDnsLabel } from './names.ts'

/** Most volumes of one function. */
export const MOST_VOLUMES = 16
const SMALLEST_TMPFS_BYTES = 64 * 1024
const FORMS = 'NAME:/path[:ro|rw], /host/folder:/path[:ro|rw] or tmpfs:/path:size=64m'
/** Where the platform has something of its own; `tmp` is a tmpfs already (`limits.tmpfs`). */
const TAKEN: ReadonlySet<string> = new Set(
  'bin boot code dev etc lib lib32 lib64 libx32 proc run runtime sbin scratch sys tmp usr'.split(' '),
)

/** A volume in the form `parseVolume` reads. */
export function volumeText(use: VolumeUse): string {
  if (use.kind === 'tmpfs') return `tmpfs:${use.path}:size=${formatBytes(use.sizeBytes)}`
  return `${use.kind === 'bind' ? use.source : use.name}:${use.path}:${use.readOnly ? 'ro' : 'rw'}`
}

/** One volume. Throws UnitError with what was expected and got. A named volume is writable, a host folder read-only, unless said. */
export function parseVolume(text: string): VolumeUse {
  const [from = '', path = '', option, ...rest] = text.split(':')
  if (from === '' || path === '' || rest.length > 0)
    throw new UnitError(`expected ${FORMS}, got ${JSON.stringify(text.slice(0, 200))}`)
  checkPath(path)
  if (from === 'tmpfs') return { kind: 'tmpfs', path, sizeBytes: parseTmpfsSize(option) }
  if (option !== undefined && option !== 'ro' && option !== 'rw')
    throw new UnitError(`expected ro or rw after ${from}:${path}, got ${JSON.stringify(option.slice(0, 80))}`)
  if (from.startsWith('/')) {
    if (!isPlainPath(from)) throw new UnitError(`expected a host folder without . and .., got ${JSON.stringify(from)}`)
    return { kind: 'bind', source: from, path, readOnly: option !== 'rw' }
  }
  if (!isDnsLabel(from))
    throw new UnitError(`expected a volume name (a-z, 0-9, -), got ${JSON.stringify(from.slice(0, 80))}`)
  return { kind: 'named', name: from, path, readOnly: option === 'ro' }
}

function parseTmpfsSize(option: string | undefined): number {
  const match = /^size=(.+)$/.exec(option ?? '')
  if (match === null) throw new UnitError('expected tmpfs:/path:size=64m: a tmpfs has a size')
  const bytes = parseBytes(match[1]!)
  if (bytes < SMALLEST_TMPFS_BYTES)
    throw new UnitError(`expected a size of at least ${formatBytes(SMALLEST_TMPFS_BYTES)}, got ${match[1]}`)
  return bytes
}

function checkPath(path: string): void {
  if (!isPlainPath(path))
    throw new UnitError(`expected an absolute path such as /data, got ${JSON.stringify(path.slice(0, 200))}`)
  const first = path.split('/')[1]!
  if (TAKEN.has(first)) throw new UnitError(`/${first} is the platform's; take another path, such as /data`)
}

/** Absolute, at least one segment, none of them `.`, `..` or empty, nothing a mount table would have to escape. */
function isPlainPath(path: string): boolean {
  if (path.length > 1024 || !/^(\/[\w.+@%=~-]+)+$/.test(path)) return false
  return !path.split('/').some((segment) => segment === '.' || segment === '..' || segment.length > 255)
}

/** What is wrong with these volumes together, or null: too many, or one on or in another's path. */
export function conflictOf(volumes: readonly VolumeUse[]): string | null {
  if (volumes.length > MOST_VOLUMES) return `expected at most ${MOST_VOLUMES}, got ${volumes.length}`
  const paths = volumes.map(({ path }) => path).sort()
  for (const one of paths) {
    const within = paths.find((other) => other !== one && other.startsWith(`${one}/`))
    if (within !== undefined) return `${within} lies within ${one}`
  }
  const twice = paths.find((path, index) => path === paths[index + 1])
  return twice === undefined ? null : `${twice} is taken twice`
}
