// What a deploy takes out of a tar, through the front door: every way a tar can be wrong is refused with its problem and leaves
// nothing, what is allowed lies harmless on the disk, and what the disk changed since is not run.
import { lstatSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Platform, startPlatform } from '../support/platform.ts'
import { rawLong, rawMember, rawPax, TAR_END } from '../support/raw-tar.ts'
import { until } from '../support/until.ts'

let platform: Platform
beforeAll(async () => {
  platform = await startPlatform({ env: { FN_STEMS: '0' } })
})
afterAll(() => platform.stop())

const MIB = 1024 ** 2
const file = (name: string, body: string | Buffer = 'x') => rawMember({ name, body })
const module = (name: string, more: object = {}) => rawMember({ name: `node_modules/${name}`, ...more })
const folder = (name: string) => rawMember({ name: `node_modules/${name}/`, flag: '5' })
const link = (name: string, linkName: string, flag = '2') => module(name, { flag, linkName })
const code = (text: string) => file('index.cjs', `exports.default = { fetch: () => new Response(${text}) }`)
const MANIFEST = file('fn.json', '{"form": "web"}')
const BASE = [MANIFEST, code("'ok'")]

const put = (name: string, body: Buffer, headers = {}) =>
  platform.request(`/v1/functions/${name}`, { method: 'PUT', body: new Uint8Array(body), headers })
const deploy = (name: string, ...members: Buffer[]) => put(name, Buffer.concat([...members, TAR_END]))

/** What every refused upload must leave. */
async function expectNothingLeft(): Promise<void> {
  expect(await platform.json('/v1/functions')).toEqual([])
  const temporary = join(platform.stateDir, 'tmp')
  expect(readdirSync(temporary).filter((name) => name.startsWith('upload-'))).toEqual([])
  expect(readdirSync(join(platform.stateDir, 'layers')).filter((name) => /add-on|^[0-9a-f]{64}$/.test(name))).toEqual(
    [],
  )
}

const UNSAFE = 'is not a safe member name'
const ROWS: readonly [string, string, ...Buffer[]][] = [
  ['a member above the folder', UNSAFE, module('../../evil')],
  ['a member whose name climbs at the end', UNSAFE, module('a/..')],
  ['an absolute name', UNSAFE, rawMember({ name: '/etc/evil' })],
  ['a backslash', UNSAFE, module('..\\evil')],
  ['a line end in a name', UNSAFE, module('a\nb')],
  ['an escape sequence in a name', UNSAFE, module('a\x1b[2Jb')],
  ['a name that is not UTF-8', UNSAFE, rawMember({ name: '', nameBytes: Buffer.from('node_modules/\xff', 'latin1') })],
  ['a NUL in a pax name', UNSAFE, rawPax({ path: 'node_modules/a\0b' }), module('a')],
  ['a pax name that climbs', UNSAFE, rawPax({ path: 'node_modules/../../evil' }), module('a')],
  ['a GNU long name that climbs', UNSAFE, rawLong('node_modules/../../evil'), module('a')],
  ['a dot segment', 'not a plain relative path', module('./a')],
  ['an empty segment', 'not a plain relative path', module('a//b')],
  ['a file nobody asked for', 'does not belong here', file('etc/passwd')],
  ['a symbolic link out', 'links to outside node_modules/', link('a', '../../../etc')],
  ['an absolute symbolic link', 'links to outside node_modules/', link('a', '/etc/passwd')],
  ['a symbolic link to nothing', 'links to outside node_modules/', link('a', '')],
  ['a pax link name out', 'links to outside node_modules/', rawPax({ linkpath: '../../etc' }), link('a', 'b')],
  ['a GNU long link name out', 'links to outside node_modules/', rawLong('../../etc', 'K'), link('a', 'b')],
  ['a link name with a NUL', 'has no safe link name', rawPax({ linkpath: 'b\0/../../..' }), link('a', 'b')],
  ['a member through a symbolic link', 'a is a symbolic link, not a folder', link('a', 'b'), module('a/evil')],
  ['a folder where a file is', 'a is a file, not a folder', module('a'), module('a/b')],
  ['a file where a folder is', 'a folder of that name is there already', folder('a'), module('a')],
  ['a hard link', 'neither a file, a folder nor a symbolic link', module('a'), link('b', 'node_modules/a', '1')],
  ['a hard link out', 'neither a file, a folder nor a symbolic link', link('b', '/etc/shadow', '1')],
  ['a character device', 'neither a file, a folder nor a symbolic link', module('a', { flag: '3' })],
  ['a block device', 'neither a file, a folder nor a symbolic link', module('a', { flag: '4' })],
  ['a pipe', 'neither a file, a folder nor a symbolic link', module('a', { flag: '6' })],
  ['a GNU sparse file', 'neither a file, a folder nor a symbolic link', module('a', { flag: 'S' })],
  ['a pax sparse file', 'sparse members are not taken', rawPax({ 'GNU.sparse.realsize': '9999999999' }), module('a')],
  ['a size in pax', 'a member is too large', rawPax({ size: '99999999999' }), module('a')],
  [
    'a binary size',
    'a member has no valid size',
    module('a', { size: '\x80\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff' }),
  ],
  ['a size below zero', 'a member has no valid size', module('a', { size: '-0000000001 ' })],
  ['a size beyond the upload', 'in the middle of a member', module('a', { size: '77777777777 ' })],
  [
    'a global header that names',
    'a global header names a member',
    rawPax({ path: 'node_modules/x' }, 'g'),
    module('a'),
  ],
  [
    'a pax record that is none',
    'an extended header is malformed',
    rawMember({ name: 'p', flag: 'x', body: '999 path=x\n' }),
    module('a'),
  ],
  [
    'a pax length that is no number',
    'an extended header is malformed',
    rawMember({ name: 'p', flag: 'x', body: '0x9 a=b\n' }),
    module('a'),
  ],
  [
    'a huge extended header',
    'an extended header is too large',
    rawMember({ name: 'p', flag: 'x', body: ' '.repeat(70_000) }),
    module('a'),
  ],
  [
    'headers of headers',
    'too many extended headers',
    ...Array.from({ length: 40 }, () => rawPax({ comment: 'x' })),
    module('a'),
  ],
  [
    'a part longer than any file system takes',
    'is too long for a member name',
    rawPax({ path: `node_modules/${'ä'.repeat(128)}` }),
    module('a'),
  ],
  [
    'a name longer than any path',
    'is too long for a member name',
    rawLong(`node_modules/${'deep/'.repeat(500)}x`),
    module('a'),
  ],
  ['two manifests', 'fn.json is there twice', MANIFEST],
  ['two bundles', 'index.cjs is there twice', code("'other'")],
  ['a manifest as a folder', 'does not belong here', rawMember({ name: 'fn.json/', flag: '5' })],
  [
    'a manifest as a link',
    'does not belong here',
    rawMember({ name: 'fn.json', flag: '2', linkName: 'node_modules/a' }),
  ],
  [
    'a damaged header',
    'is not a tar',
    (() => {
      const damaged = module('a')
      damaged[3] = damaged[3]! ^ 1
      return damaged
    })(),
  ],
]

