// Changes to one stored function as values: old content in, new content out. Pure; the registry writes the result.
import type { FunctionVersion } from '../api.ts'
import type { Alias } from './api.ts'
import { findSame, type LoadedFunction, type StoredFunction } from './entries.ts'

/** Keeps a version (under the next number if its own is taken) and moves `latest`, and `alias`, wholly to it. */
export function withVersion(
  loaded: LoadedFunction | undefined,
  candidate: FunctionVersion,
  alias: string | null,
  nowIso: string,
): { readonly stored: StoredFunction; readonly version: FunctionVersion } {
  const stored = loaded?.stored
  const same = findSame(loaded, candidate.image, candidate.config)
  const last = stored?.lastVersion ?? 0
  const version = same ?? (candidate.version > last ? candidate : { ...candidate, version: last + 1 })
  const target: Alias = { weights: { [String(version.version)]: 100 } }
  const alive = stored !== undefined && !stored.removed
  return {
    version,
    stored: {
      namespace: candidate.namespace,
      name: candidate.name,
      createdAt: alive ? stored.createdAt : nowIso,
      updatedAt: nowIso,
      lastVersion: Math.max(last, version.version),
      removed: false,
      versions: same !== undefined ? stored!.versions : [...(stored?.versions ?? []), version],
      aliases: { ...(stored?.aliases ?? {}), latest: target, ...(alias === null ? {} : { [alias]: target }) },
    },
  }
}

export function withAlias(stored: StoredFunction, alias: string, target: Alias, nowIso: string): StoredFunction {
  return { ...stored, updatedAt: nowIso, aliases: { ...stored.aliases, [alias]: target } }
}

export function withoutAlias(stored: StoredFunction, alias: string, nowIso: string): StoredFunction {
  const { [alias]: _gone, ...aliases } = stored.aliases
  return { ...stored, updatedAt: nowIso, aliases }
}

/** Without one version, which no alias may name. */
export function withoutVersion(stored: StoredFunction, version: number, nowIso: string): StoredFunction {
  return { ...stored, updatedAt: nowIso, versions: stored.versions.filter((kept) => kept.version !== version) }
}

/** Removed, but its last number stays known. */
export function asRemoved(stored: StoredFunction, nowIso: string): StoredFunction {
  return { ...stored, updatedAt: nowIso, removed: true, versions: [], aliases: {} }
}
