import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { packTar, type TarEntry } from 'modern-tar'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ImageParts } from '../../../../runtime/api.ts'
import { type LayeredImageStore, openImageStore } from '../../../../runtime/image/image-store.ts'

let state: string
let store: LayeredImageStore

beforeEach(async () => {
  state = mkdtempSync(join(tmpdir(), 'thaw-images-'))
  store = await openImageStore(state)
})
afterEach(async () => {
  await store.close()
  rmSync(state, { recursive: true, force: true })
})

const parts = (change: Partial<ImageParts> = {}): ImageParts => ({
  source: Buffer.from('module.exports = 1'),
  sourceMap: null,
  addonTar: null,
  config: { entry: 'x', env: { B: '2', A: '1' } },
  ...change,
})
const blobs = () => readdirSync(join(state, 'blobs/sha256'))
const blobPath = (digest: string) => join(state, 'blobs/sha256', digest.slice(7))

let count = 0
async function tar(entries: TarEntry[]): Promise<string> {
  const path = join(state, `add-on-${++count}.tar`)
  writeFileSync(path, await packTar(entries))
  return path
}
const file = (name: string, body: string, mode = 0o644): TarEntry => ({
  header: { name, size: body.length, mode },
  body,
})

describe('an image', () => {
  test('comes back as it was put', async () => {
    const { digest } = await store.put(parts({ sourceMap: Buffer.from('{}') }))
    expect(await store.get(digest)).toMatchObject({
      digest,
      layers: [],
      config: { entry: 'x', env: { A: '1', B: '2' } },
    })
    const image = await store.get(digest)
    expect(image.source.toString()).toBe('module.exports = 1')
    expect(image.sourceMap?.toString()).toBe('{}')
  })

  test('can be put again after somebody removed the blobs', async () => {
    const { digest } = await store.put(parts())
    rmSync(join(state, 'blobs'), { recursive: true })
    expect((await store.put(parts())).digest).toBe(digest)
    expect((await store.get(digest)).source.toString()).toBe('module.exports = 1')
  })

  test('has the same digest for the same parts, whatever the order of keys', async () => {
    const one = await store.put(parts())
    const two = await store.put(parts({ config: { env: { A: '1', B: '2' }, entry: 'x' } }))
    expect(two.digest).toBe(one.digest)
    expect((await store.put(parts({ source: Buffer.from('other') }))).digest).not.toBe(one.digest)
    expect((await store.put(parts({ config: {} }))).digest).not.toBe(one.digest)
  })

  test('lies in an OCI layout whose every blob has the name of its content', async () => {
    const { digest } = await store.put(parts())
    expect(JSON.parse(readFileSync(join(state, 'oci-layout'), 'utf8'))).toEqual({ imageLayoutVersion: '1.0.0' })
    await store.close()
    const index = JSON.parse(readFileSync(join(state, 'index.json'), 'utf8'))
    expect(index.manifests).toMatchObject([{ digest, mediaType: 'application/vnd.oci.image.manifest.v1+json' }])
    const { createHash } = await import('node:crypto')
    for (const name of blobs()) {
      expect(
        createHash('sha256')
          .update(readFileSync(join(state, 'blobs/sha256', name)))
          .digest('hex'),
      ).toBe(name)
    }
    const manifest = JSON.parse(readFileSync(blobPath(digest), 'utf8'))
    for (const part of [manifest.config, ...manifest.layers])
      expect(statSync(blobPath(part.digest)).size).toBe(part.size)
    store = await openImageStore(state)
  })

  test('is there after a restart', async () => {
    const { digest } = await store.put(parts())
    await store.close()
    store = await openImageStore(state)
    expect((await store.get(digest)).source.toString()).toBe('module.exports = 1')
  })

  test('that was never put is not found', async () => {
    await expect(store.get(`sha256:${'0'.repeat(64)}`)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
    await expect(store.get('../../etc/passwd')).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
  })

  test.each([
    ['manifest', (manifest: string) => manifest],
    [
      'code layer',
      (manifest: string) => JSON.parse(readFileSync(blobPath(manifest), 'utf8')).layers[0].digest as string,
    ],
    [
      'configuration',
      (manifest: string) => JSON.parse(readFileSync(blobPath(manifest), 'utf8')).config.digest as string,
    ],
  ])('whose %s was changed or lost on disk is corrupt', async (_which, find) => {
    const { digest } = await store.put(parts())
    const path = blobPath(find(digest))
    const content = readFileSync(path)
    writeFileSync(path, Buffer.concat([content, Buffer.from(' ')]))
    await expect(store.get(digest)).rejects.toMatchObject({ code: 'IMAGE_CORRUPT' })
    rmSync(path)
    await expect(store.get(digest)).rejects.toMatchObject({ code: 'IMAGE_CORRUPT' })
  })

  test('is mended by putting it again', async () => {
    const { digest } = await store.put(parts())
    const layer = JSON.parse(readFileSync(blobPath(digest), 'utf8')).layers[0].digest as string
    rmSync(blobPath(layer))
    await store.put(parts())
    expect((await store.get(digest)).source.toString()).toBe('module.exports = 1')
  })
})

test('what a sandbox starts from does not wait for an add-on that another deploy stores', async () => {
  const { digest } = await store.put(parts({ source: Buffer.from('module.exports = 2') }))
  await store.close()
  // Nothing of it is in memory.
  store = await openImageStore(state)
  // An archive that does not come to its end.
  const slow = join(state, 'slow.tar')
  execFileSync('mkfifo', [slow])
  const storing = store.put(parts({ addonTar: slow })).catch((error: unknown) => error)
  expect((await store.get(digest)).source.toString()).toBe('module.exports = 2')
  writeFileSync(slow, await packTar([file('node_modules/p/index.js', 'x')]))
  expect(await storing).toHaveProperty('digest')
})

test('a large bundle and its map come back as they were put', async () => {
  const source = Buffer.alloc(3 * 1024 ** 2, 'a')
  const sourceMap = Buffer.alloc(2 * 1024 ** 2, 'b')
  const { digest } = await store.put(parts({ source, sourceMap }))
  const image = await store.get(digest)
  expect([image.source.equals(source), image.sourceMap?.equals(sourceMap)]).toEqual([true, true])
})

describe('what images take of the disk', () => {
  const packages = (body: string) => tar([file('node_modules/p/a', body), file('node_modules/p/b', body)])

  test('is told by blob: code as it is, packages with what is unpacked, a file as 16 KiB at least', async () => {
    const body = 'x'.repeat(100_000)
    const one = await store.put(parts({ addonTar: await packages(body) }))
    const two = await store.put(parts({ addonTar: await packages(body), source: Buffer.alloc(50_000) }))
    const check = () => {
      const [ofOne, ofTwo] = [one, two].map(
        ({ digest }) => new Map(store.bytesOf(digest).map((of) => [of.blob, of.bytes])),
      )
      const shared = [...ofOne!].filter(([blob]) => ofTwo!.has(blob))
      expect(shared).toHaveLength(1)
      // Two files and three folders, packed and unpacked.
      expect(shared[0]![1]).toBeGreaterThan(2 * 2 * 100_000 + 3 * 16 * 1024)
      expect(shared[0]![1]).toBeLessThan(2 * 2 * 110_000 + 3 * 17 * 1024)
      const own = [...ofTwo!].filter(([blob]) => !ofOne!.has(blob)).map(([, bytes]) => bytes)
      expect(own).toHaveLength(3)
      expect(Math.max(...own)).toBeGreaterThan(50_000)
    }
    check()
    await store.close()
    store = await openImageStore(state)
    check()
    expect(store.bytesOf('sha256:none')).toEqual([])
  })

  test('ends where the disk’s reserve begins: of an archive that grows when it is unpacked nothing stays', async () => {
    await store.close()
    let left = 10 * 1024 ** 2
    store = await openImageStore(state, () => left)
    const { digest } = await store.put(parts())
    const before = [blobs(), readdirSync(join(state, 'layers'))]
    const first = file('node_modules/p/0', 'x'.repeat(1024 ** 2))
    const links = Array.from({ length: 20 }, (_, at): TarEntry => {
      return { header: { name: `node_modules/p/l${at}`, size: 0, type: 'link', linkname: 'node_modules/p/0' } }
    })
    const put = store.put(parts({ addonTar: await tar([first, ...links]) }))
    await expect(put).rejects.toMatchObject({ code: 'DISK_FULL' })
    left = 1024
    await expect(store.put(parts({ source: Buffer.alloc(2048) }))).rejects.toMatchObject({ code: 'DISK_FULL' })
    expect([blobs(), readdirSync(join(state, 'layers'))]).toEqual(before)
    expect((await store.get(digest)).source.toString()).toBe('module.exports = 1')
  })
})

describe('an add-on layer', () => {
  test('is unpacked below code/node_modules, world-readable', async () => {
    const addonTar = await tar([file('node_modules/a/run', 'x', 0o700), file('node_modules/a/lib.js', 'y', 0o600)])
    const { layers } = await store.get((await store.put(parts({ addonTar }))).digest)
    const folder = `${await store.layerFolder(layers[0]!)}/code/node_modules/a`
    expect(statSync(`${folder}/run`).mode & 0o777).toBe(0o755)
    expect(statSync(`${folder}/lib.js`).mode & 0o777).toBe(0o644)
    expect(statSync(folder).mode & 0o777).toBe(0o755)
  })

  test('has the same digest whatever the order and times of its members', async () => {
    const [a, b] = [file('node_modules/a', '1'), file('node_modules/b', '2')]
    const later = { ...a, header: { ...a.header, mtime: new Date(86_400_000), uid: 7 } }
    const one = await store.put(parts({ addonTar: await tar([a, b]) }))
    const two = await store.put(parts({ addonTar: await tar([b, later]) }))
    expect(two.digest).toBe(one.digest)
  })

  test('is unpacked again from its blob, with its links', async () => {
    const link: TarEntry = { header: { name: 'node_modules/.bin/a', size: 0, type: 'symlink', linkname: '../a/run' } }
    const hard: TarEntry = {
      header: { name: 'node_modules/a/twin', size: 0, type: 'link', linkname: 'node_modules/a/run' },
    }
    const addonTar = await tar([file('node_modules/a/run', 'x', 0o755), link, hard])
    const { layers } = await store.get((await store.put(parts({ addonTar }))).digest)
    rmSync(join(state, 'layers', layers[0]!.slice(7)), { recursive: true })
    const folder = `${await store.layerFolder(layers[0]!)}/code/node_modules`
    expect(readFileSync(`${folder}/.bin/a`, 'utf8')).toBe('x')
    expect(readFileSync(`${folder}/a/twin`, 'utf8')).toBe('x')
    expect(statSync(`${folder}/a/twin`).mode & 0o777).toBe(0o755)
  })

  const link = (name: string, linkname: string, type: 'symlink' | 'link'): TarEntry => ({
    header: { name, linkname, type, size: 0 },
  })
  test.each<[string, TarEntry[]]>([
    ['a name with dot segments', [file('node_modules/../../etc/x', '1')]],
    ['an absolute name', [file('/etc/x', '1')]],
    ['a member beside node_modules', [file('other/x', '1')]],
    ['a member that only begins alike', [file('node_modules_evil/x', '1')]],
    ['a symbolic link out', [link('node_modules/a', '../../x', 'symlink')]],
    ['an absolute symbolic link', [link('node_modules/a', '/etc/passwd', 'symlink')]],
    ['a file through a symbolic link', [link('node_modules/a', '.', 'symlink'), file('node_modules/a/x', '1')]],
    ['a hard link out', [link('node_modules/a', '../etc/passwd', 'link')]],
    ['a hard link to what is not there', [link('node_modules/a', 'node_modules/b', 'link')]],
    [
      'a hard link to a symbolic link',
      [link('node_modules/a', 'b', 'symlink'), link('node_modules/c', 'node_modules/a', 'link')],
    ],
    ['a device', [{ header: { name: 'node_modules/a', size: 0, type: 'character-device' } }]],
    ['a pipe', [{ header: { name: 'node_modules/a', size: 0, type: 'fifo' } }]],
    ['a file where a folder is', [file('node_modules/a/x', '1'), file('node_modules/a', '1')]],
  ])('with %s is refused, and nothing of it stays', async (_what, entries) => {
    const before = blobs()
    const addonTar = await tar(entries)
    await expect(store.put(parts({ addonTar }))).rejects.toMatchObject({ code: 'IMAGE_INVALID' })
    expect(blobs()).toEqual(before)
    expect(readdirSync(join(state, 'layers'))).toEqual([])
  })

  test.each([
    ['no tar at all', Buffer.from('this is no tar, however long it is made to look'.repeat(50))],
    ['a tar that ends in the middle', null],
  ])('from %s is refused', async (_what, bytes) => {
    const whole = readFileSync(await tar([file('node_modules/a', 'x'.repeat(5000))]))
    const path = join(state, 'broken.tar')
    writeFileSync(path, bytes ?? whole.subarray(0, 2000))
    await expect(store.put(parts({ addonTar: path }))).rejects.toMatchObject({ code: 'IMAGE_INVALID' })
  })
})

describe('pruning', () => {
  test('removes images nobody keeps, with the blobs and layers only they used', async () => {
    const addonTar = await tar([file('node_modules/a', '1')])
    const kept = await store.put(parts({ addonTar }))
    const lost = await store.put(parts({ addonTar, source: Buffer.from('lost') }))
    const otherTar = await tar([file('node_modules/b', '1')])
    const other = await store.put(parts({ addonTar: otherTar, source: Buffer.from('other') }))
    const { removed, bytes } = await store.prune(new Set([kept.digest]))
    expect(removed).toBe(2)
    expect(bytes).toBeGreaterThan(0)
    expect((await store.get(kept.digest)).layers).toHaveLength(1)
    for (const { digest } of [lost, other]) {
      await expect(store.get(digest)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
    }
    expect(blobs()).toHaveLength(4)
    expect(readdirSync(join(state, 'layers'))).toHaveLength(1)
  })
})

describe('removing', () => {
  test('takes away what only the removed image had, also after a restart', async () => {
    const addonTar = await tar([file('node_modules/a', '1')])
    const kept = await store.put(parts({ addonTar }))
    const lost = await store.put(parts({ addonTar, source: Buffer.from('lost') }))
    await store.close()
    store = await openImageStore(state)
    await store.remove([lost.digest, 'sha256:none'])
    await expect(store.get(lost.digest)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
    expect((await store.get(kept.digest)).layers).toHaveLength(1)
    expect(blobs()).toHaveLength(4)
    await store.remove([kept.digest])
    expect([blobs(), readdirSync(join(state, 'layers'))]).toEqual([[], []])
  })
})

describe('the index', () => {
  const index = () => JSON.parse(readFileSync(join(state, 'index.json'), 'utf8'))

  test('of a store that was closed is whole, and OCI’s', async () => {
    const digests = [(await store.put(parts())).digest, (await store.put(parts({ source: Buffer.from('b') }))).digest]
    await store.close()
    expect(index()).toMatchObject({ schemaVersion: 2, manifests: digests.map((digest) => ({ digest })) })
    store = await openImageStore(state)
  })

  test('of a store that was killed is whole with its log', async () => {
    const { digest } = await store.put(parts())
    const again = await openImageStore(state)
    expect(again.has(digest)).toBe(true)
    await again.close()
  })

  test('is not written again with each image', async () => {
    const sizes: number[] = []
    for (let count = 0; count < 30; count++) {
      const before = indexBytes()
      await store.put(parts({ source: Buffer.from(String(count)) }))
      sizes.push(indexBytes() - before)
    }
    expect(Math.max(...sizes)).toBeLessThan(1000)
  })

  function indexBytes(): number {
    const names = readdirSync(state).filter((name) => name.startsWith('index.json'))
    return names.reduce((sum, name) => sum + statSync(join(state, name)).size, 0)
  }

  test('of an earlier release is read: images without a list of blobs, the registry’s copy beside them', async () => {
    const kept = await store.put(parts())
    const lost = await store.put(parts({ source: Buffer.from('lost') }))
    await store.close()
    const { manifests } = index()
    const old = manifests.map(({ annotations: _new, ...entry }: { annotations: unknown }) => entry)
    const annotations = { 'thaw.registry': '{"a":1}' }
    writeFileSync(join(state, 'index.json'), JSON.stringify({ ...index(), manifests: old, annotations }))
    store = await openImageStore(state)
    expect(await store.readAnnotation('nothing')).toBeNull()
    expect(await store.readAnnotation('thaw.registry')).toBe('{"a":1}')
    await store.remove([lost.digest])
    expect((await store.get(kept.digest)).digest).toBe(kept.digest)
    expect(blobs()).toHaveLength(3)
    await store.forgetAnnotation('thaw.registry')
    await store.close()
    store = await openImageStore(state)
    expect(await store.readAnnotation('thaw.registry')).toBeNull()
    expect(store.has(kept.digest)).toBe(true)
  })
})
