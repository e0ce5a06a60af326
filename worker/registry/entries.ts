// The registry's content in memory: one immutable entry a function, with what resolving needs prepared. Pure: no Redis, no disk.
import type { FunctionConfig, FunctionVersion } from '../api.ts'
import { type Alias, type FunctionEntry, RegistryError } from './api.ts'
import { didYouMean } from './suggest.ts'

/** What is known of one function. A removed one leaves its last number behind: a number never means two contents. */
export interface StoredFunction {
  readonly namespace: string
  readonly name: string
  readonly createdAt: string
  readonly updatedAt: string
  readonly lastVersion: number
  readonly removed: boolean
  /** Ascending. */
  readonly versions: readonly FunctionVersion[]
  readonly aliases: Readonly<Record<string, Alias>>
}

/** What is stored of a function besides its versions, each of which is stored apart: a deploy writes this and one version. */
export interface StoredHead extends Omit<StoredFunction, 'versions'> {
  /** How many versions it has: who knows more of them knows some that went. */
  readonly count: number
  /** Lowest number it has; those below went with a function of this name that was removed. */
  readonly firstVersion: number
  /** As earlier releases wrote it: all of them, none apart. */
  readonly versions?: readonly FunctionVersion[]
}

/** What one change writes. */
export interface Change {
  readonly head: StoredHead
  readonly added: readonly FunctionVersion[]
  /** Numbers of the versions that go. */
  readonly dropped: readonly number[]
}

/** A stored function made ready for reads. */
export interface LoadedFunction {
  readonly stored: StoredFunction
  readonly entry: FunctionEntry
  readonly byAlias: ReadonlyMap<string, readonly WeightedVersion[]>
  /** Every version may be called without a token. */
  readonly isPublic: boolean
  /** The newest version of each image. */
  readonly byImage: ReadonlyMap<string, FunctionVersion>
  /** Of the versions that calls of `latest` get, the most that one keeps warm: a host keeps those of one version. */
  readonly warm: number
}
/** About what keeping a version takes besides its configuration, in memory and in Redis. */
const BESIDE_CONFIG_BYTES = 512

/** What a version counts against what its namespace may have of versions, bytes. */
export function versionBytes(version: FunctionVersion): number {
  let bytes = SIZES.get(version)
  if (bytes === undefined) {
    bytes = BESIDE_CONFIG_BYTES + JSON.stringify(version.config).length
    SIZES.set(version, bytes)
  }
  return bytes
}
/** Removing a function with a thousand versions is not to look through all of them. */
const SIZES = new WeakMap<FunctionVersion, number>()

interface WeightedVersion {
  /** Draws below this (and not below an earlier one) pick the version. */
  readonly below: number
  readonly version: FunctionVersion
}

/** `before`: the same function as it was loaded last. What only grew is not looked through again. */
export function loadFunction(stored: StoredFunction, before?: LoadedFunction): LoadedFunction {
  const { added, dropped } = differenceOf(before?.stored, stored)
  const isLonger = before !== undefined && dropped.length === 0
  // It belongs only to the newest state of the function, which takes it over.
  const byImage = isLonger ? (before.byImage as Map<string, FunctionVersion>) : new Map<string, FunctionVersion>()
  for (const version of isLonger ? added : stored.versions) byImage.set(version.image, version)
  const isPublic =
    (isLonger ? before.isPublic : true) && (isLonger ? added : stored.versions).every(({ config }) => config.public)
  const byAlias = new Map<string, readonly WeightedVersion[]>()
  for (const [alias, { weights }] of Object.entries(stored.aliases)) byAlias.set(alias, weigh(weights, stored.versions))
  const { namespace, name, createdAt, updatedAt, versions, aliases } = stored
  const entry = { namespace, name, createdAt, updatedAt, versions, aliases }
  const warm = Math.max(0, ...(byAlias.get('latest') ?? []).map(({ version }) => version.config.minWarm))
  return { stored, entry, byAlias, isPublic, byImage, warm }
}

