// What the registry knows, in memory, and the one way to change it: read from Redis, written with compare-and-set, copied beside
// the images. Changes and reloads run one after the other.
import type { Logger } from '../../runtime/api.ts'
import { RegistryError } from './api.ts'
import { type CopyStore, readCopy, writeCopy } from './copy.ts'
import { type LoadedFunction, loadFunction, type StoredFunction } from './entries.ts'
import type { RegistryStore } from './registry-store.ts'

const CHANGE_ATTEMPTS = 5

export class RegistryContent {
  readonly #store: RegistryStore
  readonly #images: CopyStore | null
  readonly #logger: Logger
  readonly #namespaces = new Map<string, Map<string, LoadedFunction>>()
  readonly #stored = new Map<string, StoredFunction>()
  readonly #listeners = new Set<() => void>()
  #revisions = new Map<string, number>()
  #epoch = 0
  #copiedEpoch = -1
  /** Whether Redis was read at least once; until then nothing may be written. */
  #loaded = false
  #tail: Promise<unknown> = Promise.resolve()

  constructor(store: RegistryStore, images: CopyStore | null, logger: Logger) {
    this.#store = store
    this.#images = images
    this.#logger = logger
  }

  get(namespace: string, name: string): LoadedFunction | undefined {
    return this.#namespaces.get(namespace)?.get(name)
  }

  /** Also of a removed function. */
  stored(namespace: string, name: string): StoredFunction | undefined {
    return this.#stored.get(`${namespace}/${name}`)
  }

  /** Namespaces with functions, present or past. */
  namespaces(): Iterable<string> {
    return this.#namespaces.keys()
  }

  names(namespace: string): Iterable<string> {
    return this.#namespaces.get(namespace)?.keys() ?? []
  }

  /** What is stored of the functions of a namespace that are not removed. */
  live(namespace: string): StoredFunction[] {
    return [...(this.#namespaces.get(namespace)?.values() ?? [])].map(({ stored }) => stored)
  }

  images(): ReadonlySet<string> {
    const versions = [...this.#stored.values()].flatMap((entry) => entry.versions)
    return new Set(versions.map((version) => version.image))
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Takes what the copy says, for reads until Redis answers. */
  async preload(): Promise<void> {
    const copy = await readCopy(this.#images, this.#logger)
    if (copy === null) return
    this.#epoch = copy.epoch
    this.#copiedEpoch = copy.epoch
    this.#replaceAll(copy.functions)
  }

  /** Reads Redis. Rejects with StoreError. */
  reload(): Promise<void> {
    return this.#serially(() => this.#readAll())
  }

  /** Reloads on news of others and after each break of the connection. The returned function stops it. */
  follow(): () => void {
    return this.#store.follow((epoch) => {
      if (epoch !== null && epoch <= this.#epoch) return
      this.reload().catch((error: Error) =>
        this.#logger.warn({ reason: error.message }, 'the registry could not be reloaded'),
      )
    })
  }

  /** `next` gets what is stored now and may throw; it is called again when another process was faster. Throws REGISTRY_UNAVAILABLE. */
  change(
    namespace: string,
    name: string,
    next: (current: StoredFunction | undefined) => StoredFunction,
  ): Promise<void> {
    return this.#serially(async () => {
      for (let attempt = 0; attempt < CHANGE_ATTEMPTS; attempt++) {
        if (!this.#loaded) await unavailable(() => this.#readAll())
        if (await this.#tryChange(`${namespace}/${name}`, next)) return
        await unavailable(() => this.#readAll())
      }
      throw new RegistryError('REGISTRY_UNAVAILABLE', `function ${name} is being changed by others; try again`)
    })
  }

  async #tryChange(key: string, next: (current: StoredFunction | undefined) => StoredFunction): Promise<boolean> {
    const content = next(this.#stored.get(key))
    const revision = this.#revisions.get(key) ?? 0
    const outcome = await unavailable(() => this.#store.write(key, revision, content))
    if (!outcome.written) return false
    if (outcome.epoch === this.#epoch + 1) {
      this.#epoch = outcome.epoch
      this.#revisions.set(key, outcome.epoch)
      this.#keep(key, content)
      await this.#announce()
    } else {
      await unavailable(() => this.#readAll())
    }
    return true
  }

  async #readAll(): Promise<void> {
    let snapshot = await this.#store.readAll()
    if (snapshot.epoch === 0 && snapshot.functions.size === 0 && this.#stored.size > 0) {
      this.#logger.warn({ functions: this.#stored.size }, 'redis holds no registry: filling it from the copy')
      await this.#store.rebuild(this.#epoch + 1, this.#stored)
      snapshot = await this.#store.readAll()
    }
    const news = !this.#loaded || snapshot.epoch !== this.#epoch
    this.#loaded = true
    if (!news) return
    this.#epoch = snapshot.epoch
    this.#revisions = new Map(snapshot.revisions)
    this.#replaceAll(snapshot.functions)
    await this.#announce()
  }

  async #announce(): Promise<void> {
    if (this.#copiedEpoch !== this.#epoch) {
      this.#copiedEpoch = this.#epoch
      await writeCopy(this.#images, { epoch: this.#epoch, functions: this.#stored }, this.#logger)
    }
    for (const listener of [...this.#listeners]) listener()
  }

  #replaceAll(functions: ReadonlyMap<string, StoredFunction>): void {
    this.#stored.clear()
    this.#namespaces.clear()
    for (const [key, entry] of functions) this.#keep(key, entry)
  }

  #keep(key: string, entry: StoredFunction): void {
    this.#stored.set(key, entry)
    const names = this.#namespaces.get(entry.namespace) ?? new Map<string, LoadedFunction>()
    this.#namespaces.set(entry.namespace, names)
    if (entry.removed) names.delete(entry.name)
    else names.set(entry.name, loadFunction(entry))
  }

  #serially<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(work)
    this.#tail = result.catch(() => {})
    return result
  }
}

async function unavailable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const reason = (error as Error).message
    throw new RegistryError('REGISTRY_UNAVAILABLE', `the registry cannot be changed now: ${reason}`, { cause: error })
  }
}
