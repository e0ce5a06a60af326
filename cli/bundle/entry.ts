// Finds what a path means: a file or a folder of a function, its entry and the manifest beside it. Reads no file contents.
import { readdirSync, realpathSync, type Stats, statSync } from 'node:fs'
import { basename, dirname, extname, join, relative, resolve, sep } from 'node:path'
import { CliError } from '../errors.ts'
import { isFunctionName } from './manifest.ts'
import { readPackageJson } from './package-folder.ts'

export interface EntryLocation {
  /** Absolute path of the folder that source positions are relative to. */
  readonly folder: string
  /** True when the folder itself was named, not a file in it. */
  readonly isFolder: boolean
  /** Absolute path of the manifest, whether it exists or not. */
  readonly manifestPath: string
  /** The name a function has when neither flag nor manifest gives one: of the file; of a folder its package.json's,
   *  else its own; never `index` or `src`. */
  readonly defaultName: string
  /** Entry relative to `folder` for a file; null for a folder, whose manifest may name it. */
  readonly entry: string | null
}

/** Where a folder's entry is looked for when neither fn.json nor package.json names one, in this order. */
const ENTRY_STEMS = ['src/index', 'index', 'handler', 'app', 'server'] as const
/** Extensions that can be an entry, in the order they are looked for. */
export const ENTRY_EXTENSIONS = ['.ts', '.mts', '.cts', '.tsx', '.js', '.mjs', '.cjs', '.jsx'] as const

/** Locates `path` (relative to `cwd`). Throws CliError FILE_NOT_FOUND | ENTRY_NOT_FOUND. */
export function locateEntry(path: string, cwd: string): EntryLocation {
  const absolute = resolve(cwd, path)
  const stats = statOrNull(absolute)
  if (stats === null) throw notFound(path, absolute)
  if (stats.isDirectory()) {
    return {
      folder: realpathSync(absolute),
      isFolder: true,
      manifestPath: join(absolute, 'fn.json'),
      defaultName: packageLabel(absolute) ?? folderName(absolute),
      entry: null,
    }
  }
  const extension = extname(absolute)
  if (!(ENTRY_EXTENSIONS as readonly string[]).includes(extension)) {
    throw new CliError('ENTRY_NOT_FOUND', `${path} is not a TypeScript or JavaScript file`, {
      hints: [`expected a file ending in ${ENTRY_EXTENSIONS.join(' ')}, or a folder with an index.ts`],
    })
  }
  const stem = basename(absolute, extension)
  const folder = dirname(absolute)
  // What a link leads to is the code: its imports count from there. Name and manifest are the link's.
  const real = realpathSync(absolute)
  const manifestPath = join(folder, `${stem}.fn.json`)
  const realManifest = join(dirname(real), `${basename(real, extname(real))}.fn.json`)
  return {
    folder: dirname(real),
    isFolder: false,
    manifestPath: statOrNull(manifestPath) === null && statOrNull(realManifest) ? realManifest : manifestPath,
    defaultName: SAYS_NOTHING.has(stem) ? folderName(folder) : stem,
    entry: basename(real),
  }
}

/** Entry of a folder: what its manifest names, else `main` of package.json, else `src/index`, `index`, `handler`, `app`, `server`.
 *  Relative to the folder. Throws CliError ENTRY_NOT_FOUND. */
