// What quotas refuse of deploys, aliases, secrets, tokens and networks, on a real Redis: at the bound, many at once, and without
// touching what is there or what another namespace has.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { FunctionConfig } from '../../worker/api.ts'
import type { Registry } from '../../worker/registry/api.ts'
import { RegistryContent } from '../../worker/registry/content.ts'
import { expectVersionFits, MOST_ALIASES, MOST_NAMES, MOST_VERSION_BYTES } from '../../worker/registry/deploy-quotas.ts'
import { Documents } from '../../worker/registry/documents.ts'
import type { LoadedFunction } from '../../worker/registry/entries.ts'
import { FunctionNetworks, MOST_NETWORKS } from '../../worker/registry/networks.ts'
import type { Quotas } from '../../worker/registry/quotas.ts'
import { createRegistry } from '../../worker/registry/registry.ts'
import { createRegistryStore } from '../../worker/registry/registry-store.ts'
import { Secrets } from '../../worker/registry/secrets.ts'
import { connectRedis, type RedisStore } from '../../worker/store/connect.ts'
import { quotasInMemory } from '../support/quota-book.ts'
import { realClock, silentLogger, startTestRedis, type TestRedis } from '../support/redis.ts'
import { sampleConfig, versionOf } from '../support/samples.ts'

let server: TestRedis
let redis: RedisStore
let registry: Registry
let quotas: Quotas
let stateDir: string
const open: { close(): Promise<void> }[] = []
beforeEach(async () => {
  server = await startTestRedis()
  stateDir = mkdtempSync(join(tmpdir(), 'thaw-registry-quotas-'))
  redis = connectRedis({ socketPath: server.socketPath }, silentLogger)
  quotas = quotasInMemory()
  registry = await createRegistry({ redis, copy: null, logger: silentLogger, clock: realClock, quotas })
  open.push(redis, registry)
})
afterEach(async () => {
  for (const part of open.splice(0).reverse()) await part.close()
  await server.close()
  rmSync(stateDir, { recursive: true })
})

async function documents<T>(kind: string): Promise<Documents<T>> {
  const made = await new Documents<T>({ redis, stateDir, kind, logger: silentLogger }).open()
  open.push(made)
  return made
}

async function deploy(name: string, image: string, config: Partial<FunctionConfig> = {}, namespace = 'shop') {
  const { version } = registry.candidate(namespace, name, image, sampleConfig(name, config))
  return await registry.commit(version, null)
}
const exceeded = (quota: string, bound: number, inUse: number) => ({
  code: 'QUOTA_EXCEEDED',
  use: { namespace: 'shop', quota, bound, inUse },
})
const fulfilled = (all: readonly PromiseSettledResult<unknown>[]) => all.filter((one) => one.status === 'fulfilled')

describe('functions', () => {
  test('beyond the bound are refused before they are loaded; those there go on, and are deployed again', async () => {
    await quotas.set('shop', { functions: 2 })
    await deploy('one', 'sha256:a')
    await deploy('two', 'sha256:a')
    await expect(deploy('three', 'sha256:a')).rejects.toMatchObject(exceeded('functions', 2, 2))
    expect((await deploy('one', 'sha256:b')).version).toBe(2)
    await deploy('three', 'sha256:a', {}, 'mall')
    await registry.removeFunction('shop', 'two')
    await deploy('three', 'sha256:a')
  })

  test('deployed at once do not slip past it together', async () => {
    await quotas.set('shop', { functions: 3 })
    const all = await Promise.allSettled(Array.from({ length: 8 }, (_, index) => deploy(`f${index}`, 'sha256:a')))
    expect(fulfilled(all)).toHaveLength(3)
    expect(registry.list('shop')).toHaveLength(3)
  })
})

describe('versions of a function', () => {
  test('beyond the bound are refused; the same content again is none, and one that is removed makes room', async () => {
    await quotas.set('shop', { versions: 2 })
    await deploy('one', 'sha256:a')
    await deploy('one', 'sha256:b')
    await expect(deploy('one', 'sha256:c')).rejects.toMatchObject(exceeded('versions', 2, 2))
    expect((await deploy('one', 'sha256:a')).version).toBe(1)
    await expect(registry.removeVersion('shop', 'one', 1)).rejects.toMatchObject({ code: 'VERSION_IN_USE' })
    await expect(registry.removeVersion('shop', 'one', 9)).rejects.toMatchObject({ code: 'VERSION_NOT_FOUND' })
    await registry.removeVersion('shop', 'one', 2)
    expect(registry.images()).toEqual(new Set(['sha256:a']))
    // A number never means two contents.
    expect((await deploy('one', 'sha256:b')).version).toBe(3)
  })
})

