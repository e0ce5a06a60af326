// What the registry promises: functions, immutable versions, aliases. Reads come from memory and never wait; writes are one
// Redis script each and reach the copy in the OCI index.
import type { FunctionConfig, FunctionVersion } from '../api.ts'
import type { UseKind } from './uses.ts'

export type RegistryErrorCode =
  /** not a DNS label, reserved, or too long */
  | 'NAME_INVALID'
  /** message carries a suggestion where a name is close */
  | 'FUNCTION_NOT_FOUND'
  | 'VERSION_NOT_FOUND'
  | 'ALIAS_NOT_FOUND'
  /** weights do not add up to 100, or name unknown versions */
  | 'ALIAS_INVALID'
  /** `fn.json`: unknown keys, bad values; `problems` lists all */
  | 'CONFIG_INVALID'
  /** a version with queued calls cannot go */
  | 'VERSION_IN_USE'
  | 'TOKEN_NOT_FOUND'
  /** there is one of that name */
  | 'TOKEN_EXISTS'
  /** not an environment variable's name, empty, too large, or no text */
  | 'SECRET_INVALID'
  | 'SECRET_NOT_FOUND'
  /** functions name it */
  | 'SECRET_IN_USE'
  | 'NETWORK_NOT_FOUND'
  /** functions are on it */
  | 'NETWORK_IN_USE'
  /** Redis is away: reads go on, writes do not */
  | 'REGISTRY_UNAVAILABLE'

export class RegistryError extends Error {
  readonly code: RegistryErrorCode
  readonly problems: readonly string[]
  constructor(
    code: RegistryErrorCode,
    message: string,
    options: { cause?: unknown; problems?: readonly string[] } = {},
  ) {
    super(message, options)
    this.name = 'RegistryError'
    this.code = code
    this.problems = options.problems ?? []
  }
}

/** `{weights: {"3": 90, "4": 10}}`: whole percents that add up to 100. */
export interface Alias {
  readonly weights: Readonly<Record<string, number>>
}

export interface FunctionEntry {
  readonly namespace: string
  readonly name: string
  readonly createdAt: string
  readonly updatedAt: string
  /** Ascending. */
  readonly versions: readonly FunctionVersion[]
  readonly aliases: Readonly<Record<string, Alias>>
}

/** What one change did to a function. */
export interface RegistryChange {
  readonly namespace: string
  readonly name: string
  readonly newImages: readonly string[]
  /** Images of versions that went, which no other version has. */
  readonly unusedImages: readonly string[]
}

export interface Registry {
  /** Sorted; those with functions, present or past. */
  namespaces(): string[]
  /** All of a namespace, sorted by name: to start from, never to answer a call. */
  list(namespace: string): FunctionEntry[]
  /** How many functions a namespace has. */
  count(namespace: string): number
  /** Sandboxes that the functions of a namespace keep warm, together. */
  warm(namespace: string): number
  /** At most `limit` functions after a name (null: from the first), sorted by name. */
  page(namespace: string, after: string | null, limit: number): FunctionEntry[]
  /** Throws FUNCTION_NOT_FOUND (with a suggestion). */
  get(namespace: string, name: string): FunctionEntry
  /** `reference`: null (= `latest`), a version number, or an alias. `draw` in [0, 1) picks by weight. Throws FUNCTION_NOT_FOUND | VERSION_NOT_FOUND,
   *  whose suggestions name public functions alone: whoever calls one may have shown no token. */
  resolve(namespace: string, name: string, reference: string | null, draw: number): FunctionVersion
  /** The version this content has or would have: an existing one (`existed`), or the next number, not yet kept. Throws
   *  QuotaExceeded where the namespace may not have it. */
  candidate(
    namespace: string,
    name: string,
    image: string,
    config: FunctionConfig,
  ): { readonly version: FunctionVersion; readonly existed: boolean }
  /** Keeps a candidate and moves `latest` (and `alias`, wholly) to it. Throws REGISTRY_UNAVAILABLE | QuotaExceeded. */
  commit(version: FunctionVersion, alias: string | null): Promise<FunctionVersion>
  setAlias(namespace: string, name: string, alias: string, target: Alias): Promise<FunctionEntry>
  /** `latest` cannot go (ALIAS_INVALID). */
  removeAlias(namespace: string, name: string, alias: string): Promise<void>
  /** A version that an alias names cannot go (VERSION_IN_USE). Throws VERSION_NOT_FOUND too. */
  removeVersion(namespace: string, name: string, version: number): Promise<void>
  removeFunction(namespace: string, name: string): Promise<void>
  /** Names of functions with a version that names the secret, network or volume, sorted. */
  users(namespace: string, kind: UseKind, name: string): string[]
  /** All images in use. */
  images(): ReadonlySet<string>
  hasImage(image: string): boolean
  /** Called after each change that this or another process made; null: anything may have changed. The returned function
   *  unsubscribes. */
  onChange(listener: (change: RegistryChange | null) => void): () => void
  close(): Promise<void>
}
