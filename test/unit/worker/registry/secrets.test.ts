// Secrets as they are kept: sealed, bound to their name and to the key; and tokens, of which a hash alone is kept.
import { expect, test } from 'vitest'
import type { FunctionVersion } from '../../../../worker/api.ts'
import type { Documents } from '../../../../worker/registry/documents.ts'
import { Secrets, type StoredSecret } from '../../../../worker/registry/secrets.ts'
import { type StoredToken, Tokens } from '../../../../worker/registry/tokens.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

class FakeDocuments<T> {
  readonly kept = new Map<string, T>()
  readonly #listeners: ((changed: string[]) => void)[] = []
  get = (key: string) => this.kept.get(key)
  entries = () => this.kept.entries()
  async put(key: string, value: T, mode: 'new' | 'replace'): Promise<boolean> {
    if (mode === 'new' && this.kept.has(key)) return false
    this.kept.set(key, value)
    for (const listener of this.#listeners) listener([key])
    return true
  }
  onChange(listener: (changed: string[]) => void) {
    this.#listeners.push(listener)
    return () => {}
  }
  asDocuments(): Documents<T> {
    return this as unknown as Documents<T>
  }
}

const version = (...secrets: string[]) => ({ namespace: 'shop', config: { secrets } }) as unknown as FunctionVersion
const clock = new FakeClock()

test('a sealed value is read under its own name and key alone', async () => {
  const documents = new FakeDocuments<StoredSecret>()
  const open = (fill: number) => new Secrets({ documents: documents.asDocuments(), key: Buffer.alloc(32, fill), clock })
  const secrets = open(1)
  await secrets.set('shop', 'A', Buffer.from('value'))
  expect(secrets.valuesOf(version('A'))).toEqual({ A: 'value' })
  expect(JSON.stringify([...documents.kept])).not.toContain('value')
  documents.kept.set('shop/B', documents.kept.get('shop/A')!)
  expect(() => secrets.valuesOf(version('B'))).toThrow()
  expect(() => open(2).valuesOf(version('A'))).toThrow('secret A was encrypted with another key')
  expect(() => secrets.valuesOf(version('C'))).toThrow('secret C is not set')
})

test('a token is found by itself alone, until it ends', async () => {
  const documents = new FakeDocuments<StoredToken>()
  const tokens = new Tokens(documents.asDocuments(), clock)
  const request = { namespace: 'shop', name: 'ci', scopes: ['deploy'], expiresInMs: 1000, rate: null } as const
  const { value } = await tokens.create(request)
  await expect(tokens.create(request)).rejects.toMatchObject({ code: 'TOKEN_EXISTS' })
  expect(tokens.find(value)).toMatchObject({ name: 'ci', namespace: 'shop', scopes: ['deploy'] })
  expect(JSON.stringify([...documents.kept])).not.toContain(value.slice(14))
  expect(tokens.find(`${value.slice(0, -1)}${value.endsWith('A') ? 'B' : 'A'}`)).toBe(null)
  expect(tokens.find('fn_0123456789abcdef')).toBe(null)
  await clock.advance(1001)
  expect(tokens.find(value)).toBe(null)
})
