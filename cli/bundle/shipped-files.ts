// The files that ship with the code, read-only below /code: what `files` in fn.json lists, and what the code names. A file is
// sent as it is; a module that runs by itself (a worker thread, a plugin) is bundled under its own name.
import { existsSync, globSync, realpathSync, statSync } from 'node:fs'
import { dirname, join, posix, relative, sep } from 'node:path'
import { CliError } from '../errors.ts'
import { placeOf } from './own-sources.ts'
import { readPackageJson } from './package-folder.ts'

/** One file that ships. */
export interface BesideFile {
  /** Its path in the tar: `files/templates/a.html`. */
  readonly member: string
  /** Where it is here; null: `content` has it. */
  readonly path: string | null
  readonly content: Buffer | null
  readonly mode: 0o644 | 0o755
}

/** Most files that ship with one function; those of packages do not count. */
const MOST_FILES = 10_000
const MOST_PATTERNS = 100

/** Absolute paths, sorted, of what `files` of a manifest names. Throws CliError MANIFEST_INVALID for what is no list of patterns
 *  below the folder, or for a pattern that no file fits. */
export function listedFiles(files: unknown, root: string, shown: string): string[] {
  if (files === undefined) return []
  const invalid = (why: string) => new CliError('MANIFEST_INVALID', `${shown}: files: ${why}`)
  if (!Array.isArray(files) || files.some((one) => typeof one !== 'string' || one === ''))
    throw invalid(
      `expected a list of patterns such as ["public/**", "templates/*.html"], got ${JSON.stringify(files)?.slice(0, 80)}`,
    )
  if (files.length > MOST_PATTERNS) throw invalid(`expected at most ${MOST_PATTERNS} patterns, got ${files.length}`)
  const found = new Set<string>()
  for (const written of files as string[]) {
    // In the order of the list, as in .gitignore: a pattern with `!` takes away what is there by then.
    const isTakenAway = written.startsWith('!')
    const pattern = isTakenAway ? written.slice(1) : written
    if (pattern.startsWith('/') || pattern.split('/').includes('..'))
      throw invalid(`${JSON.stringify(pattern)} leads out of the folder; name files below it`)
    const wanted = isFolder(join(root, pattern)) ? posix.join(pattern, '**') : pattern
    const fits = globSync(wanted, { cwd: root, exclude: (name) => /(^|[\\/])(node_modules|\.git|\.fn)$/.test(name) })
    const paths = fits.map((name) => join(root, name)).filter((path) => !isFolder(path))
    if (isTakenAway) {
      for (const path of paths) found.delete(path)
      continue
    }
    if (paths.length === 0) {
      const dots =
        fits.length > 0 || hasDotNames(root, wanted) ? ' (names that begin with a dot have to be written out)' : ''
      throw invalid(`no file fits ${JSON.stringify(pattern)} below ${root}${dots}`)
    }
    for (const path of paths) found.add(path)
  }
  if (found.size > MOST_FILES) throw invalid(`expected at most ${MOST_FILES} files, got ${found.size}`)
  const real = realpathSync(root)
  for (const path of found) {
    const target = realpathSync(path)
    if (!target.startsWith(real + sep)) throw invalid(`${relative(root, path)} is a link to outside the folder`)
  }
  return [...found].sort()
}

/** How each file ships. `named`: true for a module that runs by itself, which `bundle` makes one file of; `listed` files ship as
 *  they are unless the code starts them. Throws CliError BUNDLE_FAILED for more than may ship. */
export async function besideFiles(
  listed: readonly string[],
  named: ReadonlyMap<string, boolean>,
  root: string,
  bundle: (path: string, format: 'esm' | 'cjs') => Promise<Buffer>,
): Promise<BesideFile[]> {
  const paths = new Set([...listed, ...named.keys()])
  if (paths.size > MOST_FILES) {
    throw new CliError('BUNDLE_FAILED', `more than ${MOST_FILES} files would ship beside the code`, {
      details: `the first of them: ${[...paths]
        .slice(0, 3)
        .map((path) => relative(root, path))
        .join(', ')}`,
      hints: ['the code names a folder that holds them; keep large folders in a volume or in object storage'],
    })
  }
  const all: BesideFile[] = []
  for (const path of [...paths].sort()) {
    const member = posix.join('files', placeOf(root, path))
    if (named.get(path) === true) {
      const content = await bundle(sourceOf(path), moduleFormat(path, root, paths))
      all.push({ member, path: null, content, mode: 0o644 })
    } else {
      all.push({ member, path, content: null, mode: statSync(path).mode & 0o111 ? 0o755 : 0o644 })
    }
  }
  return all
}

/** The source of a module that is named as it is called once compiled: `worker.ts` of `worker.js`; the path itself where it is
 *  there, or where no such source is. */
export function sourceOf(path: string): string {
  if (existsSync(path)) return path
  const stem = /^(.*\.[cm]?)js$/.exec(path)?.[1]
  const endings = stem?.endsWith('.') ? ['ts', 'tsx'] : ['ts']
  return endings.map((ending) => `${stem}${ending}`).find((source) => stem !== undefined && existsSync(source)) ?? path
}

/** What Node takes a module for inside, where only a package.json that ships counts. */
function moduleFormat(path: string, root: string, shipped: ReadonlySet<string>): 'esm' | 'cjs' {
  const kind = /\.([cm]?)[jt]sx?$/.exec(path)?.[1]
  if (kind === 'm') return 'esm'
  if (kind === 'c') return 'cjs'
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    if (shipped.has(join(folder, 'package.json'))) return readPackageJson(folder)?.type === 'module' ? 'esm' : 'cjs'
    if (folder === root || folder === dirname(folder)) return 'cjs'
  }
}

function hasDotNames(root: string, pattern: string): boolean {
  return globSync(pattern.replaceAll('**', '**/.*'), { cwd: root }).length > 0
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}
