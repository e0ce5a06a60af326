// Small named documents of one kind (tokens, secrets): in memory for reads that never wait, in Redis to last, and in a file of the
// state directory to start from when Redis is away or empty. What is in them is the caller's; nothing here may be plain secret.
// A change costs the same however many there are: one script, one line on disk, one key read by each process that gets the news.
//
//   {thaw}:documents:<kind>        hash    <namespace>/<name> → JSON
//   {thaw}:documents:<kind>:epoch  number of changes ever made
//   {thaw}:documents:<kind>:news   channel "<epoch> <namespace>/<name>", the keys of one change with a space between
import { join } from 'node:path'
import { type Logger, type TextChange, TextMapFile } from '../../runtime/api.ts'
import type { RedisStore } from '../store/connect.ts'
import { readHash } from '../store/hash-pages.ts'
import { RegistryError } from './api.ts'
import { documentsForm } from './documents-form.ts'
import { NameIndex } from './name-index.ts'
import { NewsOrder } from './news-order.ts'

// Both answer whether it was done, the epoch, and what is there afterwards.
const PUT = `
local before = redis.call('HGET', KEYS[1], ARGV[1])
if ARGV[3] == 'new' and before then return {0, 0, before} end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
local epoch = redis.call('INCR', KEYS[2])
redis.call('PUBLISH', ARGV[4], epoch .. ' ' .. ARGV[1])
return {1, epoch, ARGV[2]}`
const REMOVE = `
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return {0, 0, false} end
local epoch = redis.call('INCR', KEYS[2])
redis.call('PUBLISH', ARGV[2], epoch .. ' ' .. ARGV[1])
return {1, epoch, false}`
// ARGV: channel, news without its epoch, then key and JSON of each; no JSON removes it.
const CHANGE = `
for i = 3, #ARGV, 2 do
  if ARGV[i + 1] == '' then redis.call('HDEL', KEYS[1], ARGV[i]) else redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
local epoch = redis.call('INCR', KEYS[2])
redis.call('PUBLISH', ARGV[1], epoch .. ' ' .. ARGV[2])
return {1, epoch}`
// Fills an empty Redis from the file, never one that has seen a change.
const REBUILD = `
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
for i = 2, #ARGV - 1, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('SET', KEYS[2], ARGV[1])
return 1`

export interface DocumentsOptions {
  readonly redis: RedisStore
  readonly stateDir: string
  /** Part of keys and file name. */
  readonly kind: string
  readonly logger: Logger
}

export class Documents<T> {
  readonly #options: DocumentsOptions
  readonly #keys: readonly [string, string]
  readonly #news: string
  readonly #listeners = new Set<(changed: readonly string[]) => void>()
  readonly #values = new Map<string, T>()
  /** Names by namespace. */
  readonly #names = new Map<string, NameIndex>()
  readonly #namespaces = new NameIndex()
  readonly #order = new NewsOrder()
  #file: TextMapFile | null = null
  /** Something may have changed that could not be read. */
  #isStale = true
  #tail: Promise<unknown> = Promise.resolve()
  #leave: () => void = () => {}

  constructor(options: DocumentsOptions) {
    this.#options = options
    const key = `{thaw}:documents:${options.kind}`
    this.#keys = [key, `${key}:epoch`]
    this.#news = `${key}:news`
  }

