// What the registry knows, in memory, and the one way to change it: read from Redis, written with compare-and-set, copied to the
// state directory. Changes and reads run one after the other; each costs the same however many functions and versions there are.
import type { Logger } from '../../runtime/api.ts'
import type { FunctionVersion } from '../api.ts'
import { type RegistryChange, RegistryError } from './api.ts'
import { type CopyPlace, RegistryCopy } from './copy.ts'
import {
  type Change,
  changeOf,
  differenceOf,
  type LoadedFunction,
  loadFunction,
  type StoredFunction,
} from './entries.ts'
import { NameIndex } from './name-index.ts'
import { type NamespaceSize, NamespaceSizes, removedNames } from './namespace-sizes.ts'
import { NewsOrder } from './news-order.ts'
import type { KeptFunction, RegistryStore } from './registry-store.ts'
import { Uses } from './uses.ts'

const CHANGE_ATTEMPTS = 5

/** Names of a namespace's functions. */
interface Names {
  readonly all: NameIndex
  /** Of those that callers without a token may call. */
  readonly public: NameIndex
}

export class RegistryContent {
  readonly uses = new Uses()
  readonly #store: RegistryStore
  readonly #logger: Logger
  /** By `<namespace>/<name>`, removed ones included. */
  readonly #functions = new Map<string, LoadedFunction>()
  readonly #revisions = new Map<string, number>()
  /** Whose versions Redis has as an earlier release wrote them. */
  readonly #inline = new Set<string>()
  readonly #names = new Map<string, Names>()
  /** By namespace: what its functions keep warm. */
  readonly #warm = new Map<string, number>()
  readonly #sizes = new NamespaceSizes()
  readonly #listeners = new Set<(change: RegistryChange | null) => void>()
  readonly #order = new NewsOrder()
  #copy: RegistryCopy | null = null
  /** Whether Redis was read at least once; until then nothing may be written. */
  #loaded = false
  /** Something may have changed that could not be read. */
  #isStale = true
  #tail: Promise<unknown> = Promise.resolve()

  constructor(store: RegistryStore, logger: Logger) {
    this.#store = store
    this.#logger = logger
  }

  get(namespace: string, name: string): LoadedFunction | undefined {
    const loaded = this.#functions.get(`${namespace}/${name}`)
    return loaded?.stored.removed === true ? undefined : loaded
  }

  /** Also of a removed function. */
  known(namespace: string, name: string): LoadedFunction | undefined {
    return this.#functions.get(`${namespace}/${name}`)
  }

  /** Namespaces with functions, present or past. */
  namespaces(): Iterable<string> {
    return this.#names.keys()
  }

  names(namespace: string, which: 'all' | 'public' = 'all'): NameIndex {
    return this.#names.get(namespace)?.[which] ?? NO_NAMES
  }

  /** Sandboxes that the functions of a namespace keep warm, together. */
  warm(namespace: string): number {
    return this.#warm.get(namespace) ?? 0
  }

  /** What the versions of a namespace take, and how many names of removed functions it has. */
  sizes(namespace: string): NamespaceSize {
    return this.#sizes.of(namespace)
  }

  /** Called with each change; null: anything may have changed. */
  onChange(listener: (change: RegistryChange | null) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Takes what the copy says, for reads until Redis answers, and keeps it from now on. */
  async preload(place: CopyPlace): Promise<void> {
    const { copy, found, isOld } = await RegistryCopy.open(place, () => this.#stored(), this.#logger)
    this.#copy = copy
    if (found === null) return
    this.#order.reset(found.epoch)
    for (const [key, stored] of found.functions) this.#keep(key, stored)
    if (isOld) await copy.adopt(found.epoch)
  }

  /** Reads Redis where something may have changed. Rejects with StoreError. */
  reload(): Promise<void> {
    return this.#serially(async () => {
      if (this.#isStale || (await this.#store.epoch()) !== this.#order.epoch) await this.#readAll()
    })
  }

  /** Reads what others changed, and all that may have been missed after a break of the connection. The returned function stops
   *  it. */
  follow(): () => void {
    return this.#store.follow((news) => {
      const read = news === null ? this.reload() : this.#serially(() => this.#heard(news.epoch, news.key))
      read.catch((error: Error) => this.#logger.warn({ reason: error.message }, 'the registry could not be reloaded'))
    })
  }

