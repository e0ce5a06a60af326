// esbuild plugins for imports that are no plain modules: WebAssembly, other runtimes' schemes, and packages that another package
// could use but that are not installed.
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Location, Message, Plugin } from 'esbuild'
import { isOfPackage } from './own-sources.ts'
import { findPackage, owningPackage, packageName, readPackageJson } from './package-folder.ts'

/** `import module from './x.wasm'` is a `WebAssembly.Module`, as in Workers; `./x.wasm?bytes` its bytes. */
export const wasmModules: Plugin = {
  name: 'wasm-modules',
  setup(build) {
    build.onResolve({ filter: /\.wasm\?(?:bytes|module)$/ }, async ({ path, pluginData, ...from }) => {
      const [file, form] = path.split('?') as [string, string]
      const { importer, namespace, resolveDir, kind } = from
      const found = await build.resolve(file, { importer, namespace, resolveDir, kind })
      return found.errors.length > 0 ? { errors: found.errors } : { path: found.path, namespace: `wasm-${form}` }
    })
    build.onLoad({ filter: /\.wasm$/, namespace: 'wasm-bytes' }, async ({ path }) => ({
      contents: await readFile(path),
      loader: 'binary',
    }))
    const asModule = async ({ path }: { path: string }) => ({
      contents: `import bytes from ${JSON.stringify(`${path}?bytes`)}\nexport default new WebAssembly.Module(bytes)\n`,
      loader: 'js' as const,
      resolveDir: '/',
    })
    build.onLoad({ filter: /\.wasm$/, namespace: 'wasm-module' }, asModule)
    build.onLoad({ filter: /\.wasm$/, namespace: 'file' }, asModule)
  },
}

/** What an import of another runtime's scheme should be here. */
const SCHEMES: readonly (readonly [RegExp, (path: string) => string])[] = [
  [/^https?:/, (path) => `cannot import ${path}: install it as a package or copy it next to the handler`],
  [
    /^npm:/,
    (path) => {
      const name =
        packageName(
          path
            .slice(4)
            .replace(/^\/+/, '')
            .replace(/(?<=.)@[^/]*/, ''),
        ) ?? 'NAME'
      return `${path} is Deno's way to name a package: import ${JSON.stringify(name)} and run npm install ${name}`
    },
  ],
  [
    /^jsr:/,
    (path) => {
      const name = path
        .slice(4)
        .replace(/^\/+/, '')
        .replace(/(?<=.)@[^/]*/, '')
      return `${path} is a package of JSR: run npx jsr add ${name}, then import ${JSON.stringify(name)}`
    },
  ],
  [
    /^cloudflare:/,
    (path) => `${path} exists in Cloudflare's runtime only: take what it gives from env and ctx of the handler`,
  ],
  [/^bun(?::|$)/, (path) => `${path} exists in Bun only: functions run on Node.js`],
  [/^(?:deno|ext):/, (path) => `${path} exists in Deno only: functions run on Node.js`],
]

export const foreignSchemes: Plugin = {
  name: 'foreign-schemes',
  setup(build) {
    build.onResolve({ filter: /^(?:https?|npm|jsr|cloudflare|bun|deno|ext):|^bun$/ }, ({ path }) => {
      const said = SCHEMES.find(([pattern]) => pattern.test(path))?.[1]
      return said === undefined ? undefined : { errors: [{ text: said(path) }] }
    })
  },
}

export interface OptionalPackages {
  readonly plugin: Plugin
  /** Takes those of a failed build's faults that are imports of optional packages; true when there were some: build again. */
  accept(errors: readonly Message[], folder: string): boolean
  /** One sentence for each package that could use some. */
  warnings(): string[]
}

/** Packages that others ask for only in some cases (a driver, a peer that may be missing) and that are not installed: the import
 *  stays in the bundle and fails when it is reached, as in Node. What a `try` guards esbuild leaves there by itself. One per
 *  deploy. */
export function createOptionalPackages(): OptionalPackages {
  const missing = new Map<string, Set<string>>()
  const accepted = new Set<string>()
  return {
    plugin: {
      name: 'optional-packages',
      setup(build) {
        build.onResolve({ filter: /^[^./#]/, namespace: 'file' }, ({ path, importer }) => {
          if (accepted.size === 0 || !isOfPackage(importer)) return undefined
          return accepted.has(`${owningPackage(importer)} ${path}`) ? { path, external: true } : undefined
        })
      },
    },
    accept(errors, folder) {
      const before = accepted.size
      for (const { text, location } of errors) {
        const path = /^Could not resolve "([^"]+)"/.exec(text)?.[1]
        if (path === undefined || location === null) continue
        const owner = owningPackage(resolve(folder, location.file))
        const name = packageName(path)
        if (owner === null || name === null || findPackage(name, owner) !== null) continue
        const isDynamic = /(?:\brequire(?:\.resolve)?|\bimport)\(\s*$/.test(textBefore(location))
        if (!isDynamic && !isDeclaredOptional(owner, name)) continue
        accepted.add(`${owner} ${path}`)
        const by = readPackageJson(owner)?.name ?? 'a package'
        missing.set(by, (missing.get(by) ?? new Set()).add(name))
      }
      return accepted.size > before
    },
    warnings() {
      return [...missing].map(([by, names]) => {
        const [are, it] = names.size === 1 ? ['is', 'it'] : ['are', 'one']
        return `package ${by} can use ${[...names].sort().join(', ')}, which ${are} not installed: code that needs ${it} fails when it runs`
      })
    },
  }
}

/** esbuild counts columns in bytes. A call of `require` or `import()` may never be reached. */
function textBefore({ lineText, column }: Location): string {
  return Buffer.from(lineText).subarray(0, column).toString()
}

/** A static import is optional only where the package says so. */
function isDeclaredOptional(owner: string, name: string): boolean {
  const { optionalDependencies, peerDependenciesMeta } = readPackageJson(owner) ?? {}
  return optionalDependencies?.[name] !== undefined || peerDependenciesMeta?.[name]?.optional === true
}
