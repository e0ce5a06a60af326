// An author's own modules as esbuild reads them: each knows where it lies inside (`import.meta.url`, `__dirname`), a JSX pragma
// is enough, and decorators have their metadata where the project asks for it. Packages are left as they are.
import { readFileSync } from 'node:fs'
import { basename, dirname, extname, posix, relative, sep } from 'node:path'
import type { Loader, Plugin } from 'esbuild'
import { readPackageJson } from './package-folder.ts'

/** Where the code lies inside a sandbox. */
export const INSIDE = '/code'

/** What the names stand for in an own module; a bundled package has what the banner says. */
export const LOCATION_DEFINES: Readonly<Record<string, string>> = {
  'import.meta.url': '__fn_url',
  'import.meta.filename': '__fn_file',
  'import.meta.dirname': '__fn_dir',
  __filename: '__fn_file',
  __dirname: '__fn_dir',
}

const LOADERS: Readonly<Record<string, Loader>> = {
  '.ts': 'ts',
  '.mts': 'ts',
  '.cts': 'ts',
  '.tsx': 'tsx',
  '.js': 'js',
  '.mjs': 'js',
  '.cjs': 'js',
  '.jsx': 'jsx',
}
const ASKS_WHERE = /\bimport\.meta\b|\b__(?:dir|file)name\b/
const JSX_SOURCE = /@jsxImportSource\s+\S/
const JSX_RUNTIME = '/** @jsxRuntime automatic */'
/** What was put before a first line; messages are shown without it. */
const PUT_BEFORE =
  /^(?:"use strict";)?(?:\/\*\* @jsxRuntime automatic \*\/)?(?:var __fn_url="[^"]*",__fn_file="[^"]*",__fn_dir="[^"]*";)?(?:\/\*looks up\*\/.*?\/\*code\*\/)?/

/** Path inside of a module: `/code/src/x.js`. */
export function insidePath(root: string, path: string): string {
  return posix.join(INSIDE, placeOf(root, path).replace(/\.([cm]?)tsx?$/, '.$1js'))
}

/** Where a file lies below `/code`: as below `root`, one of another package of the workspace in `node_modules` under that package's name,
 *  any other in `/code` itself. */
export function placeOf(root: string, path: string): string {
  const below = relative(root, path)
  if (!below.startsWith('..')) return posix.join(...below.split(sep))
  const owner = workspacePackage(path)
  if (owner === null) return basename(path)
  return posix.join('node_modules', owner.name, ...relative(owner.folder, path).split(sep))
}

/** The package that a file outside the function's folder belongs to: one that a workspace links. */
export function workspacePackage(path: string): { readonly folder: string; readonly name: string } | null {
  if (isOfPackage(path)) return null
  for (let folder = dirname(path); folder !== dirname(folder); folder = dirname(folder)) {
    const manifest = readPackageJson(folder)
    if (manifest !== null) return typeof manifest.name === 'string' ? { folder, name: manifest.name } : null
  }
  return null
}

/** The variables that `LOCATION_DEFINES` names, for the file at `path` inside. */
export function locationVariables(path: string): string {
  const [url, file, folder] = [`file://${path}`, path, posix.dirname(path)].map((text) => JSON.stringify(text))
  return `var __fn_url=${url},__fn_file=${file},__fn_dir=${folder};`
}

/** A compiled module in place of its source. */
export interface CompiledSource {
  readonly text: string
  readonly loader: Loader
}

