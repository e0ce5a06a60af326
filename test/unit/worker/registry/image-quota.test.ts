// Bytes of images by namespace: each blob once, as versions come and go.
import { beforeEach, expect, test } from 'vitest'
import { type RegistryChange, RegistryError } from '../../../../worker/registry/api.ts'
import { ImageQuota } from '../../../../worker/registry/image-quota.ts'
import { quotasInMemory } from '../../../support/quota-book.ts'

/** Images with a code of their own, a shared package of 100 bytes, and a manifest of 1. */
const SIZES: Record<string, number> = { a: 10, b: 20, c: 30, d: 40 }
const bytesOf = (image: string) => {
  const code = SIZES[image]
  if (code === undefined) return []
  const packages = { blob: 'packages', bytes: 100 }
  return [{ blob: `manifest-${image}`, bytes: 1 }, { blob: `code-${image}`, bytes: code }, packages]
}

let functions: Map<string, string[]>
let tell: (change: RegistryChange | null) => void
let quotas: ReturnType<typeof quotasInMemory>
let quota: ImageQuota
beforeEach(() => {
  functions = new Map()
  quotas = quotasInMemory({ imagesBytes: 200 })
  const entry = ([key, images]: [string, string[]]) => ({
    name: key.split('/')[1],
    versions: images.map((image) => ({ image })),
  })
  const registry = {
    list: (namespace: string) => [...functions].filter(([key]) => key.startsWith(`${namespace}/`)).map(entry),
    get: (namespace: string, name: string) => {
      const images = functions.get(`${namespace}/${name}`)
      if (images === undefined) throw new RegistryError('FUNCTION_NOT_FOUND', 'gone')
      return entry([`${namespace}/${name}`, images])
    },
    onChange: (listener: typeof tell) => {
      tell = listener
      return () => {}
    },
  }
  quota = new ImageQuota({ registry: registry as never, images: { bytesOf }, quotas })
})

function set(key: string, images: string[] | null): void {
  if (images === null) functions.delete(key)
  else functions.set(key, images)
  const [namespace, name] = key.split('/') as [string, string]
  tell({ namespace, name, newImages: [], unusedImages: [] })
}
const inUse = async (namespace = 'shop') => (await quotas.view(namespace)).imagesBytes.inUse

test('a blob that several images have counts once, and goes with the last of them', async () => {
  set('shop/one', ['a'])
  expect(await inUse()).toBe(111)
  set('shop/one', ['a', 'b'])
  set('shop/two', ['b', 'c'])
  expect(await inUse()).toBe(163)
  expect(await inUse('mall')).toBe(0)
  set('shop/one', null)
  expect(await inUse()).toBe(152)
  set('shop/two', [])
  expect(await inUse()).toBe(0)
})

test('a deploy above the bound is refused; deploys under way count, however many there are at once', async () => {
  set('shop/one', ['a', 'b', 'c'])
  expect(await inUse()).toBe(163)
  const refused = { code: 'QUOTA_EXCEEDED', use: { namespace: 'shop', quota: 'imagesBytes', bound: 200, inUse: 163 } }
  expect(() => quota.hold('shop', 'd')).toThrow(expect.objectContaining(refused))
  expect(await inUse()).toBe(163)
  // What is there already is no more.
  quota.hold('shop', 'c').release()
  set('shop/one', ['a', 'b'])
  const held = quota.hold('shop', 'c')
  expect(() => quota.hold('shop', 'd')).toThrow(/imagesBytes/)
  // What became a version is not counted twice, and stays when its deploy is over.
  set('shop/one', ['a', 'b', 'c'])
  held.release()
  expect(await inUse()).toBe(163)
  quota.hold('mall', 'd').release()
})

test('after news that were missed all is counted again, deploys under way too', async () => {
  set('shop/one', ['a'])
  const held = quota.hold('shop', 'b')
  functions.set('shop/one', ['c'])
  tell(null)
  expect(await inUse()).toBe(100 + 31 + 21)
  held.release()
  expect(await inUse()).toBe(131)
})
