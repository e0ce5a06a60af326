// Secrets: values by name within a namespace, encrypted with AES-256-GCM wherever they are kept. Plain values exist in the memory of
// whoever sets one, for as long as that takes, and of sandboxes whose functions name them; never in a log, a record or an answer.
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'
import type { Clock } from '../../runtime/api.ts'
import type { FunctionVersion } from '../api.ts'
import { Additions } from './additions.ts'
import { RegistryError } from './api.ts'
import type { Documents } from './documents.ts'
import { isTakenByObjects } from './plain-names.ts'
import type { Quotas } from './quotas.ts'
import { didYouMean } from './suggest.ts'

/** Largest value. */
export const MAX_SECRET_BYTES = 64 * 1024
// Not __proto__: a key that an object takes for something else.
const NAME = /^(?!__proto__$)[A-Za-z_][A-Za-z0-9_]{0,127}$/

/** A secret as it is kept. */
export interface StoredSecret {
  /** Tells which key it was encrypted with. */
  readonly keyId: string
  /** Initialisation vector, authentication tag and ciphertext, base64. */
  readonly sealed: string
  readonly createdAt: string
  readonly updatedAt: string
}

/** What may be known of a secret. */
export interface SecretView {
  readonly namespace: string
  readonly name: string
  readonly createdAt: string
  readonly updatedAt: string
}

export interface SecretsOptions {
  readonly documents: Documents<StoredSecret>
  /** 32 bytes. */
  readonly key: Buffer
  readonly clock: Clock
  /** How many a namespace may have; default: any number. */
  readonly quotas?: Quotas
}

export class Secrets {
  readonly #documents: Documents<StoredSecret>
  readonly #key: Buffer
  readonly #keyId: string
  readonly #clock: Clock
  readonly #quotas: Quotas | null
  readonly #additions = new Additions()

  constructor({ documents, key, clock, quotas }: SecretsOptions) {
    this.#documents = documents
    this.#key = key
    this.#keyId = createHash('sha256').update('thaw secret key').update(key).digest('hex').slice(0, 8)
    this.#clock = clock
    this.#quotas = quotas ?? null
  }

  /** Tells which key this process has. */
  get keyId(): string {
    return this.#keyId
  }