/** esbuild plugin for one root; `compiled` has, by path, what stands in place of sources. */
export function ownSources(root: string, compiled: ReadonlyMap<string, CompiledSource>): Plugin {
  return {
    name: 'own-sources',
    setup(build) {
      build.onLoad({ filter: /\.[cm]?[jt]sx?$/, namespace: 'file' }, ({ path }) => {
        if (isOfPackage(path)) return undefined
        const made = compiled.get(path)
        const written = made?.text ?? readFileSync(path, 'utf8')
        const text = plainLookups(written)
        const before = textBefore(text, insidePath(root, path))
        if (made === undefined && before === '' && text === written) return undefined
        const loader = made?.loader ?? LOADERS[extname(path)] ?? 'js'
        // A hashbang is valid only as the very first characters.
        const hashbang = /^#!.*\n?/.exec(text)?.[0] ?? ''
        return { contents: hashbang + before + text.slice(hashbang.length), loader, resolveDir: dirname(path) }
      })
    },
  }
}

/** `const require = createRequire(import.meta.url)`, as ES modules write it. */
const MADE_REQUIRE =
  /^([ \t]*(?:export )?(?:const|let|var)[ \t]+)([\w$]+)([ \t]*(?::[^=\n]+)?=[ \t]*(?:[\w$]+\.)?createRequire\((?:import\.meta\.(?:url|filename)|__filename)\);?)/gm
/** In place of `require.resolve` and `import.meta.resolve`, which count from the module: names of the same length, so that columns
 *  stay. */
const RESOLVES = '__fn_resolving_'
const META_RESOLVES = '__fn_meta_resolving'

/** Makes the ways to load by a name what the bundler sees through: a `require` that the code made is plain `require`. */
function plainLookups(text: string): string {
  let plain = text
  for (const [whole, , name] of text.matchAll(MADE_REQUIRE)) {
    const called = `(?<![\\w$.])${name!.replaceAll('$', '\\$&')}(?=\\(|\\.resolve\\()`
    // A name made at run time counts from the module, which only a require of its own knows.
    if (new RegExp(`${called}\\(\\s*(?!['"][^'"\\n]*['"]\\s*\\))`).test(text)) continue
    plain = plain.replace(whole, ' '.repeat(whole.length))
    if (name !== 'require') plain = plain.replace(new RegExp(called, 'g'), 'require')
  }
  return plain
    .replace(/(?<![\w$.])require\.resolve(?=\()/g, RESOLVES)
    .replace(/(?<![\w$.])import\.meta\.resolve(?=\()/g, META_RESOLVES)
}

export function isOfPackage(path: string): boolean {
  return /[\\/]node_modules[\\/]/.test(path)
}

/** Characters of a first line that are not the author's. */
export function charactersBefore(line: string): number {
  return PUT_BEFORE.exec(line)?.[0].length ?? 0
}

/** What stands for `require.resolve` and `import.meta.resolve` in the module that lies at `inside`. */
function resolvers(text: string, inside: string): string {
  const require = `process.getBuiltinModule("module").createRequire(${JSON.stringify(inside)})`
  const made = [
    text.includes(RESOLVES) ? `var ${RESOLVES}=${require}.resolve;` : '',
    text.includes(META_RESOLVES)
      ? `var ${META_RESOLVES}=name=>{if(/^(?:\\.{0,2}\\/|[a-z]+:)/.test(name))return new URL(name,${JSON.stringify(`file://${inside}`)}).href;let path=${require}.resolve(name);return path[0]==="/"?process.getBuiltinModule("url").pathToFileURL(path).href:path};`
      : '',
  ].join('')
  return made === '' ? '' : `/*looks up*/${made}/*code*/`
}

function textBefore(text: string, inside: string): string {
  const location = ASKS_WHERE.test(text) ? locationVariables(inside) : ''
  const lookups = resolvers(text, inside)
  const jsx = JSX_SOURCE.test(text) && !/@jsxRuntime\b/.test(text) ? JSX_RUNTIME : ''
  if (location === '' && jsx === '' && lookups === '') return ''
  // A directive counts only before all statements.
  const isStrict = /^(?:#!.*\n)?(?:\s|\/\/.*\n|\/\*[\s\S]*?\*\/)*['"]use strict['"]/.test(text)
  return `${isStrict ? '"use strict";' : ''}${jsx}${location}${lookups}`
}
