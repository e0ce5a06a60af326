// Packages with native code: how they are recognised, what ships with them, and that they load from what was shipped.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { unpackTar } from 'modern-tar/fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { packBundle } from '../../../../cli/bundle/archive.ts'
import { bundleHandler } from '../../../../cli/bundle/bundle.ts'
import { listPackageFiles } from '../../../../cli/bundle/package-tree.ts'

const ROOT = fileURLToPath(new URL('../../../..', import.meta.url))
let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fn-native-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** Writes a package into node_modules; `files` besides its package.json. */
function install(at: string, manifest: Record<string, unknown>, files: Record<string, string> = {}): void {
  const target = join(folder, at)
  write(
    join(target, 'package.json'),
    JSON.stringify({ name: at.split('node_modules/').at(-1), version: '1.0.0', ...manifest }),
  )
  write(join(target, 'index.js'), `exports.where = ${JSON.stringify(at)}\n`)
  for (const [name, text] of Object.entries(files)) write(join(target, name), text)
}
function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}
async function members(code: string): Promise<string[]> {
  write(join(folder, 'handler.ts'), code)
  const bundle = await bundleHandler('handler.ts', { cwd: folder })
  return bundle.packages.map((item) => item.member)
}
const use = (...names: string[]): string =>
  `${names.map((name, index) => `import * as p${index} from '${name}'`).join('\n')}\nexport default () => [${names.map((_, index) => `p${index}`)}]\n`

describe('a package has native code when', () => {
  test.each([
    ['it builds some', { gypfile: true }, {}],
    ['it has a binding.gyp', {}, { 'binding.gyp': '{}' }],
    ['it brings prebuilt files', {}, { 'prebuilds/linux-x64/x.node': '' }],
    ['it was built here', {}, { 'build/Release/x.node': '' }],
    ['it loads add-ons by bindings', { dependencies: { bindings: '*' } }, {}],
    ['it requires a .node file', {}, { 'index.js': "module.exports = require('./lib/x.node')", 'lib/x.node': '' }],
  ])('%s', async (_, manifest, files) => {
    install('node_modules/bindings', {})
    install('node_modules/fast', manifest, files)
    expect(await members(use('fast'))).toContain('node_modules/fast')
  })

  test('a part of it is for this platform alone', async () => {
    install('node_modules/fast', { optionalDependencies: { 'fast-linux': '*', 'fast-other': '*' } })
    install('node_modules/fast-linux', { os: ['linux'], cpu: [process.arch] })
    install('node_modules/fast-other', { os: ['win32'] })
    expect(await members(use('fast'))).toEqual(['node_modules/fast', 'node_modules/fast-linux'])
  })

  test('plain packages are bundled, and one that is imported by a bundled package ships too', async () => {
    install('node_modules/plain', {}, { 'index.js': "module.exports = require('fast')" })
    install('node_modules/fast', { gypfile: true })
    expect(await members(use('plain'))).toEqual(['node_modules/fast'])
  })

  test('an add-on that is not below the folder is refused, with what would do', async () => {
    write(join(folder, 'x.node'), '')
    write(join(folder, 'app', 'index.ts'), "import x from '../x.node'\nexport default () => new Response(x)\n")
    await expect(bundleHandler('app', { cwd: folder, flags: { name: 'it' } })).rejects.toMatchObject({
      details: expect.stringContaining('deploy a folder that holds both'),
    })
  })
})

describe('a driver that a package requires by a computed name', () => {
  const asks = (peers: readonly string[]) => {
    const peerDependenciesMeta = Object.fromEntries(peers.map((name) => [name, { optional: true }]))
    install('node_modules/orm', { peerDependenciesMeta }, { 'index.js': 'exports.load = (name) => require(name)' })
  }

  test('ships where it is installed, with what it needs', async () => {
    asks(['driver', 'other-driver'])
    install('node_modules/driver', { dependencies: { wire: '*' } })
    install('node_modules/wire', {})
    expect(await members(use('orm'))).toEqual(['node_modules/driver', 'node_modules/wire'])
  })

  test('stays here where it needs the package that asks: there would be two of that', async () => {
    asks(['adapter'])
    install('node_modules/adapter', { peerDependencies: { orm: '*' } })
    expect(await members(use('orm'))).toEqual([])
  })
})

describe('what ships', () => {
  test('is the package with its dependencies, each in the version it had', async () => {
    install('node_modules/fast', { gypfile: true, dependencies: { one: '*', two: '*' } })
    install('node_modules/one', { dependencies: { two: '*' } })
    install('node_modules/two', { version: '1.0.0' })
    install('node_modules/one/node_modules/two', { version: '2.0.0' })
    install('node_modules/unused', {})
    expect(await members(use('fast'))).toEqual([
      'node_modules/fast',
      'node_modules/one',
      'node_modules/one/node_modules/two',
      'node_modules/two',
    ])
  })

  test('leaves out nested packages, other platforms’ add-ons and leftovers of builds', () => {
    install(
      'node_modules/fast',
      {},
      {
        'prebuilds/win32-x64/x.node': '',
        [`prebuilds/linux-${process.arch}/x.node`]: '',
        'build/Release/obj.target/x.o': '',
        'build/Release/x.node': '',
        'node_modules/nested/index.js': '',
      },
    )
    const files = listPackageFiles({ member: 'node_modules/fast', folder: join(folder, 'node_modules/fast') })
    expect(files.map((file) => file.member.slice('node_modules/fast/'.length))).toEqual([
      'build/Release/x.node',
      'index.js',
      'package.json',
      `prebuilds/linux-${process.arch}/x.node`,
    ])
  })

  test('a required dependency that is not installed is an error, an optional one is not', async () => {
    install('node_modules/fast', { gypfile: true, optionalDependencies: { extra: '*' } })
    expect(await members(use('fast'))).toEqual(['node_modules/fast'])
    install('node_modules/fast', { gypfile: true, dependencies: { gone: '*' } })
    await expect(members(use('fast'))).rejects.toThrow('package fast needs gone, which is not installed')
  })
})

test('sharp ships with its libraries for this platform and loads from the unpacked archive', async () => {
  const bundle = await bundleHandler('functions/thumbnail', { cwd: ROOT })
  const names = bundle.packages.map((item) => item.member)
  expect(names).toEqual(expect.arrayContaining(['node_modules/sharp', `node_modules/@img/sharp-linux-${process.arch}`]))
  expect(bundle.source.toString()).toContain('require("sharp")')
  await pipeline(packBundle(bundle), unpackTar(folder))
  const sharp = createRequire(join(folder, 'index.cjs'))('sharp')
  const png: Buffer = await sharp({ create: { width: 4, height: 4, channels: 3, background: 'red' } })
    .png()
    .toBuffer()
  expect(png.subarray(1, 4).toString()).toBe('PNG')
})

test('the archive of the same bundle has the same bytes', async () => {
  install('node_modules/fast', { gypfile: true })
  write(join(folder, 'handler.ts'), use('fast'))
  const read = async (): Promise<Buffer> => {
    const chunks: Buffer[] = []
    for await (const chunk of packBundle(await bundleHandler('handler.ts', { cwd: folder })))
      chunks.push(chunk as Buffer)
    return Buffer.concat(chunks)
  }
  expect((await read()).equals(await read())).toBe(true)
})
