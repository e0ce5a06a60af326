// The registry: functions, versions and aliases in memory, kept the same as Redis and as the copy in the state directory.
// Reads never wait; it starts (read-only) from the copy when Redis is away, and fills an emptied Redis from what it knows.
import type { Clock, Logger } from '../../runtime/api.ts'
import type { FunctionConfig, FunctionVersion } from '../api.ts'
import type { RedisStore } from '../store/connect.ts'
import { type Alias, type FunctionEntry, type Registry, type RegistryChange, RegistryError } from './api.ts'
import { asRemoved, withAlias, withoutAlias, withoutVersion, withVersion } from './changes.ts'
import { RegistryContent } from './content.ts'
import type { CopyPlace } from './copy.ts'
import { expectAliasFits, expectVersionFits, expectWarmFits, type HeldFunctions } from './deploy-quotas.ts'
import { checkAlias, findSame, type LoadedFunction, pickVersion, versionOf } from './entries.ts'
import { checkAliasName, checkFunctionName, checkNamespace } from './names.ts'
import type { Quotas } from './quotas.ts'
import { createRegistryStore } from './registry-store.ts'
import { didYouMean } from './suggest.ts'
import type { UseKind } from './uses.ts'

export interface RegistryOptions {
  readonly redis: RedisStore
  /** Where the copy is kept; null: no copy. */
  readonly copy: CopyPlace | null
  readonly logger: Logger
  readonly clock: Clock
  /** Queued calls of a function; with it a function that has some cannot be removed (VERSION_IN_USE). */
  readonly backlog?: (namespace: string, name: string) => Promise<number>
  /** What namespaces may have; default: they may have anything. */
  readonly quotas?: Quotas
  /** How long the start waits for Redis before it goes on read-only. Default 5 s. */
  readonly startWaitMs?: number
}

const START_WAIT_MS = 5_000

/** Resolves with what is known: from Redis, else from the copy (writes then throw REGISTRY_UNAVAILABLE until Redis is back).
 *  Owns its subscription until `close`; not the connection. */
export async function createRegistry(options: RegistryOptions): Promise<Registry> {
  const content = new RegistryContent(createRegistryStore(options.redis), options.logger)
  if (options.copy !== null) await content.preload(options.copy)
  await options.redis.waitAvailable(options.startWaitMs ?? START_WAIT_MS)
  try {
    await content.reload()
  } catch (error) {
    options.logger.warn({ reason: (error as Error).message }, 'redis is away: the registry starts read-only')
  }
  return new RedisRegistry(content, options)
}

class RedisRegistry implements Registry {
  readonly #content: RegistryContent
  readonly #options: RegistryOptions
  readonly #unfollow: () => void

  constructor(content: RegistryContent, options: RegistryOptions) {
    this.#content = content
    this.#options = options
    this.#unfollow = content.follow()
  }

