// Which files code reads at run time by a name that stands in it: `readFileSync(join(__dirname, 'x'))`, `new URL('./x',
// import.meta.url)` and the like. The one door to @vercel/nft, which knows the forms; only modules that ask where they lie, or
// name a file, are looked at, each by itself. Nothing of the author's code runs.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, extname, relative, resolve, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { type Loader, transform } from 'esbuild'
import { filesFromWorkingFolder, templatesBeside } from './files-from-working-folder.ts'
import { INSIDE, insidePath, isOfPackage, workspacePackage } from './own-sources.ts'
import { owningPackage } from './package-folder.ts'
import { sourceOf } from './shipped-files.ts'

export interface FileReferences {
  /** The author's files by absolute path; true: a module that runs by itself (a worker thread, a plugin). */
  readonly own: ReadonlyMap<string, boolean>
  /** Folders of packages that read files of their own. */
  readonly packages: ReadonlySet<string>
  /** What is named and cannot ship, a sentence each. */
  readonly notes: readonly string[]
}

/** Cheap signs that a module may name a file. */
const NAMES_FILES =
  /\bimport\.meta\b|\b__(?:dir|file)name\b|\bprocess\.cwd\b|\b(?:readFile|createReadStream|readdir|sendFile|static|Worker|fork)\w*\s*\(/
/** A folder that is handed out, or kept for later: what is read in it cannot be seen from here. */
const HANDS_OUT =
  /(?:[=:?]|\breturn|\b(?:resolve|normalize)\()\s*(?:__dirname|import\.meta\.dirname)\s*(?:\+\s*(["'`])\/?\1)?\s*(?:[;,)}\n]|$)/
/** What is no code, nor only for people. */
const DATA = /\.(?!(?:[cm]?[jt]sx?|map|json|md|markdown|txt|ya?ml|lock|flow)$)[a-z0-9]+$/i

/** Whether a package has files that code could read. */
function hasData(folder: string): boolean {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  return names.some((name) => DATA.test(name) && !/(^|[\\/])(node_modules|\.[^\\/]*)([\\/]|$)/.test(name))
}

/** A literal that has to be there: `new URL('./x', import.meta.url)`. */
const LITERAL_URL = /\bnew URL\(\s*(['"`])(\.{1,2}\/[^'"`$]+)\1\s*,\s*import\.meta\.url\s*\)/g
/** Never taken along unless `files` names them. */
const PRIVATE = /(^|[\\/])(\.env[^\\/]*|\.git|\.fn|\.npmrc|\.ssh)([\\/]|$)/

/** `inputs`: absolute paths of the modules of a bundle; `root`: the function's folder. */
export async function findReferences(inputs: readonly string[], root: string): Promise<FileReferences> {
  const texts = new Map<string, string>()
  const own = new Map<string, boolean>()
  for (const path of inputs) {
    if (!/\.[cm]?[jt]sx?$/.test(path)) continue
    const text = textOf(path)
    if (text === null) continue
    if (!isOfPackage(path)) addNamed(own, path, text, root)
    if (NAMES_FILES.test(text)) texts.set(path, text)
  }
  const notes = [...texts].flatMap(([path, text]) => (isOfPackage(path) ? [] : missingFiles(path, text, root)))
  const found = texts.size === 0 ? [] : await trace([...texts.keys()], root)
  const packages = new Set<string>()
  for (const [path, text] of texts) {
    const owner = isOfPackage(path) && HANDS_OUT.test(text) ? owningPackage(path) : null
    if (owner !== null && hasData(owner)) packages.add(owner)
  }
  for (const { path, parents } of found) {
    if (parents.some((parent) => isOfPackage(parent))) {
      const owner = owningPackage(path)
      if (owner !== null && parents.some((parent) => owningPackage(parent) === owner)) packages.add(owner)
    } else if (inputs.includes(path) || isOfPackage(relative(root, path))) {
    } else if (!isBelow(root, path) && !parents.some((parent) => isOfSamePackage(parent, path)))
      notes.push(outside(path, root))
    else own.set(path, isModule(path) && parents.some((parent) => runs(texts.get(parent) ?? '', path)))
  }
  for (const path of [...own.keys()].flatMap(templatesBeside)) if (!own.has(path)) own.set(path, false)
  for (const path of [...own.keys()].filter((path) => PRIVATE.test(relative(root, path)))) {
    own.delete(path)
    notes.push(`${relative(root, path)} does not ship; name it in "files" of fn.json if it has to`)
  }
  return { own, packages, notes: [...new Set(notes)] }
}

/** null in an archive of Yarn's, which only the bundler can open. */
function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

/** A module that starts itself once more: a thread or a process of the same file. */
const STARTS_ITSELF =
  /\b(?:Worker|fork)\(\s*(?:__filename|import\.meta\.filename|new URL\(import\.meta\.url\)|fileURLToPath\(import\.meta\.url\))/

/** What the tracer does not know: names that count from the working folder, a module that starts itself, and modules of threads
 *  that are named as they are called once compiled (`./worker.js` for `worker.ts`). */
function addNamed(own: Map<string, boolean>, path: string, text: string, root: string): void {
  const started = [...text.matchAll(STARTS)].map(([, named]) => named!)
  for (const file of filesFromWorkingFolder(path, text, root)) {
    own.set(file, isModule(file) && started.some((named) => resolve(root, named) === file))
  }
  if (STARTS_ITSELF.test(text)) own.set(resolve(root, relative(INSIDE, insidePath(root, path))), true)
  for (const named of started) {
    for (const from of [dirname(path), root]) {
      const file = resolve(from, named)
      if (isBelow(root, file) && !existsSync(file) && sourceOf(file) !== file) own.set(file, true)
    }
  }
}

/** Whether a file lies in the package of the module that names it, elsewhere in the workspace. */
function isOfSamePackage(parent: string, path: string): boolean {
  const folder = workspacePackage(parent)?.folder
  return folder !== undefined && isBelow(folder, path)
}

/** A script for browsers is served, not run here. */
function isModule(path: string): boolean {
  return /\.[cm]?[jt]sx?$/.test(path) && !/\.d\.[cm]?ts$|\.min\.js$|[\\/](public|static|assets|www)[\\/]/.test(path)
}

/** `require(name)`, `import(name)`: of a name that is made at run time. */
const COMPUTED = /\b(?:require|import)\(\s*(?!['"`][^'"`$]*['"`]\s*[,)])/
const STARTS = /\b(?:new\s+Worker|new\s+Piscina|fork|filename\s*:)[^;]{0,200}?['"`]([^'"`]+)['"`]/g

/** Whether a module starts the file at `path`, as a thread, a process or a plugin. */
function runs(text: string, path: string): boolean {
  const name = basename(path)
  return COMPUTED.test(text) || [...text.matchAll(STARTS)].some(([, named]) => named!.split('/').at(-1) === name)
}

/** Nothing there ships, and what a name made at run time (`/proc/${pid}/stat`) may stand for would be searched through. */
const OF_THE_KERNEL = /^(?:proc|sys|dev|run)(?:\/|$)/

interface Found {
  readonly path: string
  /** The modules that name it. */
  readonly parents: readonly string[]
}

async function trace(modules: readonly string[], root: string): Promise<Found[]> {
  const { nodeFileTrace } = await import('@vercel/nft')
  const { reasons } = await nodeFileTrace([...modules], {
    base: '/',
    processCwd: root,
    ignore: (path) => OF_THE_KERNEL.test(path),
    // Only what these modules name themselves: the bundle holds what they import.
    resolve: async () => [],
    readFile: (path) => plainText(path),
  })
  const start = new Set(modules.map((path) => path.slice(1)))
  const found: Found[] = []
  for (const [name, reason] of reasons) {
    const parents = [...reason.parents].filter((parent) => start.has(parent)).map((parent) => `/${parent}`)
    const isNamed = reason.type.includes('asset') || reason.type.includes('sharedlib') || !start.has(name)
    // The package.json of each module's folder is looked at by the tracer itself.
    const isOnlyLookedAt = reason.type.every((type) => type === 'resolve') && !asksForManifest(parents)
    if (parents.length > 0 && isNamed && !isOnlyLookedAt && isFile(`/${name}`))
      found.push({ path: `/${name}`, parents })
  }
  return found
}

const LOADERS: Readonly<Record<string, Loader>> = {
  '.ts': 'ts',
  '.mts': 'ts',
  '.cts': 'ts',
  '.tsx': 'tsx',
  '.jsx': 'jsx',
}

/** The same to the tracer, which knows the other form. */
const META_RESOLVE = /\bimport\.meta\.resolve\(\s*((['"])\.{1,2}\/[^'"\n]+\2)\s*\)/g

/** As plain JavaScript; null where it cannot be read or parsed, which esbuild has said already. */
async function plainText(path: string): Promise<string | null> {
  try {
    const text = readFileSync(path, 'utf8').replace(META_RESOLVE, 'new URL($1, import.meta.url)')
    const loader = LOADERS[extname(path)]
    return loader === undefined ? text : (await transform(text, { loader, format: 'esm', jsx: 'automatic' })).code
  } catch {
    return null
  }
}

/** `require('./package.json')` of a require made at run time counts like the tracer's own look. */
function asksForManifest(parents: readonly string[]): boolean {
  return parents.some((path) => !isOfPackage(path) && /['"`][./]*package\.json['"`]/.test(readFileSync(path, 'utf8')))
}

function missingFiles(path: string, text: string, root: string): string[] {
  return [...text.matchAll(LITERAL_URL)].flatMap(([, , named]) => {
    const file = URL.parse(named!, pathToFileURL(path))
    const isThere = file !== null && existsSync(sourceOf(pathOf(file) ?? named!))
    return isThere ? [] : [`${relative(root, path)} names ${named}, which does not exist and so does not ship`]
  })
}

/** null for an address that is no path: a `%` that begins no escape. */
function pathOf(address: URL): string | null {
  try {
    return fileURLToPath(address)
  } catch {
    return null
  }
}

function outside(path: string, root: string): string {
  return `${relative(root, path)} lies outside the function's folder and does not ship; deploy a folder that holds both`
}

function isBelow(root: string, path: string): boolean {
  const below = relative(root, path)
  return below !== '' && below !== '..' && !below.startsWith(`..${sep}`)
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true
}
