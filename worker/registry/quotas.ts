// Quotas of namespaces: the bound of each, what is in use, and what was refused. Bounds are read from memory and never wait; a change
// is one script in Redis, reaches every process by its news, and lies in a file of the state directory, as tokens and secrets do.
// Counts nothing itself: the owner of a thing reports how much of it a namespace has (`report`).

import type { Documents } from './documents.ts'
import { checkNamespace, DEFAULT_NAMESPACE } from './names.ts'
import { QuotaExceeded } from './quota-exceeded.ts'
import { isQuotaKey, QUOTAS, type QuotaBounds, type QuotaDefinition, type QuotaKey, quotaText } from './quota-table.ts'

/** What follows from the host a process runs on; a key that is not there has no bound. */
export type HostQuotas = Readonly<Partial<Record<QuotaKey, number>>>

export interface QuotasOptions {
  /** `namespace/key` → the bound that was set for it. */
  readonly documents: Pick<Documents<number | null>, 'get' | 'entries' | 'change' | 'onChange'>
  /** Defaults that the settings say (FN_QUOTA_*). */
  readonly settings: Readonly<Partial<QuotaBounds>>
  /** Defaults that follow from the host, for namespaces other than `default`; of what has a default of its own, the most it can be here. */
  readonly host: HostQuotas
}

/** One row of `fn namespace show`. */
export interface QuotaView {
  readonly unit: QuotaDefinition['unit']
  readonly kind: QuotaDefinition['kind']
  /** null: none. */
  readonly bound: number | null
  /** null: not counted in this process. */
  readonly inUse: number | null
  readonly source: 'namespace' | 'setting' | 'default'
}
export type QuotaViews = Readonly<Record<QuotaKey, QuotaView>>

/** How much of something a namespace has. */
export type InUse = (namespace: string) => number | Promise<number>

/** `default` goes back to the default. */
export type QuotaChanges = Readonly<Partial<Record<QuotaKey, number | null | 'default'>>>

/** What else there is to say of a fixed bound. */
export interface FixedBoundUse {
  readonly owner?: string | null
  readonly retryAfterS?: number | null
  readonly more?: number
  readonly wayOut?: string | null
}

/** Of namespaces beyond these the refusals are counted together. */
const MOST_COUNTED_NAMESPACES = 1000

export class Quotas {
  readonly #options: QuotasOptions
  readonly #uses = new Map<QuotaKey, InUse>()
  readonly #parts = new Map<QuotaKey, readonly ((namespace: string) => number)[]>()
  readonly #refused = new Map<string, Map<string, number>>()
  readonly #listeners = new Set<() => void>()
  /** Namespaces with bounds of their own. */
  readonly #own = new Map<string, QuotaBounds>()
  readonly #ofDefault: QuotaBounds
  readonly #ofOthers: QuotaBounds