describe('what versions of a namespace take', () => {
  const large = (letter: string) => ({ env: { A: letter.repeat(MOST_VERSION_BYTES / 4 - 4096) } })

  test('is bounded over all its functions, by what their configurations say; what is removed makes room', async () => {
    await deploy('one', 'sha256:a', large('a'))
    await deploy('one', 'sha256:b', large('b'))
    await deploy('two', 'sha256:a', large('c'))
    await deploy('two', 'sha256:b', large('d'))
    const more = deploy('three', 'sha256:a', large('e'))
    await expect(more).rejects.toMatchObject({
      code: 'QUOTA_EXCEEDED',
      use: { namespace: 'shop', quota: 'versionBytes', bound: MOST_VERSION_BYTES },
    })
    await expect(more).rejects.toThrow(/fn rm NAME@VERSION/)
    // Small ones, the same content again, and another namespace are not refused.
    await deploy('three', 'sha256:a')
    expect((await deploy('one', 'sha256:b', large('b'))).version).toBe(2)
    await deploy('three', 'sha256:a', large('e'), 'mall')
    await registry.removeVersion('shop', 'one', 1)
    await deploy('three', 'sha256:b', large('e'))
    await registry.removeFunction('shop', 'two')
    await deploy('four', 'sha256:a', large('f'))
    await deploy('four', 'sha256:b', large('g'))
  })

  test('is counted by who reads it from Redis, names of removed functions with it', async () => {
    await deploy('one', 'sha256:a', large('a'))
    await deploy('two', 'sha256:a')
    await registry.removeFunction('shop', 'two')
    const content = new RegistryContent(createRegistryStore(redis), silentLogger)
    await content.reload()
    const { versionBytes, removedNames } = content.sizes('shop')
    expect(versionBytes).toBeGreaterThan(MOST_VERSION_BYTES / 4 - 4096)
    expect(versionBytes).toBeLessThan(MOST_VERSION_BYTES / 4)
    expect(removedNames).toBe(1)
    await deploy('two', 'sha256:a')
    await content.reload()
    expect(content.sizes('shop').removedNames).toBe(0)
    await content.close()
  })
})

test('a new name is refused where a namespace ever had too many; those it had are deployed again', () => {
  const removed = { stored: { versions: [], removed: true, aliases: {} }, byImage: new Map(), warm: 0 }
  const held = { count: 5, warm: 0, versionBytes: 0, removedNames: MOST_NAMES - 5 }
  const version = { ...versionOf('new'), namespace: 'shop' }
  expect(() => expectVersionFits(quotas, undefined, version, held)).toThrow(/deploy under one of those/)
  expectVersionFits(quotas, undefined, version, { ...held, count: 4 })
  expectVersionFits(quotas, removed as unknown as LoadedFunction, version, held)
})

describe('sandboxes kept warm', () => {
  test('are summed over the functions of the namespace', async () => {
    await quotas.set('shop', { minWarm: 10 })
    await deploy('one', 'sha256:a', { minWarm: 6 })
    await expect(deploy('two', 'sha256:a', { minWarm: 5 })).rejects.toMatchObject(exceeded('minWarm', 10, 6))
    await deploy('two', 'sha256:a', { minWarm: 4 })
    await deploy('two', 'sha256:b', { minWarm: 1 })
    await deploy('one', 'sha256:b', { minWarm: 9 })
    expect(registry.warm('shop')).toBe(10)
    await deploy('hog', 'sha256:a', { minWarm: 1000 }, 'mall')
  })

  test('grow by no move of latest either, and one that keeps fewer is never refused', async () => {
    await deploy('one', 'sha256:a', { minWarm: 8 })
    await deploy('one', 'sha256:b', { minWarm: 0 })
    await quotas.set('shop', { minWarm: 2 })
    const move = (version: number) => registry.setAlias('shop', 'one', 'latest', { weights: { [version]: 100 } })
    await expect(move(1)).rejects.toMatchObject(exceeded('minWarm', 2, 0))
    await quotas.set('shop', { minWarm: 'default' })
    await move(1)
    await quotas.set('shop', { minWarm: 2 })
    await deploy('one', 'sha256:c', { minWarm: 5 })
    expect(registry.warm('shop')).toBe(5)
  })
})

test('a function has so many aliases at most', async () => {
  await deploy('one', 'sha256:a')
  const set = (alias: string) => registry.setAlias('shop', 'one', alias, { weights: { 1: 100 } })
  for (let index = 1; index < MOST_ALIASES; index++) await set(`a${index}`)
  await expect(set('more')).rejects.toMatchObject(exceeded('aliases', MOST_ALIASES, MOST_ALIASES))
  await set('a1')
})

test('secrets are bounded, however many are set at once; replacing one is no more of them', async () => {
  await quotas.set('shop', { secrets: 3 })
  const secrets = new Secrets({
    documents: await documents('secrets'),
    key: Buffer.alloc(32),
    clock: realClock,
    quotas,
  })
  const set = (name: string, namespace = 'shop') => secrets.set(namespace, name, Buffer.from('value'))
  expect(fulfilled(await Promise.allSettled(['A', 'B', 'C', 'D', 'E'].map((name) => set(name))))).toHaveLength(3)
  await expect(set('F')).rejects.toMatchObject(exceeded('secrets', 3, 3))
  await set('F', 'mall')
  await set('A')
  await secrets.remove('shop', 'A')
  await set('F')
})

test('networks of a namespace are bounded', async () => {
  const networks = new FunctionNetworks(await documents('networks'), realClock, quotas)
  for (let index = 0; index < MOST_NETWORKS; index++) await networks.create('shop', `n${index}`)
  await expect(networks.create('shop', 'more')).rejects.toMatchObject(
    exceeded('networks', MOST_NETWORKS, MOST_NETWORKS),
  )
  expect(await networks.create('shop', 'n1')).toMatchObject({ created: false })
  expect(await networks.create('mall', 'more')).toMatchObject({ created: true })
})
