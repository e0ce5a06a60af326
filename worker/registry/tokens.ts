// Tokens of callers: a namespace, scopes, an end, a rate. Only the SHA-256 of a token's 256 random bits is kept; the token itself is
// said once, when it is made. The platform's own token (the file `token`) is not one of these.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../../runtime/api.ts'
import { Additions } from './additions.ts'
import { RegistryError } from './api.ts'
import type { Documents } from './documents.ts'
import { checkNamespace, isDnsLabel } from './names.ts'
import type { Quotas } from './quotas.ts'
import { didYouMean } from './suggest.ts'

/** `invoke`: private functions and every Fn-* header; `deploy`: functions, aliases, volumes, secrets; `admin`: all of its namespace. */
export const SCOPES = ['invoke', 'deploy', 'admin'] as const
export type Scope = (typeof SCOPES)[number]

/** At most `count` calls in `windowMs`, as a bucket that holds as many. */
export interface TokenRate {
  readonly count: number
  readonly windowMs: number
}

export interface TokenView {
  readonly id: string
  readonly namespace: string
  readonly name: string
  readonly scopes: readonly Scope[]
  readonly createdAt: string
  /** RFC 3339 UTC; null: it does not end. */
  readonly expiresAt: string | null
  readonly rate: TokenRate | null
}
export interface StoredToken extends TokenView {
  /** SHA-256 of the token's secret half, hex. */
  readonly hash: string
}

export interface TokenRequest {
  readonly namespace: string
  readonly name: string
  readonly scopes: readonly Scope[]
  readonly expiresInMs: number | null
  readonly rate: TokenRate | null
}

/** What no two tokens share: `namespace/name`. */
export function tokenKey({ namespace, name }: Pick<TokenView, 'namespace' | 'name'>): string {
  return `${namespace}/${name}`
}

/** `fn_`, 10 characters of id, `_`, 43 characters (base64url) of secret. */
const FORM = /^fn_([a-z0-9]{10})_([A-Za-z0-9_-]{43})$/

/** Most tokens of one namespace. */
const MOST_TOKENS = 1000

export class Tokens {
  readonly #documents: Documents<StoredToken>
  readonly #clock: Clock
  readonly #quotas: Quotas | null
  readonly #additions = new Additions()
  readonly #byId = new Map<string, StoredToken>()
  /** By key. */
  readonly #idOf = new Map<string, string>()

  /** `quotas`: counts refusals; null: a namespace may have any number. */
  constructor(documents: Documents<StoredToken>, clock: Clock, quotas: Quotas | null = null) {
    this.#documents = documents
    this.#clock = clock
    this.#quotas = quotas
    this.#index([...documents.entries()].map(([key]) => key))
    documents.onChange((changed) => this.#index(changed))
  }

  /** Makes a token; `value` is never to be had again. Throws RegistryError NAME_INVALID | TOKEN_EXISTS | REGISTRY_UNAVAILABLE, QuotaExceeded. */
  async create(request: TokenRequest): Promise<{ token: TokenView; value: string }> {
    const { namespace, name, scopes, expiresInMs, rate } = request
    checkNamespace(namespace)
    if (!isDnsLabel(name))
      throw new RegistryError('NAME_INVALID', `token name ${JSON.stringify(name.slice(0, 80))}: expected a DNS label`)
    const id = randomId()
    const secret = randomBytes(32).toString('base64url')
    const nowMs = this.#clock.now()
    const stored: StoredToken = {
      id,
      namespace,
      name,
      scopes: SCOPES.filter((scope) => scopes.includes(scope)),
      createdAt: new Date(nowMs).toISOString(),
      expiresAt: expiresInMs === null ? null : new Date(nowMs + expiresInMs).toISOString(),
      rate,
      hash: digest(secret).toString('hex'),
    }
    const expect = (pending: number) => {
      if (this.#documents.get(`${namespace}/${name}`) !== undefined) return
      this.#quotas?.expectFixed(namespace, 'tokens', MOST_TOKENS, this.count(namespace) + pending)
    }
    const put = () => this.#documents.put(`${namespace}/${name}`, stored, 'new')
    if (!(await this.#additions.add(namespace, expect, put)))
      throw new RegistryError(
        'TOKEN_EXISTS',
        `there is a token ${name} in namespace ${namespace}; remove it first, or take another name`,
      )
    return { token: viewOf(stored), value: `fn_${id}_${secret}` }
  }

  /** Namespaces that have some. */
  namespaces(): readonly string[] {
    return this.#documents.namespaces()
  }

  count(namespace: string): number {
    return this.#documents.names(namespace).size
  }

  /** At most `limit` of one namespace or of all, after `<namespace>/<name>` (null: from the first), in the order of both. Expired
   *  ones too, until they are removed. */
  page(namespace: string | null, after: string | null, limit: number): TokenView[] {
    const found: TokenView[] = []
    const slash = after?.indexOf('/') ?? -1
    const first = after === null ? '' : slash < 0 ? after : after.slice(0, slash)
    for (const one of namespace === null ? this.namespaces() : [namespace]) {
      if (found.length >= limit) break
      if (one < first) continue
      const from = after !== null && one === first ? after.slice(one.length + 1) || null : null
      for (const name of this.#documents.names(one).after(from, limit - found.length)) found.push(this.get(one, name))
    }
    return found
  }

  /** Throws RegistryError TOKEN_NOT_FOUND. */
  get(namespace: string, name: string): TokenView {
    const stored = this.#documents.get(`${namespace}/${name}`)
    if (stored !== undefined) return viewOf(stored)
    const near = didYouMean(name, this.#documents.names(namespace).near(name))
    throw new RegistryError('TOKEN_NOT_FOUND', `there is no token ${name.slice(0, 80)}${near}`)
  }

  /** Throws RegistryError TOKEN_NOT_FOUND | REGISTRY_UNAVAILABLE. */
  async remove(namespace: string, name: string): Promise<void> {
    this.get(namespace, name)
    await this.#documents.remove(`${namespace}/${name}`)
  }

  /** The token a text is, or null: unknown, wrong or expired, which nobody can tell apart. Constant time in the secret half. */
  find(text: string): TokenView | null {
    const match = FORM.exec(text)
    if (match === null) return null
    const stored = this.#byId.get(match[1]!)
    const expected = stored === undefined ? NOTHING : Buffer.from(stored.hash, 'hex')
    const same = timingSafeEqual(digest(match[2]!), expected)
    if (!same || stored === undefined) return null
    return stored.expiresAt !== null && Date.parse(stored.expiresAt) <= this.#clock.now() ? null : stored
  }

  #index(changed: readonly string[]): void {
    for (const key of changed) {
      const before = this.#idOf.get(key)
      if (before !== undefined) this.#byId.delete(before)
      const stored = this.#documents.get(key)
      if (stored === undefined) this.#idOf.delete(key)
      else {
        this.#idOf.set(key, stored.id)
        this.#byId.set(stored.id, stored)
      }
    }
  }
}

const NOTHING = Buffer.alloc(32)

function digest(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz012345'

/** 50 random bits. */
function randomId(): string {
  return [...randomBytes(10)].map((byte) => LETTERS[byte & 31]).join('')
}

function viewOf({ hash: _hash, ...view }: StoredToken): TokenView {
  return view
}