describe('a tar', () => {
  test.each(ROWS.map(([what, words, ...members]) => ({ what, words, members })))(
    'with $what is refused',
    async (row) => {
      const { words, members } = row
      const response = await deploy('evil', ...BASE, ...members)
      const problem = (await response.json()) as { detail: string }
      expect(problem).toMatchObject({ status: 400, code: 'DEPLOY_INVALID', component: 'worker' })
      expect(problem.detail).toContain(words)
    },
  )

  test.each([
    [
      'cut within a member',
      Buffer.concat([...BASE, module('a', { body: 'y'.repeat(5000) }).subarray(0, 3000)]),
      'in the middle of a member',
    ],
    ['cut within a header', Buffer.concat([...BASE, module('a').subarray(0, 300)]), 'ends too early'],
    ['without an end', Buffer.concat(BASE), 'ends too early'],
    [
      'with members behind its end',
      Buffer.concat([...BASE, TAR_END, module('a'), TAR_END]),
      'something follows the end of the tar',
    ],
    [
      'with garbage behind its end',
      Buffer.concat([...BASE, TAR_END, Buffer.from('garbage')]),
      'something follows the end of the tar',
    ],
    ['that is empty', Buffer.alloc(0), 'ends too early'],
    ['of zeros', Buffer.alloc(10_240), 'the tar has no fn.json'],
    ['without a bundle', Buffer.concat([MANIFEST, TAR_END]), 'the tar has no index.cjs'],
    ['that is a gzip bomb', gzipSync(Buffer.alloc(64 * MIB)), 'is not a tar'],
    [
      'whose manifest is no JSON',
      Buffer.concat([file('fn.json', '{"form": web}'), code('1'), TAR_END]),
      'fn.json is not JSON',
    ],
    [
      'whose manifest is oversize',
      Buffer.concat([file('fn.json', ' '.repeat(MIB + 1)), code('1'), TAR_END]),
      'at most 1048576 are taken',
    ],
  ])('%s is refused', async (_what, bytes, words) => {
    const problem = (await (await put('evil', bytes)).json()) as { detail: string }
    expect(problem).toMatchObject({ status: 400, code: 'DEPLOY_INVALID' })
    expect(problem.detail).toContain(words)
  })

  test('of more members than are taken is refused', async () => {
    const one = module('a', { flag: '2', linkName: 'b' })
    const many = Buffer.alloc(512 * 100_001)
    for (let at = 0; at < many.length; at += 512) one.copy(many, at)
    const problem = (await (await deploy('evil', ...BASE, many)).json()) as { detail: string }
    expect(problem.detail).toContain('more than 100000 members')
  })

  test('that is refused leaves nothing', expectNothingLeft)
})

