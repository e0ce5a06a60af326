// Small named documents of one kind (tokens, secrets): in memory for reads that never wait, in Redis to last, and in a file of the
// state directory to start from when Redis is away or empty. What is in them is the caller's; nothing here may be plain secret.
//
//   {thaw}:documents:<kind>        hash    key → JSON
//   {thaw}:documents:<kind>:epoch  number of changes ever made
//   {thaw}:documents:<kind>:news   channel "<epoch>"
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Logger, writeDurable } from '../../runtime/api.ts'
import type { RedisStore } from '../store/connect.ts'
import { RegistryError } from './api.ts'

const READ = `return {redis.call('GET', KEYS[2]) or '0', redis.call('HGETALL', KEYS[1])}`
const PUT = `
if ARGV[3] == 'new' and redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PUBLISH', ARGV[4], redis.call('INCR', KEYS[2]))
return 1`
const REMOVE = `
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('PUBLISH', ARGV[2], redis.call('INCR', KEYS[2]))
return 1`
// ARGV: channel, then key and JSON of each; no JSON removes it.
const CHANGE = `
for i = 2, #ARGV, 2 do
  if ARGV[i + 1] == '' then redis.call('HDEL', KEYS[1], ARGV[i]) else redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
redis.call('PUBLISH', ARGV[1], redis.call('INCR', KEYS[2]))
return 1`
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
  readonly #keys: readonly string[]
  readonly #news: string
  readonly #listeners = new Set<(changed: readonly string[]) => void>()
  #texts = new Map<string, string>()
  #values = new Map<string, T>()
  #epoch = 0
  #tail: Promise<unknown> = Promise.resolve()
  #leave: () => void = () => {}

  constructor(options: DocumentsOptions) {
    this.#options = options
    const key = `{thaw}:documents:${options.kind}`
    this.#keys = [key, `${key}:epoch`]
    this.#news = `${key}:news`
  }

  /** Reads the file, then Redis where it answers, and follows its news until `close`. Never rejects. */
  async open(): Promise<this> {
    await this.#readFile()
    await this.#reload()
    const { redis } = this.#options
    this.#leave = redis.subscribe(
      this.#news,
      () => void this.#reload(),
      () => void this.#reload(),
    )
    return this
  }

  get(key: string): T | undefined {
    return this.#values.get(key)
  }

  /** How many have keys `<namespace>/…`. */
  countIn(namespace: string): number {
    const prefix = `${namespace}/`
    let count = 0
    for (const key of this.#values.keys()) if (key.startsWith(prefix)) count++
    return count
  }

  entries(): IterableIterator<[string, T]> {
    return this.#values.entries()
  }

  /** False: there is one already and `mode` is `new`. Throws RegistryError REGISTRY_UNAVAILABLE. */
  put(key: string, value: T, mode: 'new' | 'replace'): Promise<boolean> {
    return this.#change(PUT, [key, JSON.stringify(value), mode, this.#news])
  }

  /** False: there is none. Throws RegistryError REGISTRY_UNAVAILABLE. */
  remove(key: string): Promise<boolean> {
    return this.#change(REMOVE, [key, this.#news])
  }

  /** Sets and removes (null) several at once: all of it holds, or nothing. Throws RegistryError REGISTRY_UNAVAILABLE. */
  async change(entries: ReadonlyMap<string, { readonly value: T } | null>): Promise<void> {
    const parts = [...entries].flatMap(([key, entry]) => [key, entry === null ? '' : JSON.stringify(entry.value)])
    await this.#change(CHANGE, [this.#news, ...parts])
  }

  /** Told the keys that were added, changed or removed, by this process or another. The returned function unsubscribes. */
  onChange(listener: (changed: readonly string[]) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async close(): Promise<void> {
    this.#leave()
    await this.#tail
  }

  async #change(script: string, args: readonly string[]): Promise<boolean> {
    let done: boolean
    try {
      done = (await this.#options.redis.script(script, this.#keys, args)) === 1
    } catch (error) {
      const reason = (error as Error).message
      throw new RegistryError('REGISTRY_UNAVAILABLE', `it cannot be changed now: ${reason}`, { cause: error })
    }
    // The change holds for whoever asks after this answer.
    await this.#reload()
    return done
  }

  /** One after the other; while Redis is away what is known goes on to hold. */
  #reload(): Promise<void> {
    const run = this.#tail
      .then(() => this.#readAll())
      .catch((error: Error) => {
        const { logger, kind } = this.#options
        logger.warn({ reason: error.message, kind }, 'documents could not be read: what is known goes on to hold')
      })
    this.#tail = run
    return run
  }

  async #readAll(): Promise<void> {
    let [epoch, flat] = await this.#readRedis()
    if (epoch === 0 && this.#texts.size > 0) {
      await this.#options.redis.script(REBUILD, this.#keys, [String(this.#epoch + 1), ...[...this.#texts].flat(), ''])
      ;[epoch, flat] = await this.#readRedis()
    }
    const texts = new Map<string, string>()
    for (let index = 0; index + 1 < flat.length; index += 2) texts.set(flat[index]!, flat[index + 1]!)
    const changed = differing(this.#texts, texts)
    this.#take(epoch, texts)
    if (changed.length === 0) return
    await this.#writeFile()
    for (const listener of [...this.#listeners]) listener(changed)
  }

  async #readRedis(): Promise<[number, string[]]> {
    const [epoch, flat] = (await this.#options.redis.script(READ, this.#keys, [])) as [string, string[]]
    return [Number(epoch), flat]
  }

  #take(epoch: number, texts: Map<string, string>): void {
    this.#epoch = epoch
    this.#texts = texts
    this.#values = new Map([...texts].map(([key, text]) => [key, JSON.parse(text) as T]))
  }

  async #readFile(): Promise<void> {
    try {
      const { epoch, documents } = JSON.parse(await readFile(this.#path(), 'utf8')) as {
        epoch: number
        documents: Record<string, string>
      }
      this.#take(epoch, new Map(Object.entries(documents)))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
      this.#options.logger.warn({ reason: (error as Error).message, path: this.#path() }, 'a copy cannot be read')
    }
  }

  /** Never throws: the change itself is already safe in Redis. */
  async #writeFile(): Promise<void> {
    const path = this.#path()
    const text = JSON.stringify({ epoch: this.#epoch, documents: Object.fromEntries(this.#texts) })
    try {
      await writeDurable(path, text)
    } catch (error) {
      this.#options.logger.warn({ reason: (error as Error).message, path }, 'a copy cannot be written')
    }
  }

  #path(): string {
    return join(this.#options.stateDir, `${this.#options.kind}.json`)
  }
}

function differing(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  const changed = [...after].filter(([key, text]) => before.get(key) !== text).map(([key]) => key)
  return [...changed, ...[...before.keys()].filter((key) => !after.has(key))]
}