  namespaces(): string[] {
    return [...this.#content.namespaces()].sort()
  }

  list(namespace: string): FunctionEntry[] {
    return this.page(namespace, null, Number.POSITIVE_INFINITY)
  }

  page(namespace: string, after: string | null, limit: number): FunctionEntry[] {
    const names = this.#content.names(namespace).after(after, limit)
    return names.map((name) => this.#live(namespace, name).entry)
  }

  get(namespace: string, name: string): FunctionEntry {
    return this.#live(namespace, name).entry
  }

  resolve(namespace: string, name: string, reference: string | null, draw: number): FunctionVersion {
    return pickVersion(this.#live(namespace, name, 'public'), reference, draw)
  }

  candidate(namespace: string, name: string, image: string, config: FunctionConfig) {
    checkNamespace(namespace)
    checkFunctionName(name)
    const known = this.#content.known(namespace, name)
    const same = findSame(known, image, config)
    if (same !== undefined) return { version: same, existed: true }
    const number = (known?.stored.lastVersion ?? 0) + 1
    const version = { namespace, name, version: number, image, config, createdAt: this.#nowIso() }
    // Before it is loaded; what others kept meanwhile is looked at when it is kept.
    this.#expectFits(version, known, null)
    return { version, existed: false }
  }

  async commit(version: FunctionVersion, alias: string | null): Promise<FunctionVersion> {
    if (alias !== null) checkAliasName(alias)
    let kept = version
    await this.#content.change(version.namespace, version.name, (known) => {
      this.#expectFits(version, known, alias)
      const next = withVersion(known, version, alias, this.#nowIso())
      kept = next.version
      return next.stored
    })
    return kept
  }

  async setAlias(namespace: string, name: string, alias: string, target: Alias): Promise<FunctionEntry> {
    checkAliasName(alias)
    await this.#content.change(namespace, name, () => {
      const loaded = this.#live(namespace, name)
      const checked = checkAlias(loaded, target)
      this.#expectAliasFits(loaded, alias, checked)
      return withAlias(loaded.stored, alias, checked, this.#nowIso())
    })
    return this.#live(namespace, name).entry
  }

  async removeAlias(namespace: string, name: string, alias: string): Promise<void> {
    if (alias === 'latest') throw new RegistryError('ALIAS_INVALID', 'the alias latest cannot be removed')
    await this.#content.change(namespace, name, () => {
      const loaded = this.#live(namespace, name)
      if (loaded.byAlias.has(alias)) return withoutAlias(loaded.stored, alias, this.#nowIso())
      const near = didYouMean(alias, loaded.byAlias.keys())
      throw new RegistryError('ALIAS_NOT_FOUND', `function ${name} has no alias ${alias.slice(0, 80)}${near}`)
    })
  }

  async removeVersion(namespace: string, name: string, version: number): Promise<void> {
    await this.#content.change(namespace, name, () => {
      const loaded = this.#live(namespace, name)
      if (versionOf(loaded.stored.versions, version) === undefined)
        throw new RegistryError('VERSION_NOT_FOUND', `function ${name} has no version ${version}`)
      const names = Object.keys(loaded.stored.aliases).filter(
        (alias) => (loaded.stored.aliases[alias]!.weights[version] ?? 0) > 0,
      )
      if (names.length > 0) {
        const message = `version ${version} of ${name} is what ${names.join(', ')} names; point it at another version first`
        throw new RegistryError('VERSION_IN_USE', message)
      }
      return withoutVersion(loaded.stored, version, this.#nowIso())
    })
  }

  async removeFunction(namespace: string, name: string): Promise<void> {
    this.#live(namespace, name)
    const queued = (await this.#options.backlog?.(namespace, name)) ?? 0
    if (queued > 0) {
      throw new RegistryError('VERSION_IN_USE', `function ${name} has ${queued} queued calls; cancel them or wait`)
    }
    await this.#content.change(namespace, name, () => asRemoved(this.#live(namespace, name).stored, this.#nowIso()))
  }

  count(namespace: string): number {
    return this.#content.names(namespace).size
  }

  warm(namespace: string): number {
    return this.#content.warm(namespace)
  }

  users(namespace: string, kind: UseKind, name: string): string[] {
    return this.#content.uses.users(namespace, kind, name)
  }

  images(): ReadonlySet<string> {
    return new Set(this.#content.uses.images())
  }

  hasImage(image: string): boolean {
    return this.#content.uses.hasImage(image)
  }

  onChange(listener: (change: RegistryChange | null) => void): () => void {
    return this.#content.onChange(listener)
  }

  async close(): Promise<void> {
    this.#unfollow()
    await this.#content.close()
  }

  #expectFits(version: FunctionVersion, known: LoadedFunction | undefined, alias: string | null): void {
    const { quotas } = this.#options
    if (quotas === undefined) return
    expectVersionFits(quotas, known, version, this.#held(version.namespace))
    if (alias !== null) expectAliasFits(quotas, known?.stored, alias)
  }

  #held(namespace: string): HeldFunctions {
    return {
      count: this.#content.names(namespace).size,
      warm: this.#content.warm(namespace),
      ...this.#content.sizes(namespace),
    }
  }

  #expectAliasFits(loaded: LoadedFunction, alias: string, { weights }: Alias): void {
    const { stored } = loaded
    const { quotas } = this.#options
    if (quotas === undefined) return
    expectAliasFits(quotas, stored, alias)
    if (alias !== 'latest') return
    for (const number of Object.keys(weights))
      expectWarmFits(quotas, versionOf(stored.versions, Number(number))!, loaded, this.#held(stored.namespace))
  }

  /** `suggested`: callers that showed no token must not learn the names of functions that are not public. */
  #live(namespace: string, name: string, suggested: 'all' | 'public' = 'all'): LoadedFunction {
    const loaded = this.#content.get(namespace, name)
    if (loaded !== undefined) return loaded
    const shown = name.slice(0, 80)
    const near = didYouMean(shown, this.#content.names(namespace, suggested).near(shown))
    throw new RegistryError('FUNCTION_NOT_FOUND', `unknown function ${shown}${near}`)
  }

  #nowIso(): string {
    return new Date(this.#options.clock.now()).toISOString()
  }
}