  /** `next` gets what is known now and may throw; it is called again when another process was faster. Throws REGISTRY_UNAVAILABLE. */
  change(
    namespace: string,
    name: string,
    next: (current: LoadedFunction | undefined) => StoredFunction,
  ): Promise<void> {
    const key = `${namespace}/${name}`
    return this.#serially(async () => {
      for (let attempt = 0; attempt < CHANGE_ATTEMPTS; attempt++) {
        if (!this.#loaded) await unavailable(() => this.#readAll())
        if (await this.#tryChange(key, next)) return
        await unavailable(() => this.#readOne(key))
      }
      throw new RegistryError('REGISTRY_UNAVAILABLE', `function ${name} is being changed by others; try again`)
    })
  }

  async close(): Promise<void> {
    await this.#tail
    await this.#copy?.close()
  }

  async #tryChange(key: string, next: (current: LoadedFunction | undefined) => StoredFunction): Promise<boolean> {
    const before = this.#functions.get(key)
    const after = next(before)
    const change = changeOf(before?.stored, after)
    // What an earlier release wrote into one text is put apart.
    const whole = this.#inline.has(key) ? { ...change, added: after.versions } : change
    let outcome: Awaited<ReturnType<RegistryStore['write']>>
    try {
      outcome = await unavailable(() => this.#store.write(key, this.#revisions.get(key) ?? 0, whole))
    } catch (error) {
      // Whether it was done is not known.
      this.#isStale = true
      throw error
    }
    if (!outcome.written) return false
    this.#inline.delete(key)
    this.#revisions.set(key, outcome.epoch)
    this.#order.made(outcome.epoch)
    await this.#took(key, after, change)
    return true
  }

  async #heard(epoch: number, key: string): Promise<void> {
    const reading = this.#order.heard(epoch)
    if (reading === 'all' || this.#isStale) await this.#readAll()
    else if (reading === 'one') {
      this.#isStale = true
      await this.#readOne(key)
      this.#isStale = false
    }
  }

  async #readOne(key: string): Promise<void> {
    const before = this.#functions.get(key)
    const kept = await this.#store.read(key, before?.stored)
    // Its name went with all of Redis: what happens then is decided for all at once.
    if (kept === null) return await this.#readAll()
    if (kept.revision === this.#revisions.get(key)) return
    this.#note(key, kept)
    await this.#took(key, kept.stored, changeOf(before?.stored, kept.stored))
  }

  async #readAll(): Promise<void> {
    this.#isStale = true
    let epoch = await this.#store.epoch()
    let all = await this.#store.readAll()
    if (epoch === 0 && all.size === 0 && this.#functions.size > 0) {
      this.#logger.warn({ functions: this.#functions.size }, 'redis holds no registry: filling it from the copy')
      await this.#store.rebuild(this.#order.newest + 1, this.#stored())
      epoch = await this.#store.epoch()
      all = await this.#store.readAll()
    }
    const isNews = !this.#loaded || epoch !== this.#order.epoch
    for (const key of [...this.#functions.keys()]) if (!all.has(key)) this.#forget(key)
    for (const [key, kept] of all) {
      if (kept.revision === this.#revisions.get(key)) continue
      // A number may mean another content: what is read may come from another Redis.
      this.#forget(key)
      this.#note(key, kept)
      this.#keep(key, kept.stored)
    }
    this.#order.reset(epoch)
    this.#loaded = true
    this.#isStale = false
    if (!isNews) return
    this.#tell(null)
    await this.#copy?.rewritten(this.#order.newest)
  }

  #note(key: string, { revision, isInline }: KeptFunction): void {
    this.#revisions.set(key, revision)
    if (isInline) this.#inline.add(key)
    else this.#inline.delete(key)
  }

  /** The function is now so: known here, in the copy, to all who follow. */
  async #took(key: string, after: StoredFunction, change: Change): Promise<void> {
    const before = this.#functions.get(key)
    const dropped = differenceOf(before?.stored, after).dropped
    this.#keep(key, after)
    const { namespace, name } = after
    const images = (versions: readonly FunctionVersion[]) => [...new Set(versions.map(({ image }) => image))]
    const unusedImages = images(dropped).filter((image) => !this.uses.hasImage(image))
    this.#tell({ namespace, name, newImages: images(change.added), unusedImages })
    await this.#copy?.changed(this.#order.newest, key, change)
  }

  #tell(change: RegistryChange | null): void {
    for (const listener of [...this.#listeners]) listener(change)
  }

  #keep(key: string, stored: StoredFunction): void {
    const before = this.#functions.get(key)
    const { added, dropped } = differenceOf(before?.stored, stored)
    for (const version of added) this.uses.add(version)
    for (const version of dropped) this.uses.remove(version)
    this.#sizes.change(stored.namespace, { added, dropped }, removedNames(stored) - removedNames(before?.stored))
    const loaded = loadFunction(stored, before)
    this.#functions.set(key, loaded)
    this.#warm.set(stored.namespace, this.warm(stored.namespace) + loaded.warm - (before?.warm ?? 0))
    const names = this.#names.get(stored.namespace) ?? { all: new NameIndex(), public: new NameIndex() }
    this.#names.set(stored.namespace, names)
    place(names.all, stored.name, !stored.removed)
    place(names.public, stored.name, !stored.removed && loaded.isPublic)
  }

  #forget(key: string): void {
    const before = this.#functions.get(key)
    if (before === undefined) return
    const { namespace, name, versions } = before.stored
    for (const version of versions) this.uses.remove(version)
    this.#sizes.change(namespace, { added: [], dropped: versions }, -removedNames(before.stored))
    this.#warm.set(namespace, this.warm(namespace) - before.warm)
    this.#functions.delete(key)
    this.#revisions.delete(key)
    this.#inline.delete(key)
    const names = this.#names.get(namespace)
    names?.all.delete(name)
    names?.public.delete(name)
  }

  *#stored(): Generator<readonly [string, StoredFunction]> {
    for (const [key, { stored }] of this.#functions) yield [key, stored]
  }

  #serially<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(work)
    this.#tail = result.catch(() => {})
    return result
  }
}

const NO_NAMES = new NameIndex()

function place(names: NameIndex, name: string, isThere: boolean): void {
  if (isThere) names.add(name)
  else names.delete(name)
}

async function unavailable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const reason = (error as Error).message
    throw new RegistryError('REGISTRY_UNAVAILABLE', `the registry cannot be changed now: ${reason}`, { cause: error })
  }
}
