// The registry: functions, versions and aliases in memory, kept the same as Redis and as the copy beside the images.
// Reads never wait; it starts (read-only) from the copy when Redis is away, and fills an emptied Redis from what it knows.
import type { Clock, Logger } from '../../runtime/api.ts'
import type { FunctionConfig, FunctionVersion } from '../api.ts'
import type { RedisStore } from '../store/connect.ts'
import { type Alias, type FunctionEntry, type Registry, RegistryError } from './api.ts'
import { asRemoved, withAlias, withoutAlias, withVersion } from './changes.ts'
import { RegistryContent } from './content.ts'
import type { CopyStore } from './copy.ts'
import { checkAlias, findSame, isPublic, type LoadedFunction, pickVersion } from './entries.ts'
import { checkAliasName, checkFunctionName, checkNamespace } from './names.ts'
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
    const version = (stored?.lastVersion ?? 0) + 1
    return { version: { namespace, name, version, image, config, createdAt: this.#nowIso() }, existed: false }
  }

  async commit(version: FunctionVersion, alias: string | null): Promise<FunctionVersion> {
    if (alias !== null) checkAliasName(alias)
    let kept = version
    await this.#content.change(version.namespace, version.name, (stored) => {
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
      return withAlias(loaded.stored, alias, checkAlias(loaded, target), this.#nowIso())
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
