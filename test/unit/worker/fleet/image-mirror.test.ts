import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { mirrorImages } from '../../../../worker/fleet/image-mirror.ts'
import type { RegistryChange } from '../../../../worker/registry/api.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { silentLogger } from '../../../support/real-clock.ts'
import { until } from '../../../support/until.ts'

function house(known: readonly string[]) {
  const here = new Set<string>()
  const listeners = new Set<(change: RegistryChange) => void>()
  const inUse = new Set(known)
  const asked: string[] = []
  const elsewhere = new Set(known)
  const stop = mirrorImages({
    clock: new FakeClock(),
    logger: silentLogger,
    images: {
      has: (digest) => here.has(digest),
      adopt: async (digest, read) => {
        await read(digest)
        here.add(digest)
      },
    },
    registry: {
      images: () => inUse,
      onChange: (listener) => {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
    },
    files: {
      blob: async (digest) => {
        asked.push(digest)
        if (!elsewhere.has(digest)) throw new Error('nobody has it')
        return Readable.from([])
      },
    },
  })
  const change = (digest: string) => {
    inUse.add(digest)
    const change = { namespace: 'default', name: 'hello', newImages: [digest], unusedImages: [] }
    for (const listener of listeners) listener(change)
  }
  return { here, asked, elsewhere, change, stop }
}

test('images in use come here, at the start and after each deploy elsewhere', async () => {
  const { here, elsewhere, change, stop } = house(['a', 'b'])
  await until('those that are in use are here', () => here.size === 2)
  elsewhere.add('c')
  change('c')
  await until('the new one is here', () => here.has('c'))
  await stop()
})

test('one that nobody has keeps no other from coming, and is asked for again', async () => {
  const { here, asked, elsewhere, change, stop } = house(['a'])
  change('lost')
  elsewhere.add('b')
  change('b')
  await until('the other is here', () => here.has('b'))
  elsewhere.add('lost')
  change('c')
  await until('it came', () => here.has('lost'))
  expect(asked.filter((digest) => digest === 'a')).toHaveLength(1)
  await stop()
})

test('nothing is asked for after its end', async () => {
  const { asked, change, stop } = house([])
  await stop()
  change('a')
  await Promise.resolve()
  expect(asked).toEqual([])
})
