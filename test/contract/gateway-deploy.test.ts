// Deploying through the gateway over real HTTP: what is taken out of the tar, what is refused, that nothing stays behind.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { packTar, type TarEntry, unpackTar } from 'modern-tar'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { WorkerError } from '../../worker/api.ts'
import { RegistryError } from '../../worker/registry/api.ts'
import { TestGateway, TOKEN } from '../support/gateway.ts'

let gateway: TestGateway
beforeEach(async () => {
  gateway = await TestGateway.start()
})
afterEach(() => gateway.stop())

const file = (name: string, body: string | Uint8Array): TarEntry => ({
  header: { name, size: Buffer.byteLength(body), type: 'file' },
  body,
})
const BASE = [file('fn.json', '{"form": "web"}'), file('index.cjs', 'module.exports = 1')]
const put = async (entries: TarEntry[] | Uint8Array, path = '/v1/functions/shop') =>
  gateway.fetch(path, {
    method: 'PUT',
    body: (entries instanceof Uint8Array ? entries : await packTar(entries)) as BodyInit,
    headers: { 'content-type': 'application/x-tar' },
  })
const leftBehind = (): string[] => {
  const folder = join(gateway.stateDir, 'tmp')
  return existsSync(folder) ? readdirSync(folder) : []
}

describe('a deploy', () => {
  test('hands manifest, bundle, map and alias down and answers 201 with the version', async () => {
    const response = await put([...BASE, file('index.cjs.map', '{}')], '/v1/functions/shop?alias=prod')
    expect(response.status).toBe(201)
    expect(await response.json()).toMatchObject({
      name: 'shop',
      version: 1,
      created: true,
      url: `${gateway.gateway.url}/fn/shop`,
    })
    expect(gateway.deployer.requests[0]).toEqual({
      namespace: 'default',
      name: 'shop',
      alias: 'prod',
      manifest: { form: 'web' },
      source: Buffer.from('module.exports = 1'),
      sourceMap: Buffer.from('{}'),
      addonTar: null,
    })
    expect((await put(BASE)).status).toBe(200)
  })

  test('is refused while it comes, once the disk has only what is kept for the platform; what was spooled goes', async () => {
    let pieces = 0
    gateway.deployer.onExpectRoom = () => {
      if (++pieces > 3) throw new WorkerError('DISK_FULL', 'no room to take an upload')
    }
    const packages = Array.from({ length: 8 }, (_, at) => file(`node_modules/p/${at}`, 'x'.repeat(300_000)))
    const refused = await put([...BASE, ...packages])
    expect([refused.status, (await refused.json()).code]).toEqual([507, 'DISK_FULL'])
    expect(pieces).toBe(4)
    expect(gateway.deployer.requests).toEqual([])
    expect(leftBehind()).toEqual([])
  })

  test('spools packages into a tar of their own, long names included, and removes it afterwards', async () => {
    const long = `node_modules/${'deep/'.repeat(40)}index.js`
    const bytes = new Uint8Array(100_001).fill(7)
    let names: string[] = []
    gateway.deployer.onDeploy = async ({ addonTar }) => {
      const members = await unpackTar(readFileSync(addonTar!))
      names = members.map(({ header }) => header.name)
      expect(Buffer.from(members[1]!.data!).equals(Buffer.from(bytes))).toBe(true)
    }
    const link: TarEntry = {
      header: { name: 'node_modules/.bin/a', size: 0, type: 'symlink', linkname: '../a/cli.js' },
    }
    const response = await put([file('node_modules/a/cli.js', '1'), file(long, bytes), ...BASE, link])
    expect(response.status).toBe(201)
    expect(names).toEqual(['node_modules/a/cli.js', long, 'node_modules/.bin/a'])
    expect(leftBehind()).toEqual([])
  })

  test('answers what the deployer says: 422 with the stack, 400 with all problems', async () => {
    gateway.deployer.onDeploy = () => {
      throw new WorkerError('FUNCTION_INIT_FAILED', 'x is not defined', {
        functionStack: 'ReferenceError\n at a.ts:1:2',
      })
    }
    const failed = await put([...BASE, file('node_modules/a/index.js', '1')])
    expect(failed.status).toBe(422)
    expect(await failed.json()).toMatchObject({ code: 'FUNCTION_INIT_FAILED', stack: 'ReferenceError\n at a.ts:1:2' })
    gateway.deployer.onDeploy = () => {
      throw new RegistryError('CONFIG_INVALID', 'two problems', { problems: ['a', 'b'] })
    }
    const invalid = await put(BASE)
    expect([invalid.status, ((await invalid.json()) as { problems: string[] }).problems]).toEqual([400, ['a', 'b']])
    expect(leftBehind()).toEqual([])
  })

  test('wants a name and an alias that can be', async () => {
    expect((await put(BASE, '/v1/functions/Not_A_Label')).status).toBe(400)
    expect((await put(BASE, '/v1/functions/thaw')).status).toBe(400)
    expect((await put(BASE, '/v1/functions/shop?alias=12')).status).toBe(400)
    expect(gateway.deployer.requests).toHaveLength(0)
  })
})