  /** Reads the file, then Redis where it answers, and follows its news until `close`. Rejects only when the file cannot be
   *  opened for another reason than damage. */
  async open(): Promise<this> {
    const warn = (what: string) => (error: Error) =>
      this.#options.logger.warn({ reason: error.message, path: this.#path() }, `a copy cannot be ${what}`)
    const { file, found } = await TextMapFile.open({
      path: this.#path(),
      form: documentsForm(warn('read')),
      texts: () => this.#texts(),
      warn: warn('written'),
    })
    this.#file = file
    for (const [key, text] of found?.texts ?? []) this.#keep(key, text)
    this.#order.reset(found?.epoch ?? 0)
    await this.#look()
    this.#leave = this.#options.redis.subscribe(
      this.#news,
      (message) => void this.#heard(message),
      () => void this.#look(),
    )
    return this
  }

  get(key: string): T | undefined {
    return this.#values.get(key)
  }

  entries(): IterableIterator<[string, T]> {
    return this.#values.entries()
  }

  /** Namespaces that have some, in order. */
  namespaces(): readonly string[] {
    return this.#namespaces.all()
  }

  /** Names of a namespace, in order. */
  names(namespace: string): NameIndex {
    return this.#names.get(namespace) ?? NO_NAMES
  }

  /** False: there is one already and `mode` is `new`. Throws RegistryError REGISTRY_UNAVAILABLE. */
  put(key: string, value: T, mode: 'new' | 'replace'): Promise<boolean> {
    return this.#change(PUT, [key, JSON.stringify(value), mode, this.#news], (text) => [[key, text]])
  }

  /** False: there is none. Throws RegistryError REGISTRY_UNAVAILABLE. */
  remove(key: string): Promise<boolean> {
    return this.#change(REMOVE, [key, this.#news], () => [[key, null]])
  }

  /** Sets and removes (null) several at once: all of it holds, or nothing. Throws RegistryError REGISTRY_UNAVAILABLE. */
  async change(entries: ReadonlyMap<string, { readonly value: T } | null>): Promise<void> {
    const changes = [...entries].map(
      ([key, entry]) => [key, entry === null ? null : JSON.stringify(entry.value)] as const,
    )
    const args = [
      this.#news,
      changes.map(([key]) => key).join(' '),
      ...changes.flatMap(([key, text]) => [key, text ?? '']),
    ]
    await this.#change(CHANGE, args, () => changes)
  }

  /** Told the keys that were added, changed or removed, by this process or another. The returned function unsubscribes. */
  onChange(listener: (changed: readonly string[]) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async close(): Promise<void> {
    this.#leave()
    await this.#tail
    await this.#file?.close()
  }

  /** The change holds for every question after its answer. `after`: what the script's answer says of the keys. */
  #change(
    script: string,
    args: readonly string[],
    after: (text: string | null) => readonly TextChange[],
  ): Promise<boolean> {
    return this.#inTurn(async () => {
      try {
        const { redis } = this.#options
        const [done, epoch, text = null] = (await redis.script(script, this.#keys, args)) as [number, number, string?]
        if (done === 1) this.#order.made(epoch)
        await this.#take(after(text))
        return done === 1
      } catch (error) {
        const reason = (error as Error).message
        // Whether it was done is not known.
        this.#isStale = true
        throw new RegistryError('REGISTRY_UNAVAILABLE', `it cannot be changed now: ${reason}`, { cause: error })
      }
    })
  }

  #heard(message: string): Promise<void> {
    const space = message.indexOf(' ')
    const [epoch, keys] = [Number(message.slice(0, space)), message.slice(space + 1).split(' ')]
    return this.#read(async () => {
      const reading = space < 0 ? 'all' : this.#order.heard(epoch)
      if (reading === 'all' || this.#isStale) await this.#readAll()
      else if (reading === 'one') {
        this.#isStale = true
        const texts = (await this.#options.redis.command('HMGET', this.#keys[0], ...keys)) as (string | null)[]
        await this.#take(keys.map((key, index) => [key, texts[index] ?? null]))
        this.#isStale = false
      }
    })
  }

  /** Reads all where something may have been missed. */
  #look(): Promise<void> {
    return this.#read(async () => {
      if (this.#isStale || (await this.#readEpoch()) !== this.#order.epoch) await this.#readAll()
    })
  }

  /** One after the other; while Redis is away what is known goes on to hold. */
  #read(work: () => Promise<void>): Promise<void> {
    return this.#inTurn(work).catch((error: Error) => {
      const { logger, kind } = this.#options
      logger.warn({ reason: error.message, kind }, 'documents could not be read: what is known goes on to hold')
    })
  }

  async #readAll(): Promise<void> {
    this.#isStale = true
    const { redis } = this.#options
    let epoch = await this.#readEpoch()
    if (epoch === 0 && this.#values.size > 0) {
      await redis.script(REBUILD, this.#keys, [String(this.#order.newest + 1), ...[...this.#texts()].flat(), ''])
      epoch = await this.#readEpoch()
    }
    const texts = new Map<string, string>()
    await readHash(redis, this.#keys[0], (key, text) => void texts.set(key, text))
    const changes: [string, string | null][] = [...texts]
    for (const key of this.#values.keys()) if (!texts.has(key)) changes.push([key, null])
    this.#order.reset(epoch)
    await this.#take(changes, 'whole')
    this.#isStale = false
  }

  async #readEpoch(): Promise<number> {
    return Number((await this.#options.redis.command('GET', this.#keys[1])) ?? 0)
  }

  async #take(changes: readonly TextChange[], write: 'line' | 'whole' = 'line'): Promise<void> {
    const real = changes.filter(([key, text]) => text !== (JSON.stringify(this.#values.get(key)) ?? null))
    for (const [key, text] of real) this.#keep(key, text)
    if (real.length === 0) return
    const { newest } = this.#order
    // The change itself is already safe in Redis.
    const written = write === 'line' ? this.#file?.append(newest, real) : this.#file?.rewrite(newest)
    await written?.catch((error: Error) =>
      this.#options.logger.warn({ reason: error.message, path: this.#path() }, 'a copy cannot be written'),
    )
    const keys = real.map(([key]) => key)
    for (const listener of [...this.#listeners]) listener(keys)
  }

  #keep(key: string, text: string | null): void {
    const slash = key.indexOf('/')
    const [namespace, name] = [key.slice(0, slash), key.slice(slash + 1)]
    const names = this.#names.get(namespace) ?? new NameIndex()
    if (text === null) {
      this.#values.delete(key)
      names.delete(name)
      if (names.size > 0) return
      this.#names.delete(namespace)
      this.#namespaces.delete(namespace)
      return
    }
    this.#values.set(key, JSON.parse(text) as T)
    names.add(name)
    this.#names.set(namespace, names)
    this.#namespaces.add(namespace)
  }

  *#texts(): Generator<[string, string]> {
    for (const [key, value] of this.#values) yield [key, JSON.stringify(value)]
  }

  #inTurn<R>(work: () => Promise<R>): Promise<R> {
    const turn = this.#tail.then(work)
    this.#tail = turn.catch(() => {})
    return turn
  }

  #path(): string {
    return join(this.#options.stateDir, `${this.#options.kind}.json`)
  }
}

const NO_NAMES = new NameIndex()