export function folderEntry(folder: string, named: string | null, shown: string): string {
  if (named !== null) {
    const absolute = resolve(folder, named)
    const inside = relative(folder, absolute)
    if (inside.startsWith('..') || inside === '') {
      throw new CliError('ENTRY_NOT_FOUND', `entry ${JSON.stringify(named)} of ${shown} lies outside the folder`)
    }
    if (!statOrNull(absolute)?.isFile()) {
      throw new CliError('ENTRY_NOT_FOUND', `entry ${JSON.stringify(named)} of ${shown} does not exist`)
    }
    return inside
  }
  const main = readPackageJson(folder)?.main
  const mainEntry = typeof main === 'string' ? mainFile(folder, main) : null
  if (mainEntry !== null) return mainEntry
  for (const stem of ENTRY_STEMS) {
    for (const extension of ENTRY_EXTENSIONS) {
      if (statOrNull(join(folder, `${stem}${extension}`))?.isFile()) return `${stem}${extension}`
    }
  }
  const candidates = readdirSync(folder)
    .filter((name) => (ENTRY_EXTENSIONS as readonly string[]).includes(extname(name)) && !name.endsWith('.d.ts'))
    .sort()
    .slice(0, 5)
  const lookedAt = typeof main === 'string' ? `${main} (main of package.json), ` : ''
  throw new CliError('ENTRY_NOT_FOUND', `folder ${shown} has no entry`, {
    details: `looked for: entry of fn.json, ${lookedAt}${ENTRY_STEMS.map((stem) => `${stem}.ts`).join(', ')}; .mts .cts .tsx .js .mjs .cjs .jsx as well`,
    hints:
      candidates.length === 0
        ? ['a function is a .ts or .js file, or a folder with an index.ts']
        : [
            `deploy one file, e.g. fn deploy ${join(shown, candidates[0]!)}`,
            `or name the entry in ${join(shown, 'fn.json')}: {"entry": ${JSON.stringify(candidates[0])}}`,
          ],
  })
}

/** What `main` of package.json names: a file, with or without its ending, or a folder's index. null where nothing of it is there. */
function mainFile(folder: string, main: string): string | null {
  for (const ending of ['', ...ENTRY_EXTENSIONS, ...ENTRY_EXTENSIONS.map((extension) => `/index${extension}`)]) {
    const path = resolve(folder, `${main}${ending}`)
    const inside = relative(folder, path)
    const isEntry = !inside.startsWith('..') && (ENTRY_EXTENSIONS as readonly string[]).includes(extname(path))
    if (isEntry && statOrNull(path)?.isFile()) return inside
  }
  return null
}

/** Names that say where code lies, not what it does: the folder above names the function. */
const SAYS_NOTHING: ReadonlySet<string> = new Set(['index', 'src'])

/** The name in a folder's package.json, without its scope, where it can be a function's. */
function packageLabel(folder: string): string | null {
  const name = readPackageJson(folder)?.name
  const label = typeof name === 'string' ? name.replace(/^@[^/]+\//, '') : ''
  return isFunctionName(label) && !SAYS_NOTHING.has(label) ? label : null
}

/** The last part of a folder's path that says something; the last part where none does. */
function folderName(folder: string): string {
  const parts = folder.split(sep).filter(Boolean)
  return parts.findLast((part) => !SAYS_NOTHING.has(part)) ?? basename(folder)
}

function statOrNull(path: string): Stats | null {
  return statSync(path, { throwIfNoEntry: false }) ?? null
}

function notFound(path: string, absolute: string): CliError {
  const hints: string[] = []
  for (const extension of ENTRY_EXTENSIONS) {
    if (statOrNull(`${absolute}${extension}`)) hints.push(`did you mean ${path}${extension}?`)
  }
  if (hints.length === 0) {
    const close = closeNames(dirname(absolute), basename(absolute))
    hints.push(...close.map((name) => `did you mean ${join(dirname(path), name)}?`))
  }
  return new CliError('FILE_NOT_FOUND', `${path}: no such file or folder`, { hints })
}

/** Names in `folder` that differ from `name` by at most two letters. */
function closeNames(folder: string, name: string): string[] {
  if (!statOrNull(folder)?.isDirectory()) return []
  return readdirSync(folder)
    .filter((candidate) => !candidate.startsWith('.') && distance(candidate, name) <= 2)
    .sort()
    .slice(0, 3)
}

/** Levenshtein's distance. */
function distance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index)
  for (let i = 1; i <= left.length; i++) {
    const next = [i]
    for (let j = 1; j <= right.length; j++) {
      const swap = row[j - 1]! + (left[i - 1] === right[j - 1] ? 0 : 1)
      next.push(Math.min(swap, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[right.length]!
}