describe('an upload', () => {
  test('padded with a lot of nothing leaves the connection usable', async () => {
    const tar = Buffer.concat([await packTar(BASE), Buffer.alloc(300_000)])
    const request = (method: string, headers: string) =>
      `${method} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKEN}\r\n${headers}\r\n\r\n`
    const raw = await gateway.raw(
      Buffer.concat([
        Buffer.from(request('PUT /v1/functions/shop', `Content-Length: ${tar.length}`)),
        tar,
        Buffer.from(request('GET /healthz', 'Connection: close')),
      ]),
    )
    expect(raw.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 201', 'HTTP/1.1 200'])
  })

  test('that a killed platform left behind is removed at the next start', async () => {
    const folder = join(gateway.stateDir, 'tmp')
    mkdirSync(folder)
    writeFileSync(join(folder, 'upload-018f0000-0000-7000-8000-000000000000.tar'), 'x')
    writeFileSync(join(folder, 'not-ours'), 'x')
    const second = await TestGateway.start({ stateDir: gateway.stateDir })
    expect(leftBehind()).toEqual(['not-ours'])
    await second.stop()
  })

  const link = (name: string, linkname: string): TarEntry => ({ header: { name, size: 0, type: 'symlink', linkname } })
  test.each<[string, TarEntry[]]>([
    ['no bundle', [BASE[0]!]],
    ['no manifest', [BASE[1]!]],
    ['a manifest that is not JSON', [file('fn.json', '{'), BASE[1]!]],
    ['a member twice', [...BASE, BASE[0]!]],
    ['a stray member', [...BASE, file('README.md', 'x')]],
    ['a member outside', [...BASE, file('node_modules/../../etc/passwd', 'x')]],
    ['an absolute member', [...BASE, file('/etc/passwd', 'x')]],
    ['a link to outside', [...BASE, link('node_modules/a', '../../etc')]],
    ['an absolute link', [...BASE, link('node_modules/a', '/etc')]],
    ['a device', [...BASE, { header: { name: 'node_modules/null', size: 0, type: 'character-device' } }]],
    ['a hard link', [...BASE, { header: { name: 'node_modules/a', size: 0, type: 'link', linkname: 'fn.json' } }]],
  ])('with %s is refused, and leaves nothing', async (_, entries) => {
    const response = await put([file('node_modules/x/index.js', '1'), ...entries])
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ code: 'DEPLOY_INVALID' })
    expect(gateway.deployer.requests).toHaveLength(0)
    expect(leftBehind()).toEqual([])
  })

  test('that is no tar, or half of one, is refused', async () => {
    const tar = await packTar([...BASE, file('index.cjs.map', 'x'.repeat(5000))])
    for (const bytes of [Buffer.from('hello'), Buffer.alloc(2000, 'x'), Buffer.alloc(0), tar.subarray(0, 3500)]) {
      const response = await put(bytes)
      expect(response.status).toBe(400)
      expect(response.headers.get('content-type')).toBe('application/problem+json')
    }
    expect(gateway.deployer.requests).toHaveLength(0)
  })
})
