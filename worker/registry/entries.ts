// The registry's content in memory: one immutable entry a function, with what resolving needs prepared. Pure: no Redis, no disk.
import type { FunctionConfig, FunctionVersion } from '../api.ts'
import { type Alias, type FunctionEntry, RegistryError } from './api.ts'
import { didYouMean } from './suggest.ts'

/** What is stored of one function. A removed one leaves its last number behind: a number never means two contents. */
export interface StoredFunction {
  readonly namespace: string
  readonly name: string
  readonly createdAt: string
  readonly updatedAt: string
  readonly lastVersion: number
  readonly removed: boolean
  readonly versions: readonly FunctionVersion[]
  readonly aliases: Readonly<Record<string, Alias>>
}

/** A stored function made ready for reads. */
export interface LoadedFunction {
  readonly stored: StoredFunction
  readonly entry: FunctionEntry
  readonly byVersion: ReadonlyMap<number, FunctionVersion>
  readonly byAlias: ReadonlyMap<string, readonly WeightedVersion[]>
}
interface WeightedVersion {
  /** Draws below this (and not below an earlier one) pick the version. */
  readonly below: number
  readonly version: FunctionVersion
}

export function loadFunction(stored: StoredFunction): LoadedFunction {
  const byVersion = new Map(stored.versions.map((version) => [version.version, version]))
  const byAlias = new Map<string, readonly WeightedVersion[]>()
  for (const [alias, { weights }] of Object.entries(stored.aliases)) byAlias.set(alias, weigh(weights, byVersion))
  const { namespace, name, createdAt, updatedAt, versions, aliases } = stored
  return { stored, entry: { namespace, name, createdAt, updatedAt, versions, aliases }, byVersion, byAlias }
}

function weigh(weights: Alias['weights'], byVersion: ReadonlyMap<number, FunctionVersion>): WeightedVersion[] {
  const picks: WeightedVersion[] = []
  let sum = 0
  // Ascending by number, so that one draw means the same version in every process.
  for (const number of Object.keys(weights)
    .map(Number)
    .sort((a, b) => a - b)) {
    const version = byVersion.get(number)
    sum += weights[String(number)] ?? 0
    if (version !== undefined && weights[String(number)] !== 0) picks.push({ below: sum / 100, version })
  }
  return picks
}

/** Throws VERSION_NOT_FOUND. `draw` in [0, 1). */
export function pickVersion(loaded: LoadedFunction, reference: string | null, draw: number): FunctionVersion {
  const alias = reference ?? 'latest'
  const picks = loaded.byAlias.get(alias)
  if (picks !== undefined && picks.length > 0) {
    for (const pick of picks) if (draw < pick.below) return pick.version
    return picks.at(-1)!.version
  }
  const found = /^[1-9]\d{0,9}$/.test(alias) ? loaded.byVersion.get(Number(alias)) : undefined
  if (found !== undefined) return found
  const { name } = loaded.stored
  // Who calls a function that is not public may be nobody we know: its versions and aliases are not told.
  if (!isPublic(loaded)) throw new RegistryError('VERSION_NOT_FOUND', `function ${name} has no such version or alias`)
  if (/^\d+$/.test(alias)) {
    const numbers = [...loaded.byVersion.keys()]
    throw new RegistryError(
      'VERSION_NOT_FOUND',
      `function ${name} has no version ${alias}; it has ${numbers.length > 8 ? `${numbers[0]} to ${numbers.at(-1)}` : numbers.join(', ')}`,
    )
  }
  throw new RegistryError(
    'VERSION_NOT_FOUND',
    `function ${name} has no alias ${JSON.stringify(alias.slice(0, 80))}${didYouMean(alias, loaded.byAlias.keys())}`,
  )
}

/** True when whoever reaches the gateway may call every version. */
export function isPublic(loaded: LoadedFunction | undefined): boolean {
  return loaded?.stored.versions.every((version) => version.config.public) ?? false
}

/** The same image under the same configuration is the same version. */
export function findSame(
  stored: StoredFunction | undefined,
  image: string,
  config: FunctionConfig,
): FunctionVersion | undefined {
  if (stored === undefined) return undefined
  const wanted = canonicalJson(config)
  return stored.versions.findLast((version) => version.image === image && canonicalJson(version.config) === wanted)
}

/** JSON with keys in order, so that equal content has equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (part === null || typeof part !== 'object' || Array.isArray(part)) return part
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
  })
}

/** Checks an alias's target against the function and returns it without zero weights. Throws ALIAS_INVALID. */
export function checkAlias(loaded: LoadedFunction, target: Alias): Alias {
  const kept: Record<string, number> = {}
  let sum = 0
  for (const [version, weight] of Object.entries(target.weights)) {
    if (!/^[1-9]\d{0,9}$/.test(version) || !loaded.byVersion.has(Number(version))) {
      throw new RegistryError(
        'ALIAS_INVALID',
        `function ${loaded.stored.name} has no version ${JSON.stringify(version)}`,
      )
    }
    if (!Number.isInteger(weight) || weight < 0 || weight > 100) {
      throw new RegistryError(
        'ALIAS_INVALID',
        `weight of version ${version}: expected a whole percentage from 0 to 100, got ${JSON.stringify(weight)}`,
      )
    }
    sum += weight
    if (weight > 0) kept[version] = weight
  }
  if (sum !== 100) throw new RegistryError('ALIAS_INVALID', `weights must add up to 100, they add up to ${sum}`)
  return { weights: kept }
}
