// An author's own modules as esbuild reads them: each knows where it lies inside (`import.meta.url`, `__dirname`), a JSX pragma
// alone is enough, and decorators have their metadata where the project asks for it. Packages are left as they are.
import { readFileSync } from 'node:fs'
import { dirname, extname, posix, relative } from 'node:path'
import type { Loader, Plugin } from 'esbuild'

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
  /^(?:"use strict";)?(?:\/\*\* @jsxRuntime automatic \*\/)?(?:var __fn_url="[^"]*",__fn_file="[^"]*",__fn_dir="[^"]*";)?/

/** Path inside of a file at or below `root`: `/code/src/x.js`. One that lies elsewhere counts as in `/code` itself. */
export function insidePath(root: string, path: string): string {
  const below = relative(root, path)
  const place = below.startsWith('..') ? posix.basename(path) : below
  return posix.join(INSIDE, place.replace(/\.([cm]?)tsx?$/, '.$1js'))
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
        const text = made?.text ?? readFileSync(path, 'utf8')
        const before = textBefore(text, insidePath(root, path))
        if (made === undefined && before === '') return undefined
        const loader = made?.loader ?? LOADERS[extname(path)] ?? 'js'
        // A hashbang is valid only as the very first characters.
        const hashbang = /^#!.*\n?/.exec(text)?.[0] ?? ''
        return { contents: hashbang + before + text.slice(hashbang.length), loader, resolveDir: dirname(path) }
      })
    },
  }
}

export function isOfPackage(path: string): boolean {
  return /[\\/]node_modules[\\/]/.test(path)
}

/** Characters of a first line that are not the author's. */
export function charactersBefore(line: string): number {
  return PUT_BEFORE.exec(line)?.[0].length ?? 0
}

function textBefore(text: string, inside: string): string {
  const location = ASKS_WHERE.test(text) ? locationVariables(inside) : ''
  const jsx = JSX_SOURCE.test(text) && !/@jsxRuntime\b/.test(text) ? JSX_RUNTIME : ''
  if (location === '' && jsx === '') return ''
  // A directive counts only before all statements.
  const isStrict = /^(?:#!.*\n)?(?:\s|\/\/.*\n|\/\*[\s\S]*?\*\/)*['"]use strict['"]/.test(text)
  return `${isStrict ? '"use strict";' : ''}${jsx}${location}`
}
