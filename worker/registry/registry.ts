// The registry: functions, versions and aliases in memory, kept the same as Redis and as the copy beside the images.
// Reads never wait; it starts (read-only) from the copy when Redis is away, and fills an emptied Redis from what it knows.
import type { Clock, Logger } from '../../runtime/api.ts'
import type { FunctionConfig, FunctionVersion } from '../api.ts'
import type { RedisStore } from '../store/connect.ts'
import { type Alias, type FunctionEntry, type Registry, RegistryError } from './api.ts'
import { asRemoved, withAlias, withoutAlias, withoutVersion, withVersion } from './changes.ts'
import { RegistryContent } from './content.ts'
import type { CopyStore } from './copy.ts'
import { expectAliasFits, expectVersionFits, expectWarmFits } from './deploy-quotas.ts'
import { checkAlias, findSame, isPublic, type LoadedFunction, pickVersion, type StoredFunction } from './entries.ts'
import { checkAliasName, checkFunctionName, checkNamespace } from './names.ts'
import type { Quotas } from './quotas.ts'
import { createRegistryStore } from './registry-store.ts'
import { didYouMean } from './suggest.ts'

export interface RegistryOptions {
  readonly redis: RedisStore
  /** Where the copy is kept; null: no copy. */
  readonly images: CopyStore | null
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
  const content = new RegistryContent(createRegistryStore(options.redis), options.images, options.logger)
  await content.preload()
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
    const names = [...this.#content.names(namespace)].sort((a, b) => (a < b ? -1 : 1))
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
    const stored = this.#content.stored(namespace, name)
    const same = findSame(stored, image, config)
    if (same !== undefined) return { version: same, existed: true }
    const number = (stored?.lastVersion ?? 0) + 1
    const version = { namespace, name, version: number, image, config, createdAt: this.#nowIso() }
    // Before it is loaded; what others kept meanwhile is looked at when it is kept.
    this.#expectFits(version, stored, null)
    return { version, existed: false }
  }

  async commit(version: FunctionVersion, alias: string | null): Promise<FunctionVersion> {
    if (alias !== null) checkAliasName(alias)
    let kept = version
    await this.#content.change(version.namespace, version.name, (stored) => {
      this.#expectFits(version, stored, alias)
      const next = withVersion(stored, version, alias, this.#nowIso())
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
      if (!loaded.byVersion.has(version))
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

  images(): ReadonlySet<string> {
    return this.#content.images()
  }

  onChange(listener: () => void): () => void {
    return this.#content.onChange(listener)
  }

  async close(): Promise<void> {
    this.#unfollow()
  }

  #expectFits(version: FunctionVersion, stored: StoredFunction | undefined, alias: string | null): void {
    const { quotas } = this.#options
    if (quotas === undefined) return
    expectVersionFits(quotas, stored, version, this.#content.live(version.namespace))
    if (alias !== null) expectAliasFits(quotas, stored, alias)
  }

  #expectAliasFits({ stored, byVersion }: LoadedFunction, alias: string, { weights }: Alias): void {
    const { quotas } = this.#options
    if (quotas === undefined) return
    expectAliasFits(quotas, stored, alias)
    if (alias !== 'latest') return
    for (const number of Object.keys(weights))
      expectWarmFits(quotas, byVersion.get(Number(number))!, this.#content.live(stored.namespace))
  }

  /** `suggested`: callers that showed no token must not learn the names of functions that are not public. */
  #live(namespace: string, name: string, suggested: 'all' | 'public' = 'all'): LoadedFunction {
    const loaded = this.#content.get(namespace, name)
    if (loaded !== undefined) return loaded
    const shown = name.slice(0, 80)
    const names = [...this.#content.names(namespace)]
    const isShown = (other: string) => suggested === 'all' || isPublic(this.#content.get(namespace, other))
    const near = didYouMean(shown, names.filter(isShown))
    throw new RegistryError('FUNCTION_NOT_FOUND', `unknown function ${shown}${near}`)
  }

  #nowIso(): string {
    return new Date(this.#options.clock.now()).toISOString()
  }
}