/** The versions that came and those that went. A number never means two contents, so numbers tell. */
export function differenceOf(
  before: StoredFunction | undefined,
  after: StoredFunction,
): { readonly added: readonly FunctionVersion[]; readonly dropped: readonly FunctionVersion[] } {
  const old = before?.versions ?? []
  const { versions } = after
  if (old.length === 0) return { added: versions, dropped: [] }
  // Only the ends are looked at where it only grew.
  if (versions[0]?.version === old[0]!.version && versions[old.length - 1]?.version === old.at(-1)!.version)
    return { added: versions.slice(old.length), dropped: [] }
  const kept = new Set(versions.map(({ version }) => version))
  const known = new Set(old.map(({ version }) => version))
  return {
    added: versions.filter(({ version }) => !known.has(version)),
    dropped: old.filter(({ version }) => !kept.has(version)),
  }
}

export function changeOf(before: StoredFunction | undefined, after: StoredFunction): Change {
  const { added, dropped } = differenceOf(before, after)
  return { head: headOf(after), added, dropped: dropped.map(({ version }) => version) }
}

export function headOf({ versions, ...rest }: StoredFunction): StoredHead {
  return { ...rest, count: versions.length, firstVersion: versions[0]?.version ?? rest.lastVersion + 1 }
}

/** A function of its head and of versions in any order, some of which may have gone or not have come yet. */
export function assemble(head: StoredHead, apart: readonly FunctionVersion[]): StoredFunction {
  const { count: _count, firstVersion, versions: inline = [], ...rest } = head
  if (rest.removed) return { ...rest, versions: [] }
  const all = [...inline, ...apart].filter(
    ({ version }) => version >= (firstVersion ?? 1) && version <= rest.lastVersion,
  )
  const byNumber = new Map(all.map((version) => [version.version, version]))
  return { ...rest, versions: [...byNumber.values()].sort((a, b) => a.version - b.version) }
}

/** The version of a number, by halving. */
export function versionOf(versions: readonly FunctionVersion[], number: number): FunctionVersion | undefined {
  let low = 0
  let high = versions.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (versions[middle]!.version < number) low = middle + 1
    else high = middle
  }
  return versions[low]?.version === number ? versions[low] : undefined
}

export function addTo<T>(lists: Map<string, T[]>, key: string, one: T): void {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [one])
  else list.push(one)
}

function weigh(weights: Alias['weights'], versions: readonly FunctionVersion[]): WeightedVersion[] {
  const picks: WeightedVersion[] = []
  let sum = 0
  // Ascending by number, so that one draw means the same version in every process.
  for (const number of Object.keys(weights)
    .map(Number)
    .sort((a, b) => a - b)) {
    const version = versionOf(versions, number)
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
  const { versions } = loaded.stored
  const found = /^[1-9]\d{0,9}$/.test(alias) ? versionOf(versions, Number(alias)) : undefined
  if (found !== undefined) return found
  const { name } = loaded.stored
  // Who calls a function that is not public may be nobody we know: its versions and aliases are not told.
  if (!loaded.isPublic) throw new RegistryError('VERSION_NOT_FOUND', `function ${name} has no such version or alias`)
  if (/^\d+$/.test(alias)) {
    const known =
      versions.length > 8
        ? `${versions[0]?.version} to ${versions.at(-1)?.version}`
        : versions.map(({ version }) => version).join(', ')
    throw new RegistryError('VERSION_NOT_FOUND', `function ${name} has no version ${alias}; it has ${known}`)
  }
  throw new RegistryError(
    'VERSION_NOT_FOUND',
    `function ${name} has no alias ${JSON.stringify(alias.slice(0, 80))}${didYouMean(alias, loaded.byAlias.keys())}`,
  )
}

/** The same image under the same configuration is the same version. */
export function findSame(
  loaded: LoadedFunction | undefined,
  image: string,
  config: FunctionConfig,
): FunctionVersion | undefined {
  const newest = loaded?.byImage.get(image)
  if (loaded === undefined || newest === undefined) return undefined
  const wanted = canonicalJson(config)
  if (canonicalJson(newest.config) === wanted) return newest
  // An image holds its configuration, so this is for images made in another way.
  return loaded.stored.versions.findLast((one) => one.image === image && canonicalJson(one.config) === wanted)
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
    if (!/^[1-9]\d{0,9}$/.test(version) || versionOf(loaded.stored.versions, Number(version)) === undefined) {
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