describe('an upload', () => {
  test('above its bound is refused from its head', async () => {
    const head = `PUT /v1/functions/evil HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${platform.token}\r\n`
    const answer = (
      await platform.rawRequest(`${head}Content-Length: ${256 * MIB + 1}\r\nExpect: 100-continue\r\n\r\n`)
    ).toString()
    expect(answer).toMatch(/^HTTP\/1\.1 413 .*"code":"BODY_TOO_LARGE"/s)
  })

  test('whose client leaves in the middle leaves nothing', async () => {
    const head = `PUT /v1/functions/evil HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${platform.token}\r\n`
    const tmp = join(platform.stateDir, 'tmp')
    for (let times = 0; times < 3; times++) {
      const socket = connect(platform.port, '127.0.0.1')
      socket.on('error', () => {})
      socket.write(`${head}Content-Length: ${MIB}\r\n\r\n`)
      socket.write(Buffer.concat([...BASE, module('a', { body: 'x'.repeat(100_000) })]))
      await until('it is spooled', () => readdirSync(tmp).some((name) => name.startsWith('upload-')))
      socket.destroy()
      await until('it is gone', () => !readdirSync(tmp).some((name) => name.startsWith('upload-')))
    }
    await expectNothingLeft()
  })
})

describe('what is taken', () => {
  test('lies on the disk without owner, special bits or names lost', async () => {
    const members = [
      folder('a'),
      module('a/index.js', { body: 'first', mode: 0o4777 }),
      module('a/index.js', { body: "module.exports = 'second'", mode: 0o6755 }),
      module('A', { body: 'case', mode: 0 }),
      module('ä/日本.js', { body: 'unicode' }),
      link('a/self', '../a/index.js'),
      link('a/loop', 'loop'),
      rawPax({ path: `node_modules/${'long/'.repeat(60)}x.js`, mtime: '9', 'SCHILY.xattr.security.capability': 'x' }),
      module('b', { body: 'long' }),
    ]
    const response = await deploy('kept', ...BASE.slice(0, 1), code("require('a')"), ...members)
    expect([response.status, await (await platform.request('/fn/kept')).text()]).toEqual([201, 'second'])
    const layers = join(platform.stateDir, 'layers')
    const root = readdirSync(layers)
      .map((name) => join(layers, name, 'code', 'node_modules'))
      .find((path) => lstatSync(join(path, 'a'), { throwIfNoEntry: false }))!
    const modes = ['a', 'a/index.js', 'A', 'ä/日本.js'].map((name) => lstatSync(join(root, name)).mode & 0o7777)
    expect(modes).toEqual([0o755, 0o755, 0o644, 0o644])
    expect(readFileSync(join(root, `${'long/'.repeat(60)}x.js`), 'utf8')).toBe('long')
    expect([readlinkSync(join(root, 'a/self')), lstatSync(join(root, 'a')).uid]).toEqual(['../a/index.js', 0])
  })

  test('and changed on the disk since is not run, and the problem says which blob', async () => {
    expect((await deploy('rotten', MANIFEST, code("'before the rot'"))).status).toBe(201)
    await platform.kill9('everything')
    const blobs = join(platform.stateDir, 'blobs', 'sha256')
    const name = readdirSync(blobs).find((blob) => readFileSync(join(blobs, blob)).includes('before the rot'))!
    writeFileSync(
      join(blobs, name),
      readFileSync(join(blobs, name), 'latin1').replace('before the rot', 'behind the rot'),
      'latin1',
    )
    await platform.restart()
    const response = await platform.request('/fn/rotten')
    const problem = (await response.json()) as { detail: string }
    expect([response.status, problem.detail]).toEqual([500, expect.stringContaining(name)])
    expect(problem).toMatchObject({ code: 'IMAGE_CORRUPT', component: 'worker' })
    expect((await platform.request('/fn/kept')).status).toBe(200)
    expect((await deploy('rotten', MANIFEST, code("'before the rot'"))).status).toBe(200)
    expect(await (await platform.request('/fn/rotten')).text()).toBe('before the rot')
  })
})
