// Finds packages that cannot be bundled while esbuild resolves imports, and keeps them out: machine code cannot be bundled, and
// packages that carry some, or read other files of their own, look for those where they are installed.
import { existsSync, readdirSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import type { OnResolveResult, Plugin } from 'esbuild'
import { CliError } from '../errors.ts'
import { insidePath } from './own-sources.ts'
import { findPackage, owningPackage, packageName, readPackageJson } from './package-folder.ts'

/** Dependencies that only packages with native code have. */
const LOADERS = [
  'bindings',
  'node-gyp-build',
  'node-gyp-build-optional-packages',
  'node-pre-gyp',
  '@mapbox/node-pre-gyp',
  'prebuild-install',
]

export interface KeptOutPackages {
  readonly plugin: Plugin
  /** Name → real folder of those found, in no particular order. */
  readonly found: ReadonlyMap<string, string>
  /** Names of which a second copy, elsewhere, was imported too: only the first ships. */
  readonly conflicts: ReadonlySet<string>
  /** Absolute paths of the author's own add-ons, `.node` files below the folder: they ship as files. */
  readonly addOns: ReadonlySet<string>
  /** Keeps a package out from the next build on, which is then wanted. False: it was kept out before. */
  keepOut(folder: string): boolean
  /** Ships a package under its name, whether an import names it or not. False: it does already. */
  ship(name: string, folder: string): boolean
  /** True when a package turned out native after parts of it were bundled: build once more. */
  takeRestart(): boolean
}

/** One per deploy; keeps what it learned over restarts. `external`: names, or `@scope/*`, that the author wants kept out; one that is
 *  installed as seen from `folder` ships also when no import names it, for a name that is made at run time. */
export function createKeptOutPackages(external: readonly string[], folder: string): KeptOutPackages {
  const found = new Map<string, string>()
  for (const name of external) {
    const installed = name.endsWith('*') ? null : findPackage(name, folder)
    if (installed !== null) found.set(name, installed)
  }
  const conflicts = new Set<string>()
  const verdicts = new Map<string, boolean>()
  const late = new Set<string>()
  const addOns = new Set<string>()
  let restart = false

  const isAsked = (name: string): boolean =>
    external.some((pattern) => pattern === name || (pattern.endsWith('/*') && name.startsWith(pattern.slice(0, -1))))
  const staysOut = (folder: string): boolean => {
    let verdict = verdicts.get(folder)
    if (verdict === undefined) {
      verdict = hasNativeCode(folder)
      verdicts.set(folder, verdict)
    }
    return verdict || late.has(folder)
  }
  const ownAddOn = (path: string, named: string): OnResolveResult => {
    const inside = insidePath(folder, path)
    if (!existsSync(path)) return { errors: [{ text: `native add-on ${named} does not exist; is it built?` }] }
    if (relative(folder, path).startsWith('..'))
      return {
        errors: [
          { text: `native add-on ${named} lies outside the function's folder; deploy a folder that holds both` },
        ],
      }
    addOns.add(path)
    return { path: inside, external: true }
  }
  const plugin: Plugin = {
    name: 'native-packages',
    setup(build) {
      build.onResolve({ filter: /^[^./#]/, namespace: 'file' }, (args) => {
        const name = packageName(args.path)
        const folder = name === null ? null : findPackage(name, args.resolveDir)
        // One that is not installed is for the code to miss.
        if (name !== null && folder === null && isAsked(name)) return { path: args.path, external: true }
        if (name === null || folder === null || !(isAsked(name) || staysOut(folder))) return undefined
        const known = found.get(name)
        if (known === undefined) found.set(name, folder)
        else if (known !== folder) conflicts.add(name)
        return isEsModule(folder, args)
          ? { path: args.path, namespace: ES_MODULE }
          : { path: args.path, external: true }
      })
      build.onResolve({ filter: /./, namespace: ES_MODULE }, ({ path }) => ({ path, external: true }))
      build.onLoad({ filter: /./, namespace: ES_MODULE }, ({ path }) => ({ contents: esModuleAgain(path) }))
      build.onResolve({ filter: /\.node$/, namespace: 'file' }, (args) => {
        const owner = owningPackage(args.importer)
        if (owner === null) return ownAddOn(resolve(args.resolveDir, args.path), args.path)
        late.add(owner)
        restart = true
        return { path: args.path, external: true }
      })
    },
  }
  return {
    plugin,
    found,
    conflicts,
    addOns,
    keepOut(folder) {
      if (late.has(folder)) return false
      late.add(folder)
      return true
    },
    ship(name, path) {
      if (found.has(name)) return false
      found.set(name, path)
      late.add(path)
      return true
    },
    takeRestart() {
      const again = restart
      restart = false
      return again
    },
  }
}

/** The list `external` of a manifest. Throws CliError MANIFEST_INVALID. */
export function externalNames(external: unknown, shown: string): string[] {
  if (external === undefined) return []
  const isName = (name: unknown): boolean =>
    typeof name === 'string' &&
    name.length <= 214 &&
    /^(?:@[a-z0-9~.-][\w~.-]*\/)?(?:[a-z0-9~.-][\w~.-]*|\*)$/i.test(name)
  if (Array.isArray(external) && external.length <= 100 && external.every(isName)) return external as string[]
  throw new CliError(
    'MANIFEST_INVALID',
    `${shown}: external: expected at most 100 names of packages such as ["knex", "@nestjs/*"], got ${JSON.stringify(external).slice(0, 80)}`,
  )
}

const ES_MODULE = 'es-module'

/** A static import of an ES module: what `require` gives for it is the module, not its default export. */
function isEsModule(folder: string, { kind }: { readonly kind: string }): boolean {
  return kind === 'import-statement' && readPackageJson(folder)?.type === 'module'
}

/** The same exports by way of a module that esbuild does not take for Node's own kind: there `default` is the default export. */
function esModuleAgain(path: string): string {
  const name = JSON.stringify(path)
  return `import main from ${name}\nexport default main\nexport * from ${name}\n`
}

/** True when the package in `folder` carries machine code, builds some, or has a part of its own for each platform. */
export function hasNativeCode(folder: string): boolean {
  const manifest = readPackageJson(folder)
  if (manifest === null) return false
  if (manifest.gypfile === true || (typeof manifest.main === 'string' && manifest.main.endsWith('.node'))) return true
  if (LOADERS.some((loader) => manifest.dependencies?.[loader] !== undefined)) return true
  const names = readdirSync(folder)
  if (names.some((name) => name.endsWith('.node') || name === 'binding.gyp' || name === 'prebuilds')) return true
  const release = join(folder, 'build', 'Release')
  if (existsSync(release) && readdirSync(release).some((name) => name.endsWith('.node'))) return true
  return Object.keys(manifest.optionalDependencies ?? {}).some((name) => {
    const part = findPackage(name, folder)
    const partManifest = part === null ? null : readPackageJson(part)
    return partManifest !== null && (partManifest.os !== undefined || partManifest.cpu !== undefined)
  })
}