  constructor(options: QuotasOptions) {
    this.#options = options
    this.#ofDefault = boundsFrom((key) => this.#fallback(DEFAULT_NAMESPACE, key))
    this.#ofOthers = boundsFrom((key) => this.#fallback('', key))
    this.#index()
    options.documents.onChange(() => {
      this.#index()
      for (const listener of [...this.#listeners]) listener()
    })
  }

  /** All bounds of the namespace; the same object until one changes. */
  boundsOf(namespace: string): QuotaBounds {
    return this.#own.get(namespace) ?? (namespace === DEFAULT_NAMESPACE ? this.#ofDefault : this.#ofOthers)
  }

  /** null: no bound. */
  quotaOf(namespace: string, key: QuotaKey): number | null {
    return this.boundsOf(namespace)[key]
  }

  /** Throws QuotaExceeded when `more` on top of what is in use would be above the bound. `retryAfterS`: when it makes sense to try
   *  again; null where something has to be removed first. */
  expect(namespace: string, key: QuotaKey, inUse: number, more = 1, retryAfterS: number | null = null): void {
    const bound = this.quotaOf(namespace, key)
    if (bound !== null && inUse + more > bound) throw this.exceeded(namespace, key, inUse, retryAfterS, more)
  }

  /** The error of a refusal, which is counted. */
  exceeded(
    namespace: string,
    key: QuotaKey,
    inUse: number,
    retryAfterS: number | null = null,
    more = 1,
  ): QuotaExceeded {
    const bound = this.quotaOf(namespace, key) ?? Number.POSITIVE_INFINITY
    this.countRefusal(namespace, key)
    const wayOut = retryAfterS === null ? 'remove some, or raise' : 'try again later, or raise'
    const asked = more === 1 ? '' : `, and ${quotaText(key, more)} asked for`
    const message = `namespace ${namespace} is at its quota ${key}: ${quotaText(key, inUse)} in use of ${quotaText(key, bound)}${asked}; ${wayOut} it with the platform's token: fn namespace set ${namespace} ${key}=…`
    return new QuotaExceeded(message, { namespace, quota: key, bound, inUse }, retryAfterS)
  }

  /** As `expect`, for what has a fixed bound that is no quota of the table. `owner`: the function it is about. `retryAfterS`, `more`: as
   *  there. `wayOut`: what helps, where that is not to remove some. */
  expectFixed(
    namespace: string,
    what: string,
    bound: number,
    inUse: number,
    { owner = null, retryAfterS = null, more = 1, wayOut = null }: FixedBoundUse = {},
  ): void {
    if (inUse + more <= bound) return
    this.countRefusal(namespace, what)
    const who = owner === null ? `namespace ${namespace}` : `function ${owner} of namespace ${namespace}`
    const most = more === 1 ? 'which is the most' : `and ${more} more are above the most, ${bound}`
    const way = wayOut ?? (retryAfterS === null ? 'remove some first' : 'try again when some are over')
    const message = `${who} has ${inUse} ${what}, ${most}; ${way}`
    throw new QuotaExceeded(message, { namespace, quota: what, bound, inUse }, retryAfterS)
  }

  /** Counts something that was refused, put off or cut without an error. */
  countRefusal(namespace: string, quota: string, count = 1): void {
    const isKnown = this.#refused.has(namespace) || this.#refused.size < MOST_COUNTED_NAMESPACES
    const name = isKnown ? namespace : '_other'
    const counts = this.#refused.get(name) ?? new Map<string, number>()
    this.#refused.set(name, counts)
    counts.set(quota, (counts.get(quota) ?? 0) + count)
  }

  /** What was refused since the start, by namespace and quota. */
  *refusals(): Iterable<{ readonly namespace: string; readonly quota: string; readonly count: number }> {
    for (const [namespace, counts] of this.#refused)
      for (const [quota, count] of counts) yield { namespace, quota, count }
  }

  /** As `report`, for one of several things that count together; from memory. */
  reportPart(key: QuotaKey, part: (namespace: string) => number): void {
    const parts = this.#parts.get(key) ?? []
    this.#parts.set(key, [...parts, part])
    this.report(key, (namespace) => this.partsOf(namespace, key))
  }

  /** The sum of all parts of a namespace. */
  partsOf(namespace: string, key: QuotaKey): number {
    return (this.#parts.get(key) ?? []).reduce((sum, part) => sum + part(namespace), 0)
  }

  /** Sets what counts the use of a key. One for each key. */
  report(key: QuotaKey, inUse: InUse): void {
    this.#uses.set(key, inUse)
  }

  /** Use against bound, for people. */
  async view(namespace: string): Promise<QuotaViews> {
    const bounds = this.boundsOf(namespace)
    const views = QUOTAS.map(async ({ key, unit, kind }): Promise<[QuotaKey, QuotaView]> => {
      const inUse = await this.#uses.get(key)?.(namespace)
      return [key, { unit, kind, bound: bounds[key], inUse: inUse ?? null, source: this.#sourceOf(namespace, key) }]
    })
    return Object.fromEntries(await Promise.all(views)) as unknown as QuotaViews
  }

  /** Changes what is named and leaves the rest. What is in use above a new bound stays. Throws RegistryError NAME_INVALID |
   *  REGISTRY_UNAVAILABLE. */
  async set(namespace: string, changes: QuotaChanges): Promise<void> {
    checkNamespace(namespace)
    const entries = Object.entries(changes).map(([key, bound]): [string, { value: number | null } | null] => [
      `${namespace}/${key}`,
      bound === 'default' ? null : { value: bound },
    ])
    if (entries.length > 0) await this.#options.documents.change(new Map(entries))
  }

  /** Namespaces with bounds of their own. */
  namespaces(): Iterable<string> {
    return this.#own.keys()
  }

  /** Called after each change of a bound. The returned function unsubscribes. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #index(): void {
    this.#own.clear()
    for (const [id, bound] of this.#options.documents.entries()) {
      const [namespace = '', key = ''] = id.split('/')
      // A newer release may have quotas that this one does not know.
      if (isQuotaKey(key)) this.#own.set(namespace, { ...this.boundsOf(namespace), [key]: bound })
    }
  }

  #fallback(namespace: string, key: QuotaKey): number | null {
    const { settings, host } = this.#options
    const setting = settings[key]
    if (setting !== undefined) return setting
    const { fallback } = QUOTAS.find((quota) => quota.key === key)!
    if (fallback !== null) return Math.min(fallback, host[key] ?? fallback)
    return namespace === DEFAULT_NAMESPACE ? null : (host[key] ?? null)
  }

  #sourceOf(namespace: string, key: QuotaKey): QuotaView['source'] {
    if (this.#options.documents.get(`${namespace}/${key}`) !== undefined) return 'namespace'
    return this.#options.settings[key] === undefined ? 'default' : 'setting'
  }
}

function boundsFrom(boundOf: (key: QuotaKey) => number | null): QuotaBounds {
  return Object.freeze(
    Object.fromEntries(QUOTAS.map(({ key }) => [key, boundOf(key)])) as Record<QuotaKey, number | null>,
  )
}
