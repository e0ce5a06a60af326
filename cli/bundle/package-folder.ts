// Packages on disk as Node finds them: the name in an import, the folder it means from somewhere, its package.json.
import { readFileSync, realpathSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { basename, dirname, join } from 'node:path'

/** What bundling wants to know of a package.json. */
export interface PackageJson {
  readonly name?: string
  readonly version?: string
  readonly main?: unknown
  readonly type?: string
  readonly gypfile?: boolean
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>
  readonly os?: readonly string[]
  readonly cpu?: readonly string[]
  readonly libc?: readonly string[]
}

/** `@scope/name/sub/path` → `@scope/name`; null for relative paths, built-ins, URLs and `#imports`. */
export function packageName(specifier: string): string | null {
  if (/^[./#]/.test(specifier) || isBuiltin(specifier) || /^[a-z]+:/i.test(specifier)) return null
  const match = /^(@[^/]+\/[^/]+|[^@/][^/]*)/.exec(specifier)
  return match?.[1] ?? null
}

/** Real folder of package `name` as seen from `from`, walking `node_modules` upwards; null when it is not installed. */
export function findPackage(name: string, from: string): string | null {
  for (let folder = from; ; folder = dirname(folder)) {
    if (basename(folder) !== 'node_modules') {
      const candidate = join(folder, 'node_modules', name)
      if (readPackageJson(candidate) !== null) return realpathSync(candidate)
    }
    if (dirname(folder) === folder) return null
  }
}

/** The package a file belongs to: the nearest folder above with a named package.json under a `node_modules`; else null. */
export function owningPackage(file: string): string | null {
  for (let folder = dirname(file); folder !== dirname(folder); folder = dirname(folder)) {
    const parent = basename(dirname(folder))
    const isPackage =
      parent === 'node_modules' || (parent.startsWith('@') && basename(dirname(dirname(folder))) === 'node_modules')
    if (isPackage && readPackageJson(folder) !== null) return folder
  }
  return null
}

/** null when there is none, or none that parses. */
export function readPackageJson(folder: string): PackageJson | null {
  try {
    return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as PackageJson
  } catch {
    return null
  }
}

/** True when `os`, `cpu` and `libc` of a package admit sandboxes: Linux, this machine's CPU, glibc. */
export function runsHere(manifest: PackageJson): boolean {
  return admits(manifest.os, 'linux') && admits(manifest.cpu, process.arch) && admits(manifest.libc, 'glibc')
}

function admits(list: readonly string[] | undefined, value: string): boolean {
  if (!Array.isArray(list) || list.length === 0) return true
  if (list.includes(`!${value}`)) return false
  const positive = list.filter((entry) => !entry.startsWith('!'))
  return positive.length === 0 || positive.includes(value)
}
