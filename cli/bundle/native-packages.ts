// Finds packages with native code while esbuild resolves imports, and keeps them out of the bundle: machine code cannot be
// bundled, and packages that carry some look for it beside their own files.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Plugin } from 'esbuild'
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

export interface NativePackages {
  readonly plugin: Plugin
  /** Name → real folder of those found, in no particular order. */
  readonly found: ReadonlyMap<string, string>
  /** Names of which a second copy, elsewhere, was imported too: only the first ships. */
  readonly conflicts: ReadonlySet<string>
  /** True when a package turned out native after parts of it were bundled: build once more. */
  takeRestart(): boolean
}

/** One per deploy; keeps what it learned over restarts. */
export function createNativePackages(): NativePackages {
  const found = new Map<string, string>()
  const conflicts = new Set<string>()
  const verdicts = new Map<string, boolean>()
  const late = new Set<string>()
  let restart = false

  const isNative = (folder: string): boolean => {
    let verdict = verdicts.get(folder)
    if (verdict === undefined) {
      verdict = hasNativeCode(folder)
      verdicts.set(folder, verdict)
    }
    return verdict || late.has(folder)
  }
  const plugin: Plugin = {
    name: 'native-packages',
    setup(build) {
      build.onResolve({ filter: /^[^./#]/, namespace: 'file' }, (args) => {
        const name = packageName(args.path)
        const folder = name === null ? null : findPackage(name, args.resolveDir)
        if (name === null || folder === null || !isNative(folder)) return undefined
        const known = found.get(name)
        if (known === undefined) found.set(name, folder)
        else if (known !== folder) conflicts.add(name)
        return { path: args.path, external: true }
      })
      build.onResolve({ filter: /\.node$/, namespace: 'file' }, (args) => {
        const owner = owningPackage(args.importer)
        if (owner === null) {
          return {
            errors: [
              {
                text: `native add-on ${args.path} is not part of a package; only add-ons of packages in node_modules can ship`,
              },
            ],
          }
        }
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
    takeRestart() {
      const again = restart
      restart = false
      return again
    },
  }
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
