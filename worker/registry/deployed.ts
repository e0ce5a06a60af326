// Whether a version is still there, and whether callers get it. Reads only the registry's memory.
import type { VersionFate, VersionName } from '../api.ts'
import type { FunctionEntry, Registry } from './api.ts'
import { versionOf } from './entries.ts'

function isDeployed(registry: Pick<Registry, 'get'>, version: VersionName): boolean {
  const entry = entryOf(registry, version)
  return entry !== null && versionOf(entry.versions, version.version) !== undefined
}

/** Deployed, and named by an alias: calls of the function without a number may get it. */
export function isPointedAt(registry: Pick<Registry, 'get'>, version: VersionName): boolean {
  const entry = entryOf(registry, version)
  if (entry === null || versionOf(entry.versions, version.version) === undefined) return false
  return Object.values(entry.aliases).some(({ weights }) => (weights[version.version] ?? 0) > 0)
}

/** What is to become of the version's sandboxes. */
export function fateIn(registry: Pick<Registry, 'get'>, version: VersionName): VersionFate {
  if (isPointedAt(registry, version)) return 'kept'
  return isDeployed(registry, version) ? 'superseded' : 'gone'
}

function entryOf(registry: Pick<Registry, 'get'>, { namespace, name }: VersionName): FunctionEntry | null {
  try {
    return registry.get(namespace, name)
  } catch {
    return null
  }
}