  /** `namespace/name` of those that were encrypted with another key. */
  unreadable(): string[] {
    return [...this.#documents.entries()].filter(([, stored]) => stored.keyId !== this.#keyId).map(([id]) => id)
  }

  /** Sets or replaces a value. Throws RegistryError SECRET_INVALID | REGISTRY_UNAVAILABLE, QuotaExceeded. */
  async set(namespace: string, name: string, value: Buffer): Promise<{ secret: SecretView; created: boolean }> {
    checkName(name)
    checkValue(name, value)
    const id = `${namespace}/${name}`
    const before = this.#documents.get(id)
    const now = new Date(this.#clock.now()).toISOString()
    const stored = {
      keyId: this.#keyId,
      sealed: seal(this.#key, id, value),
      createdAt: before?.createdAt ?? now,
      updatedAt: now,
    }
    const put = () => this.#documents.put(id, stored, 'replace')
    if (before !== undefined) await put()
    else {
      const inUse = (pending: number) => this.count(namespace) + pending
      await this.#additions.add(namespace, (pending) => this.#quotas?.expect(namespace, 'secrets', inUse(pending)), put)
    }
    return { secret: viewOf(id, stored), created: before === undefined }
  }

  /** Namespaces that have some. */
  namespaces(): readonly string[] {
    return this.#documents.namespaces()
  }

  count(namespace: string): number {
    return this.#documents.names(namespace).size
  }

  /** At most `limit` after a name (null: from the first), in order. */
  page(namespace: string, after: string | null, limit: number): SecretView[] {
    return this.#documents
      .names(namespace)
      .after(after, limit)
      .map((name) => this.get(namespace, name))
  }

  /** Throws RegistryError SECRET_NOT_FOUND. */
  get(namespace: string, name: string): SecretView {
    const stored = this.#documents.get(`${namespace}/${name}`)
    if (stored !== undefined) return viewOf(`${namespace}/${name}`, stored)
    const near = didYouMean(name, this.#documents.names(namespace).near(name))
    throw new RegistryError('SECRET_NOT_FOUND', `secret ${name.slice(0, 128)} is not set${near}`)
  }

  has(namespace: string, name: string): boolean {
    return this.#documents.get(`${namespace}/${name}`) !== undefined
  }

  /** Throws RegistryError SECRET_NOT_FOUND | REGISTRY_UNAVAILABLE. */
  async remove(namespace: string, name: string): Promise<void> {
    this.get(namespace, name)
    await this.#documents.remove(`${namespace}/${name}`)
  }

  /** Plain values of the secrets a version names, for its sandbox. Throws an Error that names the one that cannot be had. */
  readonly valuesOf = ({ namespace, config }: FunctionVersion): Record<string, string> => {
    const values: Record<string, string> = {}
    for (const name of config.secrets ?? []) {
      const id = `${namespace}/${name}`
      const stored = this.#documents.get(id)
      if (stored === undefined) throw new Error(`secret ${name} is not set; set it with: fn secret set ${name}`)
      if (stored.keyId !== this.#keyId)
        throw new Error(`secret ${name} was encrypted with another key; set it again, or start with that key`)
      values[name] = unseal(this.#key, id, stored.sealed).toString('utf8')
    }
    return values
  }

  /** Told the secrets that changed. The returned function unsubscribes. */
  onChange(listener: (changed: readonly { namespace: string; name: string }[]) => void): () => void {
    return this.#documents.onChange((ids) => listener(ids.map((id) => partsOf(id))))
  }
}

function checkName(name: string): void {
  if (NAME.test(name) && isTakenByObjects(name))
    throw new RegistryError('SECRET_INVALID', `secret name ${name}: every object has one of this name; take another`)
  if (NAME.test(name)) return
  const expected = 'expected letters, digits and _, not starting with a digit, at most 128'
  throw new RegistryError('SECRET_INVALID', `secret name ${JSON.stringify(name.slice(0, 130))}: ${expected}`)
}

function checkValue(name: string, value: Buffer): void {
  const problem =
    value.length === 0
      ? 'the value is empty'
      : value.length > MAX_SECRET_BYTES
        ? `the value is larger than ${MAX_SECRET_BYTES} bytes`
        : value.includes(0)
          ? 'a NUL byte cannot be in the environment'
          : value.equals(Buffer.from(value.toString('utf8')))
            ? null
            : 'the value is not UTF-8; encode it, e.g. as base64'
  if (problem !== null) throw new RegistryError('SECRET_INVALID', `secret ${name}: ${problem}`)
}

// The id is authenticated with the value, so that nobody who can write to Redis makes one function's secret another's.
function seal(key: Buffer, id: string, value: Buffer): string {
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key, iv)
  cipher.setAAD(Buffer.from(id))
  const data = Buffer.concat([cipher.update(value), cipher.final()])
  return Buffer.concat([iv, cipher.getAuthTag(), data]).toString('base64')
}

function unseal(key: Buffer, id: string, sealed: string): Buffer {
  const bytes = Buffer.from(sealed, 'base64')
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12), { authTagLength: 16 })
  decipher.setAAD(Buffer.from(id))
  decipher.setAuthTag(bytes.subarray(12, 28))
  return Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()])
}

function viewOf(id: string, { createdAt, updatedAt }: StoredSecret): SecretView {
  return { ...partsOf(id), createdAt, updatedAt }
}

function partsOf(id: string): { namespace: string; name: string } {
  const slash = id.indexOf('/')
  return { namespace: id.slice(0, slash), name: id.slice(slash + 1) }
}
